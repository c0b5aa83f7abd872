"""TaskList: the contract of a job made of independent tasks, and the shards that a task looks at.

Where a program advances in rounds, all of its shards at a time, a task list is a number of pieces that know nothing of each
other: folds, trees, candidates of a search. Which worker runs which task, when and how often, changes no bit of the result:
`run` is pure, and `collect` gets the results in the order of the tasks. This file never knows which engine runs.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from muskox.errors import CallerError
from muskox.program import Block, Manifest, Shard
from muskox.records import Record, normal

if TYPE_CHECKING:
    import pyarrow as pa

TASKS_MAX = 100_000  # of a job: every worker holds their descriptions


class Shards:
    """The shards that one task looks at, each opened when it is first asked for.

    manifest : of the whole dataset
    """

    __slots__ = ("_indexes", "_open", "manifest")

    def __init__(self, manifest: Manifest, indexes: Sequence[int], open_shard: Callable[[int], Shard]) -> None:
        self.manifest = manifest
        self._indexes = tuple(indexes)
        self._open = open_shard

    def __len__(self) -> int:
        return len(self._indexes)

    def __iter__(self) -> Iterator[Shard]:
        """The shards by index."""
        return map(self._open, self._indexes)

    def __getitem__(self, index: int) -> Shard:
        if index not in self._indexes:
            raise CallerError(f"this task did not ask for shard {index}, but for {list(self._indexes)}")
        return self._open(index)

    @property
    def rows(self) -> int:
        return sum(self.manifest.shard_rows[index] for index in self._indexes)

    @property
    def blocks(self) -> Iterator[Block]:
        """The blocks of all of them, shard after shard."""
        return (block for shard in self for block in shard.blocks)

    def to_arrow(self) -> "pa.Table":
        """Return all their rows as one pyarrow.Table; CallerError if there are no rows at all."""
        import pyarrow as pa

        batches = [block.batch for block in self.blocks]
        if not batches:
            raise CallerError("the shards of this task have no rows")
        return pa.Table.from_batches(batches)


@runtime_checkable
class TaskList(Protocol):
    """What a job of independent tasks computes. Every method is pure: same arguments, same bits, in any process.

    Randomness comes from :func:`muskox.streams.stream`, with the number of the task in its purpose or round.
    """

    def tasks(self, manifest: Manifest) -> Sequence[Record]:
        """Return the description of each task, in order."""

    def shards(self, task: Record, manifest: Manifest) -> Sequence[int] | None:
        """Return the indexes of the shards that a task looks at; None means all."""

    def run(self, task: Record, shards: Shards) -> Record:
        """Return the result of a task."""

    def collect(self, results: Sequence[Record]) -> Record:
        """Return the job's result, from those of the tasks in their order."""


def described(listed: TaskList, manifest: Manifest) -> list[Record]:
    """Return the tasks of `listed` as they are after a journey.

    Raises
    ------
    CallerError
        If there are more than `TASKS_MAX`, or one is no record.
    """
    tasks = [normal(task) for task in listed.tasks(manifest)]
    if len(tasks) > TASKS_MAX:
        raise CallerError(f"{len(tasks)} tasks: a job has at most {TASKS_MAX}; give fewer, larger ones")
    return tasks


def needed(listed: TaskList, task: Record, manifest: Manifest) -> list[int]:
    """Return the indexes of the shards that `task` looks at, in order.

    Raises
    ------
    CallerError
        If it asks for a shard that the dataset has not.
    """
    asked = listed.shards(task, manifest)
    if asked is None:
        return list(range(manifest.shards))
    indexes = sorted({int(index) for index in asked})
    if indexes and not 0 <= indexes[0] <= indexes[-1] < manifest.shards:
        raise CallerError(f"a task asks for shards {indexes}: this dataset has shards 0 to {manifest.shards - 1}")
    return indexes
