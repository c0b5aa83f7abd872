"""Bins: a sample that nobody's order changes, edges between values, and a place for what is missing."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from muskox.learn import Encoder
from muskox.learn.trees.binning import Binner, bins_record, category_bins, edges_of, merge_samples, sample
from muskox.program import BLOCK_ROWS
from muskox.records import Record
from muskox.streams import stream


def test_few_values_have_a_bin_each() -> None:
    assert edges_of(np.array([3.0, 1.0, np.nan, 1.0, 2.0]), 255).tolist() == [1.5, 2.5]
    assert edges_of(np.array([np.nan, 4.0]), 255).size == 0


def test_many_values_have_bins_of_about_equally_many_rows() -> None:
    values = np.random.default_rng(0).lognormal(size=10_000)
    edges = edges_of(values, 16)
    counts = np.bincount(np.searchsorted(edges, values), minlength=16)
    assert edges.size == 15 and counts.min() > 600 and counts.max() < 650


def test_an_edge_lies_between_neighbours_however_near() -> None:
    low, high = 1.0, np.nextafter(1.0, 2.0)
    edge = edges_of(np.array([low, high]), 2)[0]
    assert low <= edge < high
    huge = edges_of(np.array([-1.7e308, 1.7e308]), 2)
    assert huge.tolist() == [0.0]


def test_a_sample_is_the_same_in_any_order_of_merging() -> None:
    draw = np.random.default_rng(0)
    parts: list[Record] = []
    for _ in range(4):
        keys = draw.integers(1 << 63, size=9000)
        order = np.argsort(keys)
        parts.append({"keys": keys[order], "numbers": draw.normal(size=(9000, 2))[order]})
    left = merge_samples(merge_samples(parts[0], parts[1]), merge_samples(parts[2], parts[3]))
    right = merge_samples(parts[3], merge_samples(parts[1], merge_samples(parts[0], parts[2])))
    assert left["keys"].size == 1 << 14
    assert np.array_equal(left["keys"], right["keys"]) and np.array_equal(left["numbers"], right["numbers"])


@pytest.mark.parametrize("rows", [0, 700, 90_000])
def test_a_sample_drawn_block_by_block_is_that_of_all_rows_at_once(rows: int) -> None:
    values = np.random.default_rng(0).normal(size=(rows, 2))
    table = pa.table({"x": values[:, 0], "z": values[:, 1]})
    encoder = Encoder.fit(pa.table({"x": [0.0, 1.0], "z": [0.0, 1.0]}))
    found = sample(encoder, table.to_batches(max_chunksize=BLOCK_ROWS), stream(3, "bins", 5))
    keys = stream(3, "bins", 5).integers(1 << 63, size=rows, dtype=np.int64)
    chosen = np.argsort(keys, kind="stable")[: 1 << 14]
    np.testing.assert_array_equal(found["keys"], keys[chosen])
    np.testing.assert_array_equal(found["numbers"], values[chosen])


def test_no_more_of_a_shard_is_held_than_a_sample_and_a_few_blocks() -> None:
    encoder = Encoder.fit(pa.table({"x": [0.0, 1.0]}))
    batch = pa.record_batch({"x": np.random.default_rng(0).normal(size=BLOCK_ROWS)})
    tracemalloc.start()
    sample(encoder, (batch for _ in range(40)), stream(0, "bins"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * batch.nbytes  # all rows as numbers and keys are 80


def test_rare_categories_share_the_last_bin() -> None:
    counts = np.arange(300.0, 0.0, -1.0)
    table = category_bins(counts, 301)
    assert table[:254].tolist() == list(range(254))
    assert set(table[254:300].tolist()) == {254}
    assert table[300:].tolist() == [-1, -1]


def test_missing_and_unknown_have_the_bin_after_the_last() -> None:
    table = pa.table({"x": [1.0, 2.0, None], "city": ["Rome", "Oslo", None]})
    encoder = Encoder.fit(table)
    binner = Binner(encoder, bins_record(encoder, [[1.0, 1.0]], np.array([[1.0], [2.0], [np.nan]]), 255))
    batch = pa.record_batch({"x": [1.2, 9.0, None], "city": ["Oslo", "Paris", None]})
    assert binner.bins(batch).tolist() == [[0, 0], [1, 2], [2, 2]]
