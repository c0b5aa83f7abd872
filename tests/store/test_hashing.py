"""The hash is pinned, and equals its documentation written in plain Python."""

import math
import struct

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muskox.errors import CallerError
from muskox.store.partition.hashing import CACHE_ROWS, hash_columns, hash_values

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


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=40))))
def test_text_hashes_as_documented(values: list[str | None]) -> None:
    assert hash_values(pa.array(values, pa.string())).tolist() == [reference_hash(value) for value in values]


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))))
def test_ints_hash_as_documented(values: list[int | None]) -> None:
    assert hash_values(pa.array(values, pa.int64())).tolist() == [reference_hash(value) for value in values]


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-(2**53), 2**53).map(float))))
def test_floats_hash_as_documented(values: list[float | None]) -> None:
    assert hash_values(pa.array(values, pa.float64())).tolist() == [reference_hash(value) for value in values]


def reference_combined(values: list[object]) -> int:
    result = reference_hash(values[0])
    for value in values[1:]:
        result = mix(mix(result) ^ reference_hash(value))
    return result


ROWS = st.lists(st.tuples(st.one_of(st.none(), st.text(max_size=9)), st.one_of(st.none(), st.integers(-9, 9)), st.booleans()))


@settings(deadline=None)
@given(ROWS)
def test_several_columns_are_combined_as_documented(rows: list[tuple[str | None, int | None, bool]]) -> None:
    kinds = (pa.string(), pa.int64(), pa.bool_())
    columns = [pa.array([row[index] for row in rows], kind) for index, kind in enumerate(kinds)]
    assert hash_columns(columns).tolist() == [reference_combined(list(row)) for row in rows]
    assert hash_columns(columns[:1]).tolist() == hash_values(columns[0]).tolist()


def test_the_hash_of_several_columns_never_changes_and_depends_on_their_order() -> None:
    left, right = pa.array(["a", "b", None]), pa.array([1, 2, None])
    golden = [
        "6f2dfe22bf1e7aca",
        "5926a10d1d86c250",
        "56278eff66e3c4d8",
    ]
    assert [f"{word:016x}" for word in hash_columns([left, right]).tolist()] == golden
    assert not set(hash_columns([left, right]).tolist()) & set(hash_columns([right, left]).tolist()[:2])
    twins = pa.array([f"k{i}" for i in range(1000)])
    assert len(set(hash_columns([twins, twins]).tolist())) == 1000, "equal values do not cancel out"


@pytest.mark.parametrize("rows", [CACHE_ROWS - 1, CACHE_ROWS, CACHE_ROWS + 1, 3 * CACHE_ROWS + 5])
def test_a_long_column_hashes_as_its_pieces(rows: int) -> None:
    text = pa.array([None if i % 11 == 0 else f"key-{i}" for i in range(rows)])
    pieces = [word for first in range(0, rows, 1000) for word in hash_values(text.slice(first, 1000)).tolist()]
    assert hash_values(text).tolist() == pieces


def test_a_column_of_lists_cannot_be_hashed() -> None:
    with pytest.raises(CallerError, match="list"):
        hash_values(pa.array([[1]]))
