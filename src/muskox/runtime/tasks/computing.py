"""What a worker of a task job computes with: its task list, the tasks, the shards of one task, and the results that it keeps.

It knows nothing of generations or peers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from muskox.digest import digest
from muskox.errors import Corrupt, Unavailable
from muskox.program import Manifest, Shard
from muskox.records import Record, normal, pack
from muskox.runtime.computing import BrokenShard, OpenShard, ProgramFailed, asked
from muskox.runtime.tasks.events import Found, Saved, TaskDone
from muskox.runtime.tasks.results import KeptResults, ResultFile, pack_piece, unpack_piece
from muskox.task_list import Shards, TaskList, described, needed

RESULT_BYTES_MAX = 1 << 30  # of a task, and of the job: each travels as one frame


class TaskComputation:
    """One worker's share of a task job. `results` are those that it keeps, of its own tasks and, as root, of all."""

    def __init__(self, listed: TaskList, manifest: Manifest, open_shard: OpenShard) -> None:
        self._listed = listed
        self._manifest = manifest
        self._open = open_shard
        self._shards: dict[int, Shard] = {}  # those of the last task, with what it derived from them; of the thread that runs
        self._result = b""
        self.results = ResultFile()
        self.tasks: Sequence[Record] = asked("tasks", lambda: described(listed, manifest))

    def needed(self, task: int) -> list[int]:
        """Return the shards that a task looks at."""
        indexes: list[int] = asked(f"shards (task {task})", lambda: needed(self._listed, self.tasks[task], self._manifest))
        return indexes

    def run(self, task: int, files: Mapping[int, Sequence[str]]) -> TaskDone:
        """Run a task on the shards in these files.

        Raises
        ------
        BrokenShard
            If a file is not what was written.
        ProgramFailed
            If the task list raised.
        """
        for index in [index for index in self._shards if index not in files]:
            self._shards.pop(index).forget_all()
        self._shards = {index: self._shards.get(index) or self._opened(index, paths) for index, paths in files.items()}
        shards = Shards(self._manifest, sorted(files), self._shards.__getitem__)
        result: Record = asked(f"run (task {task})", lambda: normal(self._listed.run(self.tasks[task], shards)))
        return TaskDone(task, digest(result), packed(result, f"the result of task {task}"))

    def _opened(self, index: int, paths: Sequence[str]) -> Shard:
        try:
            return self._open([Path(path) for path in paths], index)
        except (Corrupt, Unavailable) as error:
            raise BrokenShard(index, str(error)) from error

    def collect(self, digests: Sequence[str]) -> str:
        """Make the job's result of those of all tasks, the ones with these digests, and return its digest."""
        results = KeptResults(self.results, digests)
        result: Record = asked("collect", lambda: normal(self._listed.collect(results)))
        self._result = packed(result, "the job's result")
        return digest(result)

    def packed_result(self) -> bytes:
        return self._result

    def piece(self, found: Mapping[int, Found]) -> bytes:
        """Return these results as one body."""
        return pack_piece(self.results, found)

    def restore(self, number: int, body: bytes) -> tuple[Saved, dict[int, Found]]:
        """Keep the results of a piece, none if its body is lost; return it, and what is known of each by task."""
        told = {}
        for task, (found, packed_result) in (unpack_piece(body) if body else {}).items():
            self.results.keep(task, found.digest, packed_result)
            told[task] = found
        return Saved(number, tuple(told), sum(found.size_bytes for found in told.values())), told


def packed(result: Record, what: str) -> bytes:
    """Return `result` as bytes; ProgramFailed if there are too many."""
    body = pack(result)
    if len(body) > RESULT_BYTES_MAX:
        raise ProgramFailed(f"{what} has {len(body)} bytes: at most {RESULT_BYTES_MAX}; make more tasks, or smaller results")
    return body
