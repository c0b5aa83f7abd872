"""What a worker computes with: its program, its state, and the shards it owns.

Every value of a program is brought into the form that it has after a journey (:func:`muskox.records.normal`), so that whoever
computed it itself goes on from the very same bits as whoever received it. It knows nothing of generations or peers.
"""

import math
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from muskox.digest import digest
from muskox.errors import CallerError, Corrupt, MuskoxError, Unavailable
from muskox.program import Adds, Block, Done, Manifest, Program, Reports, Shard, adjusted, resolve
from muskox.records import Record, normal, pack, unpack
from muskox.runtime.message import Buffer
from muskox.runtime.round_events import Holding
from muskox.task_list import TaskList
from muskox.tree import Climb, Node

OpenShard = Callable[[Sequence[Path], int], Shard]


class Abandoned(Exception):
    """The round is of no use any more: a new generation was formed while it was computed."""


class BrokenShard(MuskoxError):
    """A shard's file is not what was written; `index` says which."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


class ProgramFailed(MuskoxError):
    """The program cannot go on: a sentence for whoever submitted the job."""


def load_program(record: Mapping[str, Any]) -> Program | TaskList:
    """Return the program or task list of a job: one of muskox's own by name, or a user's code.

    User code is unpickled. It is trusted because only members that proved the cluster's secret can name its digest in a job,
    and the bytes were checked against that digest.
    """
    if "code" not in record:
        return resolve(record)
    import cloudpickle

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if record["python"] != version:
        raise CallerError(f"the program was written with Python {record['python']}; this node runs {version}")
    try:
        program: Program | TaskList = cloudpickle.loads(record["code"].tobytes())
    except Exception as error:  # bulkhead: loading runs the user's imports
        raise CallerError(f"the program cannot be loaded on this node: {type(error).__name__}: {error}") from error
    return program


class Computation:
    """One worker's share of one job."""

    def __init__(self, program: Program, manifest: Manifest, open_shard: OpenShard) -> None:
        self._program = program
        self._manifest = manifest
        self._open = open_shard
        self._files: dict[int, list[Path]] = {}
        self._lent: dict[int, list[Path]] = {}
        self._shards: dict[int, Shard] = {}  # those opened; touched by the computing thread only
        self._state: Record = {}
        self._packed = b""
        self._is_done = False

    def own(self, files: Mapping[int, Sequence[str]]) -> None:
        """Own exactly these shards from now on; what was derived from a shard that stays is kept."""
        self._files = {index: [Path(path) for path in paths] for index, paths in sorted(files.items())}
        self._lent = {}

    def lend(self, files: Mapping[int, Sequence[str]]) -> None:
        """Have these shards at hand, too, which others own, in place of those lent before: what was derived from them goes."""
        self._lent = {index: [Path(path) for path in paths] for index, paths in files.items()}

    def lacking(self, shards: Collection[int]) -> list[int]:
        """Return which shards must be lent to us so that all of these are at hand; none if they are."""
        if all(index in self._files or index in self._lent for index in shards):
            return []
        return sorted({index for index in shards if index not in self._files})

    def begin(self) -> Holding:
        """Take the program's initial state."""
        return self._hold(0, False, asked("initial", lambda: pack(self._program.initial(self._manifest))))

    def load(self, round_: int, is_done: bool, data: Buffer) -> Holding:
        """Take the packed state of a peer or of a checkpoint."""
        return self._hold(round_, is_done, bytes(data))

    def _hold(self, round_: int, is_done: bool, data: bytes) -> Holding:
        self._state, self._packed, self._is_done = unpack(data), data, is_done
        return Holding(round_, digest(self._state), is_done)

    @property
    def is_done(self) -> bool:
        """Whether the state is the result: nothing can be computed from it."""
        return self._is_done

    def packed_state(self) -> bytes:
        return self._packed

    def adds(self) -> bool:
        """Return whether the program only adds in the round that begins with our state."""
        program = self._program
        if not isinstance(program, Adds) or self._is_done:
            return False
        return bool(asked("adds", lambda: program.adds(self._state)))

    def partials(
        self,
        round_: int,
        abandoned: Callable[[], bool],
        shards: Sequence[int] | None = None,
        seen: Callable[[int, Record], None] = lambda *_: None,
    ) -> dict[Node, Record]:
        """Return the values of the highest tree nodes that lie wholly in our shards, or in these, left to right.

        `seen` is shown each shard's own value.

        Raises
        ------
        Abandoned
            As soon as `abandoned` says so: the files and the state may then be others already.
        BrokenShard
            If a file is not what was written.
        """
        state, at_hand = self._state, {**self._lent, **self._files}
        climb: Climb[Record] = Climb(self._manifest.shards, self.merge)
        for index in self._files if shards is None else sorted(shards):
            if abandoned() or index not in at_hand:
                raise Abandoned
            shard = self._opened(index, at_hand)
            ask = partial(self._partial, state, shard, _until(shard.blocks, abandoned))
            value = asked(f"partial (round {round_ + 1}, shard {index})", ask)
            seen(index, value)
            climb.add(index, value)
        for index in [index for index in self._shards if index not in at_hand]:
            self._shards.pop(index).forget_all()
        return climb.values

    def _partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        return normal(self._program.partial(state, shard, blocks))

    def _opened(self, index: int, files: Mapping[int, Sequence[Path]]) -> Shard:
        if index not in self._shards:
            try:
                self._shards[index] = self._open(files[index], index)
            except (Corrupt, Unavailable) as error:
                raise BrokenShard(index, str(error)) from error
        return self._shards[index]

    def update(self, round_: int, total: Record, changes: Sequence[Mapping[str, float]] = ()) -> Holding:
        """Go from round `round_` to the next, make these changes of parameters, and return what we hold then."""
        where = f"update (round {round_ + 1})"
        is_done, data = asked(where, lambda: _packed(self._changed(self._program.update(self._state, total), changes)))
        return self._hold(round_ + 1, is_done, data)

    def _changed(self, after: Record | Done, changes: Sequence[Mapping[str, float]]) -> Record | Done:
        """Return the state with the changes made; a result has no parameters any more."""
        for values in changes:
            if not isinstance(after, Done):
                after = adjusted(self._program, after, values)
        return after

    def refusal(self, values: Mapping[str, float]) -> str:
        """Return why our state cannot have these values; "" if it can. May be called beside whatever is computed."""
        try:
            asked("adjust", lambda: adjusted(self._program, self._state, values))
        except ProgramFailed as error:
            return str(error)
        return ""

    def report(self) -> dict[str, float]:
        """Return what the program tells about the state."""
        program, state = self._program, self._state
        if not isinstance(program, Reports) or self._is_done:
            return {}
        told: dict[str, float] = asked(
            "report", lambda: {name: float(value) for name, value in program.report(state).items() if math.isfinite(value)}
        )
        return told

    def merge(self, left: Record, right: Record) -> Record:
        """Return the program's contribution of two neighbours in the tree."""
        merged: Record = asked("merge", lambda: normal(self._program.merge(left, right)))
        return merged


def asked(where: str, call: Callable[[], Any]) -> Any:
    """Call the program; what it raises becomes a sentence that says where."""
    try:
        return call()
    except CallerError as error:
        raise ProgramFailed(str(error)) from error
    except (Abandoned, MemoryError, OSError):
        raise
    except Exception as error:  # bulkhead: a user's program may raise anything; it fails its job, not the worker
        raise ProgramFailed(f"the program raised {type(error).__name__} in {where}: {error}") from error


def _packed(after: Record | Done) -> tuple[bool, bytes]:
    """Return whether this is the result, and its bytes."""
    return (True, pack(after.result)) if isinstance(after, Done) else (False, pack(after))


def _until(blocks: Iterator[Block], abandoned: Callable[[], bool]) -> Iterator[Block]:
    for block in blocks:
        if abandoned():
            raise Abandoned
        yield block
