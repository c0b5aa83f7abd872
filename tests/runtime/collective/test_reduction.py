"""Parts as bytes: whole or cut into any number of slices, at any members, the total has the bits of the fixed tree."""

from typing import Any

import numpy as np
import pytest

from muskox.errors import CallerError, PeerError
from muskox.records import Record, normal
from muskox.runtime.collective.reduction import WHOLE, Reduction
from muskox.runtime.collective.values import CHUNK_BYTES, Part
from muskox.tree import Climb, reduce, root

SHARDS = 11


def value(shard: int, size: int) -> Record:
    draw = np.random.default_rng(shard)
    return {
        "f8": draw.standard_normal((size, 2)),
        "inner": {"f4": draw.standard_normal(size).astype(np.float32), "i4": draw.integers(0, 9, 3).astype(np.int32)},
        "none": np.empty((0, 4)),
        "seen": draw.random(5) > 0.5,
    }


def merge(left: Any, right: Any) -> Any:
    """Add array by array, as a program would."""
    return {name: merge(left[name], right[name]) if name == "inner" else left[name] + right[name] for name in left}


def reduction() -> Reduction:
    return Reduction(SHARDS, lambda a, b: normal(merge(a, b)), lambda size: memoryview(bytearray(size)))


def parts_of(owned: list[int], slices: int, size: int) -> tuple[Part, ...]:
    climb: Climb[Record] = Climb(SHARDS, merge)
    for shard in owned:
        climb.add(shard, value(shard, size))
    return reduction().parts(climb.values, slices)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


@pytest.mark.parametrize("size", [1, 37, CHUNK_BYTES // 8 + 3])
@pytest.mark.parametrize("slices", [WHOLE, 1, 2, 5, 16])
@pytest.mark.parametrize("is_sent", [True, False])
def test_every_cut_gives_the_bits_of_the_fixed_tree(slices: int, size: int, is_sent: bool) -> None:
    owners = [[0, 1, 2, 5], [3, 4, 9, 10], [], [6, 7, 8]]
    expected = reduce({(0, shard): value(shard, size) for shard in range(SHARDS)}, root(SHARDS), SHARDS, merge)
    by_member = [parts_of(owned, slices, size) for owned in owners]
    totals = []
    for slice_ in range(max(slices, 1)):
        own = reduction()
        below = own.merged(slice_, slices, [by_member[1][slice_], by_member[2][slice_]], is_sent=True)
        totals.append(own.merged(slice_, slices, [by_member[0][slice_], below, by_member[3][slice_]], is_sent=is_sent))
    before = [bytes(part.body) for part in totals]
    found = own.total(totals, slices)
    assert same(found, expected)
    found["f8"] += 1.0  # a total is its reader's own
    if is_sent:
        assert [bytes(part.body) for part in totals] == before, "what others are yet to read stays what it is"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([{"n": 3}] * 2, "nothing but arrays"),
        ([{"n": np.array(3.0)}] * 2, "make its shape"),
        ([{"n": np.zeros(3)}, {"n": np.zeros(4)}], "differ in names, shapes or types"),
        ([{"n": np.zeros(3)}, {"m": np.zeros(3)}], "differ in names, shapes or types"),
    ],
)
def test_what_cannot_be_cut_is_refused_with_a_sentence(values: list[Record], complaint: str) -> None:
    with pytest.raises(CallerError, match=complaint):
        reduction().parts({(0, 0): values[0], (0, 2): values[1]}, 2)


def test_parts_of_different_structure_are_not_added() -> None:
    (left,) = reduction().parts({(0, 0): {"n": np.zeros(3)}}, 1)
    (right,) = reduction().parts({(0, 1): {"n": np.zeros(4)}}, 1)
    with pytest.raises(PeerError, match="differ in the names, shapes or types"):
        reduction().merged(0, 1, [left, right], is_sent=False)


@pytest.mark.parametrize("structure", ["", "{", "[]", "{}", '{"__metadata__": {"json": "{}"}, "x": {"shape": [1]}}'])
def test_a_structure_that_is_none_is_a_peer_error(structure: str) -> None:
    with pytest.raises(PeerError):
        reduction().merged(0, 1, [Part(((0, 0),), (8,), bytes(8), structure)], is_sent=True)


def test_a_part_whose_sizes_lie_is_a_peer_error() -> None:
    with pytest.raises(PeerError, match="8 bytes for 1 subtrees of 9"):
        Part(((0, 0),), (9,), bytes(8)).values()
