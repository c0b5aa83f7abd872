"""What a worker computes with: its program, its state, and the shards it owns.

It turns states and sums into bytes and back so that every worker, whether it computed a value itself or received it, goes on
from the very same bits. It knows nothing of generations or peers.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from muskox.digest import digest
from muskox.errors import CallerError, Corrupt, MuskoxError
from muskox.program import Block, Done, Manifest, Program, Publishes, Reports, Shard, resolve
from muskox.records import Record, pack, unpack
from muskox.runtime.rounds import Holding
from muskox.tree import Node, cover, reduce, root

OpenShard = Callable[[Path, int], Shard]


class Abandoned(Exception):
    """The round is of no use any more: a new generation was formed while it was computed."""


class ProgramFailed(MuskoxError):
    """The program cannot go on: a sentence for whoever submitted the job."""


def load_program(record: Mapping[str, Any]) -> Program:
    """Return the program of a job: one of muskox's own by name, or a user's code.

    User code is unpickled. It is trusted because only members that proved the cluster's secret can name its digest in a job,
    and the bytes were checked against that digest.
    """
    if "code" not in record:
        return resolve(record)
    import cloudpickle

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if record["python"] != version:
        raise CallerError(f"the program was written with Python {record['python']}; this node runs {version}")
    program: Program = cloudpickle.loads(record["code"].tobytes())
    return program


class Computation:
    """One worker's share of one job."""

    def __init__(self, program: Program, manifest: Manifest, open_shard: OpenShard) -> None:
        self._program = program
        self._manifest = manifest
        self._open = open_shard
        self._shards: dict[int, Shard] = {}
        self._state: Record = {}
        self._packed = b""
        self._is_done = False

    def own(self, files: Mapping[int, str]) -> None:
        """Own exactly these shards from now on; what was derived from a shard that stays is kept."""
        self._shards = {
            index: self._shards.get(index) or self._open(Path(path), index) for index, path in sorted(files.items())
        }

    def begin(self) -> Holding:
        """Take the program's initial state."""
        return self._hold(0, False, pack(self._asked("initial", lambda: self._program.initial(self._manifest))))

    def load(self, round_: int, is_done: bool, data: bytes) -> Holding:
        """Take the packed state of a peer or of a checkpoint."""
        return self._hold(round_, is_done, data)

    def _hold(self, round_: int, is_done: bool, data: bytes) -> Holding:
        # Every state is read back from its bytes, also our own: so a survivor and one who adopted it hold the same values.
        self._state, self._packed, self._is_done = unpack(data), data, is_done
        return Holding(round_, digest(self._state), is_done)

    def packed_state(self) -> bytes:
        return self._packed

    def parts(self, round_: int, abandoned: Callable[[], bool]) -> dict[Node, bytes]:
        """Return the packed values of the highest tree nodes that lie wholly in our shards, left to right."""
        shards = self._manifest.shards
        values: dict[Node, Record] = {}
        for index, shard in self._shards.items():
            blocks = _until(shard.blocks, abandoned)
            where = f"partial (round {round_ + 1}, shard {index})"
            values[(0, index)] = self._asked(where, partial(self._program.partial, self._state, shard, blocks))
        nodes = cover(self._shards, shards)
        return {node: self._packed_value(values, node) for node in nodes}

    def total(self, parts: Mapping[Node, bytes]) -> bytes:
        """Return the packed value of the whole tree."""
        values = {node: unpack(data) for node, data in parts.items()}
        return self._packed_value(values, root(self._manifest.shards))

    def _packed_value(self, values: Mapping[Node, Record], node: Node) -> bytes:
        value: Record = reduce(values, node, self._manifest.shards, self._merge)
        return pack(value)

    def update(self, round_: int, total: bytes) -> Holding:
        """Go from round `round_` to the next, and return what we hold then."""
        state = self._asked(f"update (round {round_ + 1})", lambda: self._program.update(self._state, unpack(total)))
        is_done = isinstance(state, Done)
        return self._hold(round_ + 1, is_done, pack(state.result if isinstance(state, Done) else state))

    def report(self) -> dict[str, float]:
        """Return what the program tells about the state."""
        if not isinstance(self._program, Reports) or self._is_done:
            return {}
        return {name: float(value) for name, value in self._program.report(self._state).items()}

    def publish(self) -> None:
        """Let the program show its result outside, if it does that."""
        if isinstance(self._program, Publishes):
            program, result = self._program, self._state
            self._asked("publish", lambda: program.publish(result))

    def _merge(self, left: Record, right: Record) -> Record:
        merged: Record = self._asked("merge", lambda: self._program.merge(left, right))
        return merged

    def _asked(self, where: str, call: Callable[[], Any]) -> Any:
        """Call the program; what it raises becomes a sentence that says where."""
        try:
            return call()
        except (CallerError, Abandoned, Corrupt, MemoryError, OSError) as error:
            if isinstance(error, CallerError):
                raise ProgramFailed(str(error)) from error
            raise
        except Exception as error:  # bulkhead: a user's program may raise anything; it fails its job, not the worker
            raise ProgramFailed(f"the program raised {type(error).__name__} in {where}: {error}") from error


def _until(blocks: Iterator[Block], abandoned: Callable[[], bool]) -> Iterator[Block]:
    for block in blocks:
        if abandoned():
            raise Abandoned
        yield block
