"""The in-process engine: how it cuts, what a program sees, when it stops."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox import tree
from muskox.engines import InProcess, TableDataset, in_process_dataset
from muskox.errors import CallerError
from muskox.learn import LogisticRegression
from muskox.program import BLOCK_ROWS, ArrayPartition, Block, Done, Manifest, RunOptions, Runs, Shard, in_process
from muskox.records import Record
from muskox.store import assign_shards


class Trace:
    """Write down how the total was merged, for a given number of rounds."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def initial(self, manifest: Manifest) -> Record:
        return {"round": 0, "shards": manifest.shards}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        return {"text": str(shard.index), "rows": sum(block.rows for block in blocks)}

    def merge(self, left: Record, right: Record) -> Record:
        return {"text": f"({left['text']} {right['text']})", "rows": left["rows"] + right["rows"]}

    def update(self, state: Record, total: Record) -> Record | Done:
        if state["round"] + 1 == self.rounds:
            return Done(total)
        return {**state, "round": state["round"] + 1}

    def report(self, state: Record) -> dict[str, float]:
        return {"half": state["round"] / 2}


def numbers(rows: int) -> Any:
    return pa.table({"n": np.arange(rows), "key": [f"k{i % 17}" for i in range(rows)]})


def rows_of(dataset: TableDataset) -> list[list[int]]:
    return [[int(n) for block in shard.blocks for n in block["n"]] for shard in dataset.shards]


def test_a_dataset_of_a_table_runs_programs_where_it_is() -> None:
    dataset = in_process(numbers(10), ArrayPartition(5))
    assert isinstance(dataset, Runs) and isinstance(dataset, TableDataset)
    outcome = dataset.run(Trace(3), RunOptions())
    assert (outcome.result, outcome.rounds) == ({"text": "(((0 1) (2 3)) 4)", "rows": 10}, 3)
    assert InProcess().run(Trace(3), dataset, RunOptions()) == outcome


@given(st.integers(0, 60), st.integers(1, 20))
def test_contiguous_shards_hold_every_row_once_in_order(rows: int, shards: int) -> None:
    dataset = in_process_dataset(numbers(rows), ArrayPartition(shards))
    found = rows_of(dataset)
    assert [row for shard in found for row in shard] == list(range(rows))
    assert [len(shard) for shard in found] == [(i + 1) * rows // shards - i * rows // shards for i in range(shards)]
    assert dataset.manifest.shard_rows == tuple(map(len, found))


def test_shards_by_hash_are_those_of_the_store_in_the_order_of_the_file() -> None:
    table = numbers(500)
    owners = assign_shards(table.column("key"), 4)
    found = rows_of(in_process_dataset(table, ArrayPartition(4, "hash:key")))
    assert found == [np.flatnonzero(owners == shard).tolist() for shard in range(4)]


@pytest.mark.parametrize("rows", [0, 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS + 7])
def test_blocks_have_the_fixed_number_of_rows_but_the_last(rows: int) -> None:
    (shard,) = in_process_dataset(numbers(rows), ArrayPartition()).shards
    sizes = [block.rows for block in shard.blocks]
    assert sum(sizes) == rows
    assert all(size == BLOCK_ROWS for size in sizes[:-1])
    assert [block.rows for block in shard.blocks] == sizes  # a shard opens again


def test_chunks_of_the_table_cannot_be_seen() -> None:
    table = pa.concat_tables([numbers(3), numbers(BLOCK_ROWS), numbers(5)])
    (shard,) = in_process_dataset(table, ArrayPartition()).shards
    assert [block.rows for block in shard.blocks] == [BLOCK_ROWS, 8]


def test_every_round_is_reported_but_the_last_which_is_the_result() -> None:
    seen: list[Any] = []
    in_process(numbers(4), ArrayPartition()).run(Trace(4), RunOptions(on_round=seen.append))
    assert [(report.round, dict(report.metrics), report.generation) for report in seen] == [
        (1, {"half": 0.5}, 0),
        (2, {"half": 1.0}, 0),
        (3, {"half": 1.5}, 0),
    ]


def test_a_round_tells_what_it_spent_its_time_on() -> None:
    seen: list[Any] = []
    in_process(numbers(4), ArrayPartition()).run(Trace(3), RunOptions(on_round=seen.append))
    for report in seen:
        phases = dict(report.phases)
        assert phases.pop("rows_per_s") == pytest.approx(4 / phases["round"])
        assert phases.pop("round") == pytest.approx(sum(phases.values()))
        assert set(phases) == {"compute", "reduce", "update"} and min(phases.values()) >= 0.0


def test_a_program_that_never_ends_is_stopped_at_its_bound() -> None:
    with pytest.raises(CallerError, match="Trace did not finish within 7 rounds"):
        in_process(numbers(4), ArrayPartition()).run(Trace(8), RunOptions(rounds_max=7))
    assert in_process(numbers(4), ArrayPartition()).run(Trace(7), RunOptions(rounds_max=7)).rounds == 7


@pytest.mark.parametrize("change", [(0, {"rate": 1.0}), (3, {})])
def test_a_change_that_nobody_would_make_is_refused(change: Any) -> None:
    with pytest.raises(CallerError, match="a change gives values to parameters after round 1 or a later one"):
        in_process(numbers(4), ArrayPartition()).run(Trace(4), RunOptions(changes=[change]))


def test_a_program_without_changeable_parameters_refuses_a_change() -> None:
    with pytest.raises(CallerError, match="Trace has no parameter that may change while it runs"):
        in_process(numbers(4), ArrayPartition()).run(Trace(4), RunOptions(changes=[(2, {"rate": 1.0})]))


def test_columns_are_kept_in_the_five_types_of_a_dataset() -> None:
    table = pa.table(
        {
            "i": pa.array([1, 2], pa.int8()),
            "u": pa.array([1, 2], pa.uint64()),
            "f": pa.array([1.5, 2.5], pa.float32()),
            "none": pa.nulls(2),
            "b": [True, None],
            "s": pa.array(["a", "b"]).dictionary_encode(),
            "l": pa.array(["a", "b"], pa.large_string()),
            "t": [datetime(2013, 1, 1), None],
            "d": pa.array([datetime(2013, 1, 1).date(), None]),
        }
    )
    dataset = in_process_dataset(table, ArrayPartition())
    kinds = {
        "i": "int",
        "u": "int",
        "f": "float",
        "none": "float",
        "b": "bool",
        "s": "string",
        "l": "string",
        "t": "timestamp",
        "d": "timestamp",
    }
    assert dict(dataset.manifest.columns) == kinds
    assert dataset.table.schema.field("i").type == pa.int64()
    assert dataset.table.schema.field("s").type == pa.string()
    assert dataset.table.schema.field("t").type == dataset.table.schema.field("d").type == pa.timestamp("us")


@pytest.mark.parametrize(
    ("table", "partition", "says"),
    [
        (numbers(3), ArrayPartition(0), "shards"),
        (numbers(3), ArrayPartition(2, "hash:nothing"), "no column 'nothing'.* n, key"),
        (numbers(3), ArrayPartition(2, "month"), "'month' is no way to partition"),
        (pa.table({}), ArrayPartition(), "column"),
        (pa.table({"x": [[1], [2]]}), ArrayPartition(), "column 'x'"),
        (pa.table([[1], [2]], names=["x", "x"]), ArrayPartition(), "'x'"),
        (pa.table({"u": pa.array([2**64 - 1], pa.uint64())}), ArrayPartition(), "column 'u'"),
    ],
)
def test_a_wrong_table_or_partition_is_refused_by_name(table: Any, partition: ArrayPartition, says: str) -> None:
    with pytest.raises(CallerError, match=says):
        in_process_dataset(table, partition)


def test_the_merges_are_those_of_the_tree() -> None:
    for shards in range(1, 13):
        result = in_process(numbers(12), ArrayPartition(shards)).run(Trace(1), RunOptions()).result
        leaves = {(0, i): str(i) for i in range(shards)}
        assert result["text"] == tree.reduce(leaves, tree.root(shards), shards, lambda a, b: f"({a} {b})")


def test_importing_muskox_loads_nothing_heavy() -> None:
    heavy = "('pyarrow', 'sklearn', 'scipy', 'kazoo', 'pandas')"
    code = f"import sys, muskox; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


def test_single_precision_numbers_are_read_widened_and_give_the_bits_of_double_precision() -> None:
    X = np.random.default_rng(3).normal(size=(500, 3)).astype(np.float32)
    dataset = in_process_dataset(pa.table({"f": pa.array(X[:, 0])}), ArrayPartition())
    block = next(dataset.shards[0].blocks)
    assert block["f"].dtype == np.float64
    assert block["f"].tolist() == X[:, 0].astype(np.float64).tolist()
    y = X[:, 0] > X[:, 1]
    narrow, wide = (LogisticRegression(max_rounds=5).fit(rows, y, shards=3) for rows in (X, X.astype(np.float64)))
    assert narrow.digest_ == wide.digest_


def test_threads_change_no_bit_and_the_first_shard_with_an_error_tells_it() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(500, 3))
    y = X[:, 0] > X[:, 1]
    one, many = (LogisticRegression(max_rounds=5).fit(X, y, shards=7, workers=workers) for workers in (1, None))
    assert one.digest_ == many.digest_

    def refuse(index: int) -> Any:
        raise CallerError(f"shard {index} cannot be read")

    program = LogisticRegression().program("y")
    dataset = in_process_dataset(pa.table({"x": [1.0] * 6, "y": [0, 1] * 3}), ArrayPartition(3))
    dataset.shards[1:] = [Shard(index, 2, lambda index=index: refuse(index)) for index in (1, 2)]
    with pytest.raises(CallerError, match="shard 1 cannot be read"):
        dataset.run(program, RunOptions())
