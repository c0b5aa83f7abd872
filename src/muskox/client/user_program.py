"""mx.rounds: the public door through which users run algorithms of their own on the engine that muskox itself uses."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from muskox.program import (
    ArrayPartition,
    Block,
    Done,
    Manifest,
    Outcome,
    RoundReport,
    RunOptions,
    Runs,
    Shard,
    in_process,
    run_options,
)
from muskox.records import Record


@dataclass(frozen=True, slots=True)
class UserProgram:
    """A program made of four functions of a user's."""

    on_initial: Callable[[Manifest], Record]
    on_partial: Callable[[Record, Shard, Iterator[Block]], Record]
    on_merge: Callable[[Record, Record], Record]
    on_update: Callable[[Record, Record], Record | Done]
    columns: tuple[str, ...] = ()

    def reads(self) -> tuple[str, ...]:
        return self.columns

    def initial(self, manifest: Manifest) -> Record:
        return self.on_initial(manifest)

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        return self.on_partial(state, shard, blocks)

    def merge(self, left: Record, right: Record) -> Record:
        return self.on_merge(left, right)

    def update(self, state: Record, total: Record) -> Record | Done:
        return self.on_update(state, total)


def rounds(  # noqa: PLR0913  # keywords of the public door
    dataset: Any,
    *,
    initial: Callable[[Manifest], Record],
    partial: Callable[[Record, Shard, Iterator[Block]], Record],
    merge: Callable[[Record, Record], Record],
    update: Callable[[Record, Record], Record | Done],
    columns: Sequence[str] = (),
    workers: int | None = None,
    on_round: Callable[[RoundReport], None] | None = None,
    options: RunOptions | None = None,
) -> Record:
    """Run your own algorithm in synchronous rounds, with everything muskox promises: any death, same bits.

    Parameters
    ----------
    dataset : a dataset of a cluster, or a pyarrow Table or pandas DataFrame to run in this process
    initial : ``initial(manifest) -> state`` before the first round
    partial : ``partial(state, shard, blocks) -> partial`` of one shard; ``block["column"]`` is an array of shape (rows,)
    merge : ``merge(left, right) -> partial`` of two neighbours in the fixed tree
    update : ``update(state, total) -> state`` after the round, or ``mx.Done(result)``
    columns : those that `partial` looks at; none means all. Where a dataset has column groups, others are not read
    workers : at most so many, which changes no bit of the result
    options : what else there is to say of a run on a cluster; see :class:`muskox.RunOptions`

    States, partials and results are records: dicts of arrays and JSON values. The functions must be pure: every worker
    computes `update` by itself. On a cluster they travel as code, between members that proved the cluster's secret.

    Returns
    -------
    The result that `update` gave to ``mx.Done``.

    Raises
    ------
    CallerError
        If a function raised: the message says which, in which round and on which shard.
    """
    program = UserProgram(initial, partial, merge, update, tuple(columns))
    outcome: Outcome = as_dataset(dataset).run(program, run_options(options, workers=workers, on_round=on_round))
    return outcome.result


def as_dataset(data: Any) -> Runs:
    """Return `data` if it is a dataset, else the pyarrow Table or pandas DataFrame that it is as one of this process."""
    if isinstance(data, Runs):
        return data
    import pyarrow as pa

    table = data if isinstance(data, pa.Table) else pa.Table.from_pandas(data, preserve_index=False)
    return in_process(table, ArrayPartition())
