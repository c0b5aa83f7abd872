"""Every rule cuts as documented, however rows are batched, and as `cut` does."""

import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muskox.errors import CallerError
from muskox.store import assign_rows, assign_shards, cut
from muskox.store.partition.assignment import SHARDS_MAX, assign, group, parse_by, sample_bounds
from muskox.store.partition.hashing import mix


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


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=20)), min_size=1), st.integers(0, 30), st.integers(1, 1000))
def test_the_shard_does_not_depend_on_how_a_column_is_laid_out(values: list[str | None], edge: int, shards: int) -> None:
    column = pa.array(values, pa.string())
    expected = assign_shards(column, shards).tolist()
    assert all(0 <= shard < shards for shard in expected)
    chunked = pa.chunked_array([column.slice(0, edge), column.slice(min(edge, len(column)))])
    for other in (chunked, column.dictionary_encode(), column.cast(pa.large_string()), column.cast(pa.string_view())):
        assert assign_shards(other, shards).tolist() == expected


@settings(deadline=None)
@given(st.lists(st.integers(-(2**53), 2**53)))
def test_a_column_promoted_to_float_keeps_its_shards(values: list[int]) -> None:
    ints = pa.array(values, pa.int64())
    assert assign_shards(ints, 64).tolist() == assign_shards(ints.cast(pa.float64()), 64).tolist()


def test_shards_are_balanced() -> None:
    counts = np.bincount(assign_shards(pa.array([f"N{i}" for i in range(100_000)]), 16))
    assert counts.min() > 5_800 and counts.max() < 6_700


@settings(deadline=None)
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


@pytest.mark.parametrize("shards", [0, -1, SHARDS_MAX + 1])
def test_a_senseless_number_of_shards_is_refused(shards: int) -> None:
    with pytest.raises(CallerError, match="between 1 and 100000"):
        assign_shards(pa.array([1]), shards)


def test_a_column_of_lists_is_no_key() -> None:
    table = pa.table({"lists": [[1]]})
    for by in ("hash:lists", "sha256:lists", "range:lists"):
        with pytest.raises(CallerError, match="list"):
            cut(table, 2, by)


RULES = ["rows", "hash:text", "hash:text,number,day", "sha256:text", "sha256:number", "range:text", "range:number", "random:7"]
TABLE_ROWS = 200


def example_table() -> Any:
    words = mix(np.arange(TABLE_ROWS, dtype=np.uint64)).astype(np.int64)
    return pa.table(
        {
            "text": [None if word % 19 == 0 else f"key {word % 23}" for word in words.tolist()],
            "number": pa.array([None if word % 13 == 0 else float(word % 1000) / 8 for word in words.tolist()], pa.float64()),
            "day": pa.array((words % 400 * 86_400_000_000).tolist(), pa.timestamp("us")),
            "row": list(range(TABLE_ROWS)),
        }
    )


@pytest.mark.parametrize("by", RULES)
@settings(deadline=None)
@given(edges=st.lists(st.integers(0, TABLE_ROWS), max_size=5), shards=st.integers(1, 30))
def test_shards_do_not_depend_on_batches_and_a_cut_is_the_same(by: str, edges: list[int], shards: int) -> None:
    table = example_table()
    rule = parse_by(by, table.column_names)
    cuts = [0, *sorted(edges), TABLE_ROWS]
    pieces = [table.slice(first, end - first) for first, end in pairwise(cuts)]
    batches = [batch for piece in pieces for batch in piece.to_batches()]
    bounds = sample_bounds(rule, iter(batches), shards)
    first, assigned = 0, []
    for batch in batches:
        assigned += assign(rule, batch, first, TABLE_ROWS, shards, bounds).tolist()
        first += batch.num_rows
    expected = [[row for row in range(TABLE_ROWS) if assigned[row] == shard] for shard in range(shards)]
    for whole in (table, pa.concat_tables(pieces)):
        assert [part["row"].to_pylist() for part in cut(whole, shards, by)] == expected


def test_only_a_rule_by_range_reads_the_rows_to_find_bounds() -> None:
    def unreadable() -> Any:
        raise AssertionError("the rows were read")
        yield

    for by in RULES:
        if not by.startswith("range"):
            assert sample_bounds(parse_by(by, example_table().column_names), unreadable(), 4) == ()


def test_random_shards_are_a_pure_function_of_seed_and_row_and_never_change() -> None:
    rows = pa.table({"x": pa.nulls(50_000)})
    shards = {seed: assign(parse_by(f"random:{seed}", ["x"]), rows, 0, 50_000, 16).tolist() for seed in (0, 1)}
    assert shards[0][:8] == [10, 0, 13, 12, 1, 3, 7, 6]
    assert sum(a == b for a, b in zip(shards[0], shards[1], strict=True)) < 50_000 / 16 * 1.2
    counts = np.bincount(shards[1], minlength=16)
    assert counts.min() > 2_900 and counts.max() < 3_350
    plain = mix(mix(np.array([1], np.uint64)) ^ np.arange(50_000, dtype=np.uint64)).tolist()
    assert shards[1] == [(word >> 32) * 16 >> 32 for word in plain]


@settings(deadline=None)
@given(st.integers(1, 70_000).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), max_size=60))))
def test_grouping_is_stable_and_complete(case: tuple[int, list[int]]) -> None:
    shards, assigned = case
    order, bounds = group(np.array(assigned, np.int64), shards)
    assert order.tolist() == sorted(range(len(assigned)), key=lambda row: (assigned[row], row))
    assert len(bounds) == shards + 1 and bounds[0] == 0 and bounds[-1] == len(assigned)
    assert all(bounds[shard] <= place < bounds[shard + 1] for place, shard in enumerate(sorted(assigned)))
