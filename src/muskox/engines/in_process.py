"""The in-process engine: a table in memory, cut into shards, and the loop that runs a program over them here and now.

It is the plainest of the engines and the measure of the others: same program, same shards, same bits.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from muskox import tree
from muskox.errors import CallerError
from muskox.program import (
    BLOCK_ROWS,
    ArrayPartition,
    Block,
    Done,
    Manifest,
    Outcome,
    Program,
    Reports,
    RoundReport,
    RunOptions,
    Shard,
)
from muskox.records import Record
from muskox.store import cut

STORED = {
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us"),
}
KINDS = (
    ("int", (pa.types.is_integer,)),
    ("float", (pa.types.is_floating, pa.types.is_null)),
    ("bool", (pa.types.is_boolean,)),
    ("string", (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)),
    ("timestamp", (pa.types.is_timestamp, pa.types.is_date)),
)


class InProcess:
    """The engine whose worker is the calling thread; its datasets are :class:`TableDataset`."""

    def run(self, program: Program, dataset: "TableDataset", options: RunOptions) -> Outcome:
        """Run `program` over `dataset` until it is done.

        Raises
        ------
        CallerError
            If the program did not finish within ``options.rounds_max`` rounds, or refuses the data.
        """
        state = program.initial(dataset.manifest)
        for round_ in range(1, options.rounds_max + 1):
            after = program.update(state, total(program, state, dataset.shards))
            if isinstance(after, Done):
                return Outcome(after.result, round_)
            state = after
            if options.on_round is not None:
                metrics = program.report(state) if isinstance(program, Reports) else {}
                options.on_round(RoundReport(round_, metrics))
        raise CallerError(f"{type(program).__name__} did not finish within {options.rounds_max} rounds")


def total(program: Program, state: Record, shards: list[Shard]) -> Record:
    """Return the contribution of all shards to a round, merged in the fixed tree."""
    partials = {(0, shard.index): program.partial(state, shard, shard.blocks) for shard in shards}
    return tree.reduce(partials, tree.root(len(shards)), len(shards), program.merge)


class TableDataset:
    """A table in memory as a dataset: satisfies :class:`muskox.program.Runs`."""

    def __init__(self, table: Any, partition: ArrayPartition) -> None:
        self.table = normal(table)
        pieces = cut(self.table, partition.shards, partition.by)
        self.shards = [Shard(index, piece.num_rows, opener(piece)) for index, piece in enumerate(pieces)]
        columns = {field.name: kind_of(field.name, field.type) for field in self.table.schema}
        self._manifest = Manifest(columns, tuple(shard.rows for shard in self.shards))

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    def run(self, program: Program, options: RunOptions) -> Outcome:
        return InProcess().run(program, self, options)


def in_process_dataset(table: Any, partition: ArrayPartition) -> TableDataset:
    """Return `table` as a dataset that runs programs in this process."""
    return TableDataset(table, partition)


def opener(piece: Any) -> Any:
    """Return what opens the blocks of a shard: consecutive record batches of BLOCK_ROWS rows, the last one shorter."""
    whole = piece.combine_chunks()

    def blocks() -> Iterator[Block]:
        for first in range(0, whole.num_rows, BLOCK_ROWS):
            columns = [one_array(column.slice(first, BLOCK_ROWS)) for column in whole.columns]
            yield Block(pa.RecordBatch.from_arrays(columns, schema=whole.schema))

    return blocks


def one_array(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def normal(table: Any) -> Any:
    """Return the table with every column in the type that a dataset stores: int64, float64, bool, string or timestamp.

    Raises
    ------
    CallerError
        If a column has another type, a name is there twice, or there is no column.
    """
    names = table.schema.names
    if not names:
        raise CallerError("a table without columns is no dataset")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CallerError(f"column {twice[0]!r} is there twice: rename one")
    return pa.table({field.name: stored(field.name, table.column(field.name)) for field in table.schema})


def stored(name: str, column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = kind_of(name, column.type)
    try:
        return pc.cast(column, STORED[kind])
    except pa.ArrowInvalid as error:
        raise CallerError(f"column {name!r} does not fit {kind}: {error}") from error


def kind_of(name: str, type_: Any) -> str:
    """Return the type of a column by the name that manifests use; a column without any value is float."""
    for kind, belongs in KINDS:
        if any(test(type_) for test in belongs):
            return kind
    raise CallerError(f"column {name!r} is {type_}: a dataset holds int, float, bool, string and timestamp columns")
