"""The in-process engine: a table in memory, cut into shards, and the loop that runs a program over them here and now.

It is the plainest of the engines and the measure of the others: same program, same shards, same bits.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
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
        pieces = cut(self.table, partition)
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


def cut(table: Any, partition: ArrayPartition) -> list[Any]:
    """Return the rows of each shard, in the order of the file.

    Raises
    ------
    CallerError
        If the partition is neither "rows" nor "hash:COLUMN" of a column that is there, or has no shards.
    """
    shards, rows = partition.shards, table.num_rows
    if shards < 1:
        raise CallerError(f"shards={shards!r}: it must be a whole number, 1 or above")
    if partition.by == "rows":
        bounds = [index * rows // shards for index in range(shards + 1)]
        return [table.slice(first, end - first) for first, end in pairwise(bounds)]
    kind, _, name = partition.by.partition(":")
    if kind != "hash" or not name:
        raise CallerError(f'by={partition.by!r}: it is "rows" or "hash:COLUMN"')
    if name not in table.schema.names:
        raise CallerError(f"no column {name!r} to partition by: this table has {', '.join(table.schema.names)}")
    from muskox.store import assign_shards

    owners = assign_shards(table.column(name), shards)
    order = np.argsort(owners, kind="stable")
    ends = np.cumsum(np.bincount(owners, minlength=shards))
    sorted_rows = table.take(pa.array(order))
    return [sorted_rows.slice(first, end - first) for first, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]


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
    if pa.types.is_null(column.type):
        return column.cast(pa.float64())
    kind = kind_of(name, column.type)
    if kind == "timestamp":
        return column
    try:
        return pc.cast(column, {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "string": pa.string()}[kind])
    except pa.ArrowInvalid as error:
        raise CallerError(f"column {name!r} does not fit {kind}: {error}") from error


def kind_of(name: str, type_: Any) -> str:
    """Return the type of a column by the name that manifests use."""
    kinds = (
        ("int", pa.types.is_integer),
        ("float", pa.types.is_floating),
        ("bool", pa.types.is_boolean),
        ("timestamp", pa.types.is_temporal),
    )
    for kind, belongs in kinds:
        if belongs(type_):
            return kind
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "string"
    raise CallerError(f"column {name!r} is {type_}: a dataset holds int, float, bool, string and timestamp columns")
