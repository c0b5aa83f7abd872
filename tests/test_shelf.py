"""What is derived from shards is kept as long as there is room, and made again where there is none."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import scipy.sparse

from muskox.program import Shard
from muskox.shelf import SMALL_BYTES, Shelf, size_of


@dataclass(frozen=True, slots=True)
class Pair:
    left: np.ndarray
    right: tuple[np.ndarray, ...]


def test_a_size_is_that_of_all_arrays_within() -> None:
    eight = np.zeros(1)
    assert size_of(Pair(eight, (eight, eight))) == 24 + SMALL_BYTES
    assert size_of({"a": eight, "b": [eight]}) == 16 + SMALL_BYTES
    assert size_of(pa.array([1, 2, 3])) == 24
    matrix = scipy.sparse.csr_matrix(np.eye(10))
    assert size_of(matrix) >= matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes


def test_shards_share_the_room_and_what_finds_none_is_made_again() -> None:
    made: list[int] = []
    shelf = Shelf(2000)
    shards = [Shard(index, 0, lambda: iter(()), shelf) for index in range(3)]

    def make(index: int) -> np.ndarray:
        made.append(index)
        return np.full(125, index)

    for _ in range(2):
        for shard in shards:
            assert shard.cached("x", lambda index=shard.index: make(index))[0] == shard.index
    assert made == [0, 1, 2, 2] and shelf.used == 2000
    shards[0].forget("x")
    shards[0].forget("never kept")
    assert shelf.used == 1000
    shards[1].forget_all()
    assert shelf.used == 0


def test_what_a_part_of_a_shard_keeps_goes_with_it() -> None:
    shelf = Shelf(10_000)
    shard = Shard(0, 0, lambda: iter(()), shelf)
    part = shard.cached("part", lambda: Shard(0, 0, lambda: iter(()), shelf))
    part.cached("x", lambda: np.zeros(100))
    assert shelf.used == 800 + SMALL_BYTES
    shard.forget("part")
    assert shelf.used == 0
