"""The in-process engine: a table in memory, cut into shards, and the loop that runs a program over them here and now.

It is the plainest of the engines and the measure of the others: same program, same shards, same bits.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pyarrow as pa

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
    Publishes,
    Reports,
    RoundReport,
    RunOptions,
    Shard,
    adjusted,
    check_changes,
    is_portable,
    needs_pins,
)
from muskox.records import Record, normal
from muskox.runtime import usable_cores
from muskox.store import columns_of, conform_table, cut
from muskox.task_list import Shards, TaskList, described, needed


class InProcess:
    """The engine whose workers are threads of the calling process; its datasets are :class:`TableDataset`."""

    def run(self, program: Program | TaskList, dataset: "TableDataset", options: RunOptions) -> Outcome:
        """Run `program` over `dataset` until it is done.

        Raises
        ------
        CallerError
            If the program did not finish within ``options.rounds_max`` rounds, or refuses the data.
        """
        if needs_pins(program):
            from muskox.runtime import is_pinned

            if not is_pinned():
                from muskox.engines.pinned import run_pinned

                return run_pinned(program, dataset, options)
        return self.run_here(program, dataset, options)

    def run_here(self, program: Program | TaskList, dataset: "TableDataset", options: RunOptions) -> Outcome:
        """Run it in this very process, however that was started."""
        if isinstance(program, TaskList):
            return run_tasks(program, dataset, options)
        check_changes(options.changes)
        with _threads_for(program, dataset, options) as pool:
            return self._rounds(program, dataset, options, pool)

    def _rounds(self, program: Program, dataset: "TableDataset", options: RunOptions, pool: Executor | None) -> Outcome:
        state = normal(program.initial(dataset.manifest))
        for round_ in range(1, options.rounds_max + 1):
            watch = _Watch()
            partials = self._partials(program, state, dataset.shards, pool)
            watch.lap("compute")
            total = merged(program, partials, len(dataset.shards))
            watch.lap("reduce")
            after = program.update(state, total)
            if isinstance(after, Done):
                result = normal(after.result)
                if isinstance(program, Publishes):
                    program.publish(result)
                return Outcome(result, round_)
            state = normal(after)
            for at, values in options.changes:
                if at == round_:
                    state = normal(adjusted(program, state, values))
            watch.lap("update")
            if options.on_round is not None:
                metrics = program.report(state) if isinstance(program, Reports) else {}
                options.on_round(RoundReport(round_, metrics, phases=watch.phases(dataset.manifest.rows)))
        raise CallerError(f"{type(program).__name__} did not finish within {options.rounds_max} rounds")

    def _partials(
        self, program: Program, state: Record, shards: Sequence[Shard], pool: Executor | None
    ) -> dict[tree.Node, Record]:
        """Return the contribution of each shard. An error is that of the first shard that has one."""

        def compute(shard: Shard) -> Record:
            return normal(program.partial(state, shard, shard.blocks))

        if pool is None:
            return {(0, shard.index): compute(shard) for shard in shards}
        waiting = [pool.submit(compute, shard) for shard in shards]
        try:
            return {(0, shard.index): future.result() for shard, future in zip(shards, waiting, strict=True)}
        finally:
            for future in waiting:
                future.cancel()


def _threads_for(program: Program, dataset: "TableDataset", options: RunOptions) -> AbstractContextManager[Executor | None]:
    """Return threads to work on several shards at a time, if the program is ours: others may mind them."""
    is_ours = is_portable(program) and not needs_pins(program)
    shards = len(dataset.shards)
    threads = min(shards, usable_cores(), options.workers or shards) if is_ours else 1
    return ThreadPoolExecutor(threads, "shards") if threads > 1 else nullcontext()


def run_tasks(listed: TaskList, dataset: "TableDataset", options: RunOptions) -> Outcome:
    """Run the tasks of `listed` over `dataset`, one after the other."""
    results: list[Record] = []
    tasks = described(listed, dataset.manifest)
    for task in tasks:
        shards = Shards(dataset.manifest, needed(listed, task, dataset.manifest), dataset.shards.__getitem__)
        results.append(normal(listed.run(task, shards)))
        if options.on_round is not None:
            options.on_round(RoundReport(len(results), {"tasks": len(tasks), "done": len(results)}))
    return Outcome(normal(listed.collect(results)), len(tasks))


def merged(program: Program, partials: dict[tree.Node, Record], shards: int) -> Record:
    """Return the contribution of all shards to a round, merged in the fixed tree."""
    return tree.reduce(partials, tree.root(shards), shards, lambda left, right: normal(program.merge(left, right)))


class _Watch:
    """What one round spends its time on."""

    def __init__(self) -> None:
        self._began = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        now = time.perf_counter()
        self._laps[phase], self._last = now - self._last, now

    def phases(self, rows: int) -> dict[str, float]:
        """Return the seconds of each phase and of the round, and the rows a second."""
        seconds = self._last - self._began
        return {**self._laps, "round": seconds, "rows_per_s": rows / max(seconds, 1e-9)}


WIDE = (pa.float64(), pa.int64(), pa.bool_(), pa.string())  # types that a dataset's columns have


class TableDataset:
    """A table in memory as a dataset: satisfies :class:`muskox.program.Runs`."""

    def __init__(self, table: Any, partition: ArrayPartition) -> None:
        self.table = table if partition.by == "rows" and is_narrow(table) else conform_table(table)
        self.partition = partition
        pieces = cut(self.table, partition.shards, partition.by)
        columns = columns_of(self.table.schema, "the table")
        self.shards = [Shard(index, piece.num_rows, opener(piece)) for index, piece in enumerate(pieces)]
        self._manifest = Manifest(columns, tuple(shard.rows for shard in self.shards))

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    def run(self, program: Program | TaskList, options: RunOptions) -> Outcome:
        return InProcess().run(program, self, options)


def in_process_dataset(table: Any, partition: ArrayPartition) -> TableDataset:
    """Return `table` as a dataset that runs programs in this process."""
    return TableDataset(table, partition)


def is_narrow(table: Any) -> bool:
    """Return whether `table` needs nothing but its single-precision numbers widened, which whoever reads a block does."""
    return isinstance(table, pa.Table) and all(pa.types.is_float32(kind) or kind in WIDE for kind in table.schema.types)


def opener(piece: Any) -> Any:
    """Return what opens the blocks of a shard: consecutive record batches of BLOCK_ROWS rows, the last one shorter."""
    whole = piece.combine_chunks()

    def blocks() -> Iterator[Block]:
        for first in range(0, whole.num_rows, BLOCK_ROWS):
            batches = whole.slice(first, BLOCK_ROWS).to_batches()
            if len(batches) > 1:  # text beyond what one array holds stays in several
                batches = pa.Table.from_batches(batches).combine_chunks().to_batches()
            yield Block(batches[0])

    return blocks
