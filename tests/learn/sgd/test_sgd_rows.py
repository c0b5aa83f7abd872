"""Rows: every batch is a sample of all shards in proportion, every row is taken once an epoch, and an order is a stream's."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from muskox.learn.encoder import Encoder
from muskox.learn.sgd.rows import encode_batch, order_of, taken

counts = st.lists(st.integers(0, 40), min_size=1, max_size=17).filter(lambda rows: sum(rows) > 0)


def ends(rows: list[int]) -> np.ndarray:
    return np.append(0, np.cumsum(np.array(rows, dtype=np.int64)))


@given(counts)
def test_every_row_is_taken_once_and_batches_are_whole(rows: list[int]) -> None:
    positions = np.arange(sum(rows) + 1)
    shares = np.array([taken(ends(rows), shard, positions) for shard in range(len(rows))])
    assert_array_equal(shares.sum(axis=0), positions)
    assert_array_equal(shares[:, -1], rows)
    steps = np.diff(shares, axis=1)
    assert ((steps == 0) | (steps == 1)).all()


@given(counts)
def test_shards_are_taken_in_proportion_to_their_rows(rows: list[int]) -> None:
    whole = sum(rows)
    positions = np.arange(whole + 1)
    for shard, own in enumerate(rows):
        assert np.abs(taken(ends(rows), shard, positions) - positions * own / whole).max() <= np.log2(len(rows)) + 1.0


def test_the_rows_of_the_greatest_datasets_are_counted_exactly() -> None:
    rows = [3_000_000_001, 5_000_000_003, 7]
    positions = np.array([0, 1, 4_000_000_005, sum(rows)])
    shares = np.array([taken(ends(rows), shard, positions) for shard in range(3)])
    assert_array_equal(shares.sum(axis=0), positions)
    assert_array_equal(shares[:, -1], rows)


def test_an_order_depends_on_seed_shard_and_epoch_alone() -> None:
    first = order_of(7, 2, 5, 50)
    assert_array_equal(np.sort(first), np.arange(50))
    assert_array_equal(first, order_of(7, 2, 5, 50))
    for other in ((8, 2, 5), (7, 3, 5), (7, 2, 6)):
        assert not np.array_equal(first, order_of(*other, 50))
    assert_array_equal(order_of(7, 2, 5, 50, shuffle=False), np.arange(50))


def test_categories_are_places_of_coefficients_and_unknown_ones_are_none() -> None:
    encoder = Encoder.fit(pa.table({"x": [1.5, 2.5, None], "a": ["u", "v", "u"], "b": [True, None, False]}), standardise=False)
    batch = pa.record_batch({"x": [1.5, None], "a": ["v", "w"], "b": [None, True]})
    numbers, places = encode_batch(encoder, batch)
    assert_array_equal(numbers, [[1.5], [2.0]])
    assert_array_equal(places, [[2, 5], [-1, 4]])
