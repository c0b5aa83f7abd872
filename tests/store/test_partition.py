"""The hash is pinned, equals a plain reference, and cuts as documented."""

import hashlib
import math
import struct
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.errors import CallerError
from muskox.store import assign_rows, assign_shards, cut, hash_partition
from muskox.store.partition import SHARDS_MAX, hash_values, parse_by

MASK = (1 << 64) - 1
MISSING = 0x6D75736B6F780001

GOLDEN = [
    (pa.array(["", "a", "N14228", "hello world", "naïve café", "x" * 100, None]), "text"),
    (pa.array([0, 1, -1, 2**63 - 1, -(2**63), None]), "int"),
    (pa.array([0.0, -0.0, 1.0, 0.5, 1e300, math.inf, math.nan, None]), "float"),
    (pa.array([True, False, None]), "bool"),
    (pa.array([0, 1_357_034_400_000_000, None], pa.timestamp("us")), "timestamp"),
]


def mix(x: int) -> int:
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK
    return x ^ x >> 31


def reference_hash(value: object) -> int:
    """The documentation of the hash, in plain Python."""
    match value:
        case None:
            return MISSING
        case str():
            data = value.encode()
            result = mix(len(data))
            for start in range(0, len(data), 8):
                result = mix(result ^ int.from_bytes(data[start : start + 8].ljust(8, b"\0"), "little"))
            return result
        case float() if math.isnan(value):
            return MISSING
        case float() if not math.isinf(value) and value == int(value) and -(2**63) <= value < 2**63:
            return mix(int(value) & MASK)
        case float():
            return mix(struct.unpack("<Q", struct.pack("<d", value))[0])
        case _:
            return mix(int(value) & MASK)  # type: ignore[call-overload]


def test_the_hash_never_changes() -> None:
    hashes = {kind: [f"{h:016x}" for h in hash_values(column).tolist()] for column, kind in GOLDEN}
    assert hashes == {
        "text": [
            "e220a8397b1dcdaf",
            "5e025f9ade9eaf3e",
            "c0cb28efa2205f9f",
            "3a8c998044b2ea9c",
            "7089d430ff11b220",
            "4a5a4eb781588a2b",
            "6d75736b6f780001",
        ],
        "int": [
            "e220a8397b1dcdaf",
            "910a2dec89025cc1",
            "e4d971771b652c20",
            "2a67d7552e039ea7",
            "481ec0a212a9f3db",
            "6d75736b6f780001",
        ],
        "float": [
            "e220a8397b1dcdaf",
            "e220a8397b1dcdaf",
            "910a2dec89025cc1",
            "f456984dd1d8ce6d",
            "ff5a832a738c19a6",
            "249e5410c2f97d99",
            "6d75736b6f780001",
            "6d75736b6f780001",
        ],
        "bool": [
            "910a2dec89025cc1",
            "e220a8397b1dcdaf",
            "6d75736b6f780001",
        ],
        "timestamp": [
            "e220a8397b1dcdaf",
            "4b040cbe00c1c1f4",
            "6d75736b6f780001",
        ],
    }


def test_the_shards_never_change() -> None:
    assert assign_shards(pa.array(["N14228", "N24211", None, "N14228"]), 12).tolist() == [9, 4, 5, 9]
    assert assign_shards(pa.array([0, 1, -1, None]), 1000).tolist() == [883, 566, 893, 427]


def test_another_process_with_another_hash_seed_assigns_the_same_shards() -> None:
    code = (
        "import pyarrow as pa; from muskox.store import assign_shards as a; print(a(pa.array(['x', 'y', 'zzz']), 97).tolist())"
    )
    run = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(assign_shards(pa.array(["x", "y", "zzz"]), 97).tolist())


def test_cutting_a_table_starts_no_grpc() -> None:
    code = (
        "import sys, pyarrow as pa; from muskox.store import cut; cut(pa.table({'a': [1]}), 2, 'rows');"
        "assert not [name for name in sys.modules if 'flight' in name or 'kazoo' in name]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@given(st.lists(st.one_of(st.none(), st.text(max_size=40))))
def test_text_hashes_as_documented(values: list[str | None]) -> None:
    assert hash_values(pa.array(values, pa.string())).tolist() == [reference_hash(value) for value in values]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))))
def test_ints_hash_as_documented(values: list[int | None]) -> None:
    assert hash_values(pa.array(values, pa.int64())).tolist() == [reference_hash(value) for value in values]


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-(2**53), 2**53).map(float))))
def test_floats_hash_as_documented(values: list[float | None]) -> None:
    assert hash_values(pa.array(values, pa.float64())).tolist() == [reference_hash(value) for value in values]


@given(st.lists(st.one_of(st.none(), st.text(max_size=20)), min_size=1), st.integers(0, 30), st.integers(1, 1000))
def test_the_shard_does_not_depend_on_how_a_column_is_laid_out(values: list[str | None], edge: int, shards: int) -> None:
    column = pa.array(values, pa.string())
    expected = assign_shards(column, shards).tolist()
    assert all(0 <= shard < shards for shard in expected)
    chunked = pa.chunked_array([column.slice(0, edge), column.slice(min(edge, len(column)))])
    for other in (chunked, column.dictionary_encode(), column.cast(pa.large_string()), column.cast(pa.string_view())):
        assert assign_shards(other, shards).tolist() == expected


@given(st.lists(st.integers(-(2**53), 2**53)))
def test_a_column_promoted_to_float_keeps_its_shards(values: list[int]) -> None:
    ints = pa.array(values, pa.int64())
    assert assign_shards(ints, 64).tolist() == assign_shards(ints.cast(pa.float64()), 64).tolist()


def test_shards_are_balanced() -> None:
    counts = np.bincount(assign_shards(pa.array([f"N{i}" for i in range(100_000)]), 16))
    assert counts.min() > 5_800 and counts.max() < 6_700


def test_hash_partition_is_sha256_modulo_the_parts() -> None:
    assert hash_partition("hello world", 4) == 1
    assert hash_partition("ключ", 7) == int(hashlib.sha256("ключ".encode()).hexdigest(), 16) % 7
    with pytest.raises(CallerError, match="at least one"):
        hash_partition("x", 0)


@given(st.integers(0, 200), st.integers(1, 20), st.integers(0, 200))
def test_rows_are_cut_contiguously_and_evenly(rows: int, shards: int, edge: int) -> None:
    whole = assign_rows(0, rows, rows, shards).tolist()
    assert whole == [i for i in range(shards) for _ in range(i * rows // shards, (i + 1) * rows // shards)]
    edge = min(edge, rows)
    assert assign_rows(0, edge, rows, shards).tolist() + assign_rows(edge, rows - edge, rows, shards).tolist() == whole


def test_a_cut_keeps_every_row_once_and_in_order() -> None:
    table = pa.table({"key": [f"k{i % 7}" for i in range(100)], "i": list(range(100))})
    parts = cut(table, 5, "hash:key")
    assert sorted(i for part in parts for i in part["i"].to_pylist()) == list(range(100))
    assert all(part["i"].to_pylist() == sorted(part["i"].to_pylist()) for part in parts)
    assert [part["i"].to_pylist() for part in cut(table, 3, "rows")] == [
        list(range(33)), list(range(33, 66)), list(range(66, 100)),
    ]  # fmt: skip


@pytest.mark.parametrize("by", ["", "hash", "hash:", "random", "hash:nope"])
def test_an_unknown_rule_or_column_is_refused(by: str) -> None:
    with pytest.raises(CallerError, match=r"rows|a, b"):
        parse_by(by, ["a", "b"])


@pytest.mark.parametrize("shards", [0, -1, SHARDS_MAX + 1])
def test_a_senseless_number_of_shards_is_refused(shards: int) -> None:
    with pytest.raises(CallerError, match="between 1 and 100000"):
        assign_shards(pa.array([1]), shards)


def test_a_column_of_lists_cannot_be_hashed() -> None:
    with pytest.raises(CallerError, match="list"):
        assign_shards(pa.array([[1]]), 2)
