"""Uneven shards are measured, and the key to blame is named with its share, in bounded memory."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muskox.store.partition.assignment import cut
from muskox.store.partition.skew import CANDIDATES_MAX, DominantKey, Skew, find_dominant_key, measure_skew


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50))
def test_skew_is_the_largest_over_the_mean(rows: list[int]) -> None:
    skew = measure_skew(rows)
    mean = sum(rows) / len(rows)
    assert skew.max_over_mean == pytest.approx(max(rows) / mean if mean else 1.0)
    assert rows[skew.largest] == max(rows) and max(rows) not in rows[: skew.largest]
    assert (skew.empty, skew.shards, skew.rows) == (rows.count(0), len(rows), sum(rows))


def test_skew_is_said_in_a_sentence() -> None:
    assert measure_skew([5, 5]).sentence() == "the largest shard (0) has 1.0 times the mean of 5 rows"
    assert measure_skew([0, 0, 9000]).sentence() == (
        "the largest shard (2) has 3.0 times the mean of 3,000 rows; 2 of 3 shards are empty"
    )


def test_a_usual_put_pays_nothing() -> None:
    table = pa.table({"key": [f"k{i}" for i in range(20_000)]})
    for by in ("rows", "hash:key", "random", "range:key", "sha256:key"):
        assert not measure_skew([part.num_rows for part in cut(table, 12, by)]).is_large, by
    assert not measure_skew([10, 0, 0]).is_large, "of so few rows"
    assert not measure_skew([10_000]).is_large, "of one shard"


def dominant(table: Any, shards: int, by: str, columns: list[str]) -> DominantKey | None:
    parts = cut(table, shards, by)
    skew = measure_skew([part.num_rows for part in parts])
    return find_dominant_key(parts[skew.largest].to_batches(max_chunksize=700), columns, skew) if skew.is_large else None


@pytest.mark.parametrize("by", ["hash:carrier", "sha256:carrier", "range:carrier"])
@pytest.mark.parametrize("shards", [3, 12, 500])
def test_a_key_with_most_of_the_rows_is_named(by: str, shards: int) -> None:
    table = pa.table({"carrier": ["UA" if i % 100 < 61 else f"C{i % 977}" for i in range(20_000)]})
    found = dominant(table, shards, by, ["carrier"])
    assert found is not None and found.share == pytest.approx(0.61, abs=0.001)
    assert found.sentence(shards) == f"carrier 'UA' has 61 % of the rows: no rule on it can balance {shards} shards"


def test_a_key_with_ten_fair_shards_is_named_and_one_with_five_is_not() -> None:
    for share, is_named in ((0.055, False), (0.115, True)):
        table = pa.table({"n": [7 if i % 1000 < share * 1000 else 1000 + i for i in range(50_000)]})
        found = dominant(table, 100, "hash:n", ["n"])
        assert (found is not None) == is_named
        if found is not None:
            assert found.text == "7" and found.share == pytest.approx(0.115, abs=0.001)


def test_keys_of_several_columns_and_missing_ones_are_told() -> None:
    rows = range(6000)
    pair = pa.table({"a": ["x" if i % 3 else f"y{i}" for i in rows], "b": [1.5 if i % 3 else float(i) for i in rows]})
    found = dominant(pair, 8, "hash:a,b", ["a", "b"])
    assert found is not None and found.text == "'x', 1.5"
    assert found.sentence(8) == "a, b 'x', 1.5 has 67 % of the rows: no rule on it can balance 8 shards"
    for missing in (None, math.nan):
        table = pa.table({"k": pa.array([missing if i % 4 else float(i) for i in range(6000)], pa.float64())})
        found = dominant(table, 8, "hash:k", ["k"])
        assert found is not None and found.text == "missing"


def test_without_a_key_to_blame_nobody_is_blamed() -> None:
    few = pa.table({"k": [f"k{i % 3}" for i in range(9000)]})
    assert measure_skew([part.num_rows for part in cut(few, 12, "hash:k")]).is_large
    assert dominant(few, 12, "hash:k", ["k"]) is None
    assert find_dominant_key([few], [], measure_skew([9000, 0])) is None
    assert find_dominant_key([], ["k"], measure_skew([9000, 0])) is None


def test_a_heavy_key_is_found_among_many_in_bounded_memory() -> None:
    rows = 40 * CANDIDATES_MAX
    keys = np.where(np.arange(rows) % 5 < 3, -1, np.arange(rows))
    batches = pa.table({"k": keys}).to_batches(max_chunksize=3 * CANDIDATES_MAX)
    found = find_dominant_key(batches, ["k"], Skew(1.9, 0, 0, 2, rows))
    assert found is not None and found.text == "-1"
    assert 0.6 - 1 / CANDIDATES_MAX <= found.share <= 0.6


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=300), st.integers(1, 50))
def test_of_few_keys_the_share_is_exact(keys: list[int], size: int) -> None:
    found = find_dominant_key(pa.table({"k": keys}).to_batches(max_chunksize=size), ["k"], Skew(2.0, 0, 0, 2, len(keys)))
    most = max(set(keys), key=keys.count)
    if 2 * keys.count(most) > len(keys):
        assert found == DominantKey(("k",), str(most), keys.count(most) / len(keys))
    else:
        assert found is None


def test_long_keys_are_cut_off_in_the_sentence() -> None:
    found = find_dominant_key([pa.table({"k": ["x" * 1000] * 2000})], ["k"], Skew(2.0, 0, 1, 2, 2000))
    assert found is not None and len(found.sentence(2)) < 140


def test_a_heavy_key_that_comes_late_and_thinly_pushes_out_those_that_came_before() -> None:
    early = pa.table({"k": [f"early {i % CANDIDATES_MAX}" for i in range(50 * CANDIDATES_MAX)]})
    late = [pa.table({"k": ["late"] * 10 + [f"single {batch}-{i}" for i in range(40)]}) for batch in range(300)]
    rows = 50 * CANDIDATES_MAX + 300 * 50
    found = find_dominant_key([early, *late], ["k"], Skew(2.0, 0, 0, 1000, rows))
    assert found is not None and found.text == "'late'"
    assert 3000 / rows - 1 / CANDIDATES_MAX <= found.share <= 3000 / rows
