"""Statistics of columns: exact where they can be, the same whatever the shards."""

from functools import reduce

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.digest import digest
from muskox.learn.columns import Column, Kind
from muskox.learn.statistics import block_statistics, empty, merge
from muskox.program import Block
from muskox.records import Record, pack, unpack

COLUMNS = [Column("x", Kind.FLOAT, categorical=False), Column("c", Kind.STRING, categorical=True)]
LIMITS = [3]

number = st.none() | st.floats(-1e6, 1e6, allow_nan=False)
text = st.none() | st.text("abcdeé€", max_size=2)


def of_rows(rows: list[tuple[float | None, str | None]], place: tuple[int, int] = (0, 0)) -> Record:
    numbers = pa.array([row[0] for row in rows], pa.float64())
    texts = pa.array([row[1] for row in rows], pa.string())
    return block_statistics(COLUMNS, LIMITS, place, Block(pa.RecordBatch.from_arrays([numbers, texts], ["x", "c"])))


@given(st.lists(st.lists(st.tuples(number, text), max_size=6), min_size=1, max_size=6))
def test_merged_statistics_are_those_of_all_rows(parts: list[list[tuple[float | None, str | None]]]) -> None:
    merged = reduce(merge, [of_rows(part) for part in parts])
    whole = of_rows([row for part in parts for row in part])
    for name in ("rows", "values", "counts", "missing"):
        assert merged[name] == whole[name], name
    for name in ("count", "low", "high"):
        assert merged[name].tolist() == whole[name].tolist()
    scale = max(1.0, float(np.nanmax(np.abs([row[0] or 0.0 for part in parts for row in part] + [0.0]))))
    np.testing.assert_allclose(merged["mean"], whole["mean"], atol=1e-12 * scale)
    np.testing.assert_allclose(merged["squares"], whole["squares"], rtol=1e-9, atol=1e-9 * scale * scale)


@given(*[st.lists(st.tuples(number, text), max_size=8)] * 3)
def test_cut_off_categories_do_not_depend_on_who_merged_first(a: list, b: list, c: list) -> None:  # type: ignore[type-arg]
    left, middle, right = of_rows(a), of_rows(b), of_rows(c)
    one, other = merge(merge(left, middle), right), merge(left, merge(middle, right))
    assert [one["values"], one["counts"]] == [other["values"], other["counts"]]
    assert all(len(values) <= 4 for values in one["values"])


@given(st.lists(st.tuples(number, text), max_size=8))
def test_no_rows_are_the_neutral_element(rows: list) -> None:  # type: ignore[type-arg]
    some, none = of_rows(rows), empty(COLUMNS, LIMITS)
    assert digest(merge(some, none)) == digest(merge(none, some)) == digest(some)
    assert digest(unpack(pack(some))) == digest(some)


def test_the_first_infinity_is_found_in_its_shard_and_row() -> None:
    blocks = [Block(pa.RecordBatch.from_pydict({"x": [1.0, 2.0], "c": ["a", "b"]})),
              Block(pa.RecordBatch.from_pydict({"x": [3.0, float("-inf")], "c": ["a", "b"]}))]  # fmt: skip
    parts = [block_statistics(COLUMNS, LIMITS, (4, 2 * index), block) for index, block in enumerate(blocks)]
    later = merge(parts[0], parts[1])
    assert later["infinite"].tolist() == [[4, 3]]
    assert merge(of_rows([(1.0, "a")]), later)["infinite"].tolist() == [[4, 3]]
    assert merge(of_rows([(float("inf"), "a")], (2, 0)), later)["infinite"].tolist() == [[2, 0]]


def test_ints_and_text_sort_by_value_and_by_utf8() -> None:
    columns = [Column("n", Kind.INT, categorical=True), Column("c", Kind.STRING, categorical=True)]
    batch = pa.RecordBatch.from_pydict({"n": [10, 9, -1], "c": ["é", "z", "Z"]})
    found = block_statistics(columns, [9, 9], (0, 0), Block(batch))
    assert found["values"] == [[-1, 9, 10], ["Z", "z", "é"]]
    assert found["values"][1] == sorted(found["values"][1], key=lambda value: value.encode())


def of_column(values: np.ndarray, weights: np.ndarray | None = None, place: tuple[int, int] = (0, 0)) -> Record:
    batch = pa.RecordBatch.from_arrays([pa.array(values)], ["x"])
    return block_statistics(COLUMNS[:1], [], place, Block(batch), weights)


@pytest.mark.parametrize("weights", [None, np.array([2.0, 1.0, 3.0, 0.5])])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_missing_numbers_do_not_count(weights: np.ndarray | None, dtype: type) -> None:
    found = of_column(np.array([np.nan, 1.0, 4.0, np.nan], dtype), weights)
    assert (found["count"], found["low"], found["high"]) == ((2, 1.0, 4.0) if weights is None else (4.0, 1.0, 4.0))
    assert (found["mean"], found["squares"]) == ((2.5, 4.5) if weights is None else (3.25, 6.75))
    assert of_column(np.array([np.nan, -np.inf], dtype), place=(2, 5))["infinite"].tolist() == [[2, 6]]
    assert of_column(np.full(2, np.nan, dtype))["count"] == 0


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("has_missing", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 2, 3, 15, 17, 1023, 1024, 1025, 5000])
def test_a_block_of_any_length_is_described(rows: int, dtype: type, has_missing: bool, is_weighted: bool) -> None:
    rng = np.random.default_rng(rows)
    values = rng.normal(3.0, 2.0, rows).astype(dtype)
    if has_missing:
        values[rng.random(rows) < 0.3] = np.nan
    factors = rng.uniform(0.5, 2.0, rows)
    found = of_column(values, factors if is_weighted else None)
    present = ~np.isnan(values)
    kept, weights = values[present].astype(np.float64), factors[present] if is_weighted else np.ones(present.sum())
    np.testing.assert_allclose(found["count"], weights.sum())
    if kept.size:
        mean = np.average(kept, weights=weights)
        np.testing.assert_allclose(found["mean"], mean)
        np.testing.assert_allclose(found["squares"], np.sum(weights * (kept - mean) ** 2), atol=1e-12)
        assert (found["low"], found["high"]) == (kept.min(), kept.max())
