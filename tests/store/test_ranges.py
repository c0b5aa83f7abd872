"""Bounds are a function of the data alone, balance shards, keep equal keys together and order them."""

import json
import math
from bisect import bisect_right
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muskox.errors import CallerError
from muskox.store.partition.hashing import mix
from muskox.store.partition.ranges import BOUND_CHARACTERS_MAX, SAMPLE_ROWS, range_bounds, range_shards

KINDS = [
    (pa.string(), st.text(max_size=4)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.float64(), st.floats()),
    (pa.bool_(), st.booleans()),
    (pa.timestamp("us"), st.datetimes()),
]
EACH_KIND = pytest.mark.parametrize(
    ("kind", "values"), KINDS, ids=lambda item: str(item) if isinstance(item, pa.DataType) else ""
)


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def order_of(value: Any) -> Any:
    """What a key is ordered by, as documented: text by its UTF-8 bytes, missing values last."""
    if is_missing(value):
        return (1, 0)
    return (0, value.encode() if isinstance(value, str) else value)


def reference_shards(values: list[Any], shards: int, bounds: tuple[Any, ...]) -> list[int]:
    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return int(np.datetime64(value, "us").astype(np.int64))
        return value.encode() if isinstance(value, str) else value

    known = [plain(bound) for bound in bounds if bound is not None]
    return [shards - 1 if is_missing(value) else bisect_right(known, plain(value)) for value in values]


@EACH_KIND
@settings(deadline=None)
@given(data=st.data(), shards=st.integers(1, 12))
def test_a_value_lies_after_the_bounds_that_are_not_above_it(kind: Any, values: Any, data: Any, shards: int) -> None:
    drawn = data.draw(st.lists(st.one_of(st.none(), values), max_size=40))
    others = data.draw(st.lists(st.one_of(st.none(), values), max_size=40))
    bounds = range_bounds([pa.array(drawn, kind)], shards)
    assert len(bounds) == shards - 1
    assert tuple(json.loads(json.dumps(bounds, allow_nan=False))) == bounds
    for each in (drawn, others):
        column = pa.array(each, kind)
        shard = range_shards(column, shards, bounds).tolist()
        assert (
            shard == reference_shards(each, shards, bounds) == range_shards(column.dictionary_encode(), shards, bounds).tolist()
        )
        in_order = sorted(range(len(each)), key=lambda row: order_of(each[row]))
        assert [shard[row] for row in in_order] == sorted(shard)


@EACH_KIND
@settings(deadline=None)
@given(data=st.data())
def test_few_distinct_keys_lie_in_a_shard_each(kind: Any, values: Any, data: Any) -> None:
    finite = values.filter(lambda value: not is_missing(value) and value not in (math.inf, -math.inf))
    drawn = data.draw(st.lists(finite, min_size=1, max_size=9))
    shard = range_shards(pa.array(drawn, kind), 10, range_bounds([pa.array(drawn, kind)], 10)).tolist()
    assert len(set(shard)) == len({order_of(value) for value in drawn} if kind != pa.float64() else set(drawn))


@settings(deadline=None)
@given(st.lists(st.integers(0, 300), max_size=6), st.integers(1, 20))
def test_the_bounds_do_not_depend_on_how_rows_are_batched(edges: list[int], shards: int) -> None:
    text = pa.array(
        [None if i % 17 == 0 else f"k{int(word) % 1000}" for i, word in enumerate(mix(np.arange(300, dtype=np.uint64)))]
    )
    cuts = [0, *sorted(edges), 300]
    pieces = [text.slice(first, end - first) for first, end in pairwise(cuts)]
    assert range_bounds(pieces, shards) == range_bounds([text], shards)


def test_the_sample_of_many_rows_is_bounded_and_does_not_depend_on_batches() -> None:
    rows = 5 * SAMPLE_ROWS
    floats = pa.array(np.where(np.arange(rows) % 3 == 0, -0.0, np.sin(np.arange(rows))))
    expected = range_bounds([floats], 100)
    for size in (10_007, SAMPLE_ROWS, 3 * SAMPLE_ROWS):
        assert range_bounds([floats.slice(first, size) for first in range(0, rows, size)], 100) == expected
    chosen = np.argsort(mix(np.arange(rows, dtype=np.uint64)))[:SAMPLE_ROWS]
    assert range_bounds([floats.take(pa.array(chosen))], 100) == expected, "the sample is the rows of the smallest mixes"


def test_shards_of_a_continuous_column_are_balanced() -> None:
    rows = 400_000
    values = pa.array(np.exp(np.sin(np.arange(rows) * 12.9898) * 5))
    counts = np.bincount(range_shards(values, 12, range_bounds([values], 12)), minlength=12)
    assert counts.min() > 0.95 * rows / 12 and counts.max() < 1.05 * rows / 12


def test_a_key_with_most_of_the_rows_leaves_the_others_balanced() -> None:
    rows = 100_000
    heavy = np.arange(rows) % 10 < 6
    values = pa.array(np.where(heavy, 500_000, (np.arange(rows) * 7919) % 1_000_003))
    counts = np.bincount(range_shards(values, 11, range_bounds([values], 11)), minlength=11)
    light = np.sort(counts)[:-1]
    assert counts.max() >= heavy.sum()
    assert (counts > 0).all() and light.max() < 1.6 * 40_000 / 10, counts


def test_missing_values_take_the_last_shard_and_no_other() -> None:
    values = pa.array([None if i % 3 else float(i) for i in range(30_000)])
    shard = range_shards(values, 6, range_bounds([values], 6))
    counts = np.bincount(shard, minlength=6)
    assert counts[5] == 20_000 and counts[:5].max() < 1.05 * 10_000 / 5
    assert range_bounds([pa.nulls(5)], 4) == (None, None, None) == range_bounds([], 4)
    assert range_shards(pa.nulls(2), 4, (None, None, None)).tolist() == [3, 3]


def test_infinities_have_shards_and_bounds_stay_finite() -> None:
    values = pa.array([-math.inf] * 50 + [1.0] * 5 + [math.inf] * 45)
    bounds = range_bounds([values], 3)
    assert all(math.isfinite(bound) for bound in bounds if isinstance(bound, float))
    shard = range_shards(values, 3, bounds).tolist()
    assert shard == sorted(shard) and shard[0] < shard[-1]


def test_long_text_is_cut_off_in_bounds_and_still_lies_in_order() -> None:
    values = pa.array(sorted("é" * 250 + str(i) * 20 for i in range(100)))
    bounds = range_bounds([values], 8)
    assert all(isinstance(bound, str) and len(bound) <= BOUND_CHARACTERS_MAX for bound in bounds)
    shard = range_shards(values, 8, bounds).tolist()
    assert shard == sorted(shard) and len(set(shard)) == 8


def test_bounds_of_another_number_of_shards_are_refused() -> None:
    with pytest.raises(CallerError, match="4 shards by range have 3 bounds between them, not 0"):
        range_shards(pa.array([1]), 4, ())


def test_the_bounds_never_change() -> None:
    assert range_bounds([pa.array([f"N{i % 977}" for i in range(300_000)])], 4) == ("N319", "N539", "N759")


def test_zero_has_one_spelling_in_bounds() -> None:
    values = [-1.0, -0.0, 0.0, 1.0]
    for drawn in (values, values[::-1]):
        assert json.dumps(range_bounds([pa.array(drawn)], 3)) == "[0.0, 1.0]"
