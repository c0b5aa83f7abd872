"""A key's shard is what anybody's hashlib says of its text."""

import hashlib
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muskox.errors import CallerError
from muskox.store import hash_partition
from muskox.store.partition.assignment import assign, parse_by
from muskox.store.partition.sha256 import sha256_shards


def reference_text(value: object) -> str:
    """The documentation of a key's text, in plain Python."""
    match value:
        case bool():
            return "true" if value else "false"
        case float() if not math.isinf(value) and value == int(value) and -(2**63) <= value < 2**63:
            return str(int(value))
        case datetime():
            return value.isoformat(timespec="microseconds")
        case _:
            return str(value)


def reference_shard(value: object, shards: int) -> int:
    if value is None or value != value:  # noqa: PLR0124 (NaN)
        return 0
    return int(hashlib.sha256(reference_text(value).encode()).hexdigest(), 16) % shards


KINDS = [
    (pa.string(), st.text(max_size=30)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.float64(), st.one_of(st.floats(), st.integers(-(2**53), 2**53).map(float))),
    (pa.bool_(), st.booleans()),
    (pa.timestamp("us"), st.datetimes()),
]


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=lambda item: str(item) if isinstance(item, pa.DataType) else "")
@settings(deadline=None)
@given(data=st.data(), shards=st.one_of(st.integers(1, 9), st.integers(1, 100_000)))
def test_every_type_of_key_lies_where_hashlib_says(kind: Any, values: Any, data: Any, shards: int) -> None:
    drawn = data.draw(st.lists(st.one_of(st.none(), values), max_size=20))
    column = pa.array(drawn, kind)
    expected = [reference_shard(value, shards) for value in drawn]
    assert sha256_shards(column, shards).tolist() == expected
    assert sha256_shards(column.dictionary_encode(), shards).tolist() == expected


def test_hello_world_over_four_shards_lies_in_shard_one() -> None:
    table = pa.table({"key": ["hello world", "ключ", None, "hello world"]})
    assert assign(parse_by("sha256:key", ["key"]), table, 0, 4, 4).tolist() == [1, reference_shard("ключ", 4), 0, 1]


def test_the_texts_of_keys_are_plain() -> None:
    examples = {
        "-7": pa.array([-7]),
        "3": pa.array([3.0]),
        "0": pa.array([-0.0]),
        "0.1": pa.array([0.1]),
        "1e+300": pa.array([1e300]),
        "-inf": pa.array([-math.inf]),
        "true": pa.array([True]),
        "2013-01-01T05:00:00.000000": pa.array([datetime(2013, 1, 1, 5)], pa.timestamp("us")),
    }
    for text, column in examples.items():
        assert sha256_shards(column, 99_991).tolist() == [hash_partition(text, 99_991)], text


def test_a_moment_has_one_text_in_every_zone_and_unit() -> None:
    moment = datetime(2013, 1, 1, 5, tzinfo=UTC)
    expected = hash_partition("2013-01-01T05:00:00.000000", 1000)
    for kind in (pa.timestamp("us", "America/New_York"), pa.timestamp("s"), pa.timestamp("ns", "UTC")):
        assert sha256_shards(pa.array([moment], kind), 1000).tolist() == [expected]
    assert sha256_shards(pa.array([(moment - timedelta(hours=5)).date()], pa.date32()), 1000).tolist() == [
        hash_partition("2013-01-01T00:00:00.000000", 1000)
    ]


def test_a_column_without_values_and_an_empty_one_have_shards() -> None:
    assert sha256_shards(pa.nulls(3), 5).tolist() == [0, 0, 0]
    assert sha256_shards(pa.array([], pa.string()), 5).tolist() == []


def test_hash_partition_is_sha256_modulo_the_parts() -> None:
    assert hash_partition("hello world", 4) == 1
    assert hash_partition("ключ", 7) == int(hashlib.sha256("ключ".encode()).hexdigest(), 16) % 7
    with pytest.raises(CallerError, match="at least one"):
        hash_partition("x", 0)
