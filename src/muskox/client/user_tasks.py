"""mx.tasks: the public door through which users run independent tasks of their own: folds, trees, candidates of a search."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from muskox.client.user_program import as_dataset
from muskox.program import Manifest, Outcome, RoundReport, RunOptions, run_options
from muskox.records import Record
from muskox.task_list import Shards

Described = Sequence[Record] | Callable[[Manifest], Sequence[Record]]
Wanted = Callable[[Record, Manifest], Sequence[int] | None]


@dataclass(frozen=True, slots=True)
class UserTasks:
    """A task list made of a user's functions."""

    listed: Described
    on_run: Callable[[Record, Shards], Record]
    on_collect: Callable[[Sequence[Record]], Record] | None = None
    wanted: Wanted | None = None
    columns: tuple[str, ...] = ()

    def reads(self) -> tuple[str, ...]:
        return self.columns

    def tasks(self, manifest: Manifest) -> Sequence[Record]:
        return self.listed(manifest) if callable(self.listed) else self.listed

    def shards(self, task: Record, manifest: Manifest) -> Sequence[int] | None:
        return None if self.wanted is None else self.wanted(task, manifest)

    def run(self, task: Record, shards: Shards) -> Record:
        return self.on_run(task, shards)

    def collect(self, results: Sequence[Record]) -> Record:
        if self.on_collect is not None:
            return self.on_collect(results)
        return {str(index): result for index, result in enumerate(results)}


def tasks(  # noqa: PLR0913  # keywords of the public door
    dataset: Any,
    *,
    tasks: Described,
    run: Callable[[Record, Shards], Record],
    collect: Callable[[Sequence[Record]], Record] | None = None,
    shards: Wanted | None = None,
    columns: Sequence[str] = (),
    workers: int | None = None,
    cores: float | None = None,
    on_round: Callable[[RoundReport], None] | None = None,
    options: RunOptions | None = None,
) -> Any:
    """Run independent tasks of your own, each on whichever worker is free, with all that muskox promises: any death, same bits.

    Parameters
    ----------
    dataset : a dataset of a cluster, or a pyarrow Table or pandas DataFrame to run in this process
    tasks : the description of each task, a record; or ``tasks(manifest) -> [record, ...]``
    run : ``run(task, shards) -> result``; iterate over `shards`, or take ``shards.blocks`` or ``shards.to_arrow()``
    collect : ``collect(results) -> result`` of the job, from those of the tasks in their order; None returns them as a list
    shards : ``shards(task, manifest) -> [index, ...]``: the shards that a task looks at; None means all, for every task
    columns : those that `run` looks at; none means all. Where a dataset has column groups, others are not read
    workers : at most so many, which changes no bit of the result
    cores : that each worker takes of its node
    on_round : called with reports of finished tasks: `round` says how many, ``metrics`` "tasks", "done"
    options : what else there is to say of a run on a cluster; see :class:`muskox.RunOptions`

    Descriptions and results are records: dicts of arrays and JSON values. The functions must be pure: a task may run twice, and
    the first answer counts. Take random numbers from ``mx.stream(seed, purpose, round=number_of_the_task)``. On a cluster the
    functions travel as code, between members that proved the cluster's secret.

    Raises
    ------
    CallerError
        If a function raised on a cluster: the message says which, and in which task. If two workers found different results.

    Examples
    --------
    >>> import pyarrow as pa
    >>> table = pa.table({"x": [1.0, 2.0, 4.0]})
    >>> tasks(table, tasks=[{"power": 1}, {"power": 2}],
    ...       run=lambda task, shards: {"sum": float(sum((block["x"] ** task["power"]).sum() for block in shards.blocks))})
    [{'sum': 7.0}, {'sum': 21.0}]
    """
    listed = UserTasks(tasks, run, collect, shards, tuple(columns))
    chosen = run_options(options, workers=workers, cores=cores, on_round=on_round)
    outcome: Outcome = as_dataset(dataset).run(listed, chosen)
    result = outcome.result
    return result if collect is not None else [result[str(index)] for index in range(len(result))]
