"""Pinned runs: a program whose bits depend on how its process was started runs in a child that was started so.

What a CPU offers is chosen when PyTorch, MKL or OpenBLAS are loaded, and the caller's process has often loaded them. So the
child, started with the pins of :mod:`muskox.runtime.pins`, gets the table as an Arrow file that it maps, and the program as a
worker would, and does what the in-process engine does. It sends back each round's report and the result, or the error.

Starting one takes a second or two (PyTorch's import, mostly); so one that has done its work waits for the next. It ends with
this process, whatever ends that, and at once if the run is interrupted.
"""

import atexit
import contextlib
import math
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from muskox import runtime
from muskox.errors import CallerError, Corrupt, MuskoxError, PeerError, Unavailable
from muskox.program import ArrayPartition, Outcome, RoundReport, RunOptions
from muskox.records import Record, pack, unpack
from muskox.task_list import TaskList
from muskox.trusted_code import trust_only, trusted

if TYPE_CHECKING:
    from muskox.engines.in_process import TableDataset
    from muskox.program import Program

LENGTH_BYTES = 8  # before each message
CHILD = "from muskox.engines.pinned import serve; serve({})"
ERRORS = {kind.__name__: kind for kind in (CallerError, Corrupt, PeerError, Unavailable)}
IDLE_MAX = 1  # children that wait for the next run
END_WAIT_S = 10.0  # for one that was killed


def run_pinned(program: "Program | TaskList", dataset: "TableDataset", options: RunOptions) -> Outcome:
    """Run `program` over `dataset` in a pinned process, and wait for the result.

    Raises
    ------
    CallerError
        If the program refuses the data, or raised: then the error has the child's traceback as a note.
    Unavailable
        If the child ended: it was killed, or the machine's memory was not enough.
    """
    with tempfile.TemporaryDirectory(prefix="muskox-") as folder:
        path = Path(folder) / "table.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, dataset.table.schema) as writer:
            writer.write_table(dataset.table)
        request: Record = {
            "program": runtime.program_record(program),
            "path": str(path),
            "shards": dataset.partition.shards,
            "by": dataset.partition.by,
            "rounds_max": options.rounds_max,
            "changes": [[round_, dict(values)] for round_, values in options.changes],
            "reports": options.on_round is not None,
            "trusted": trusted(),
        }
        with _child() as child:
            child.send(request)
            while True:
                answer = child.receive()
                if "report" in answer:
                    assert options.on_round is not None, "or we would not have asked for reports"
                    options.on_round(RoundReport(**answer["report"]))
                elif "error" in answer:
                    raise _raised(answer)
                else:
                    return Outcome(answer["result"], int(answer["rounds"]))


def _raised(answer: Record) -> MuskoxError:
    error = ERRORS.get(str(answer["error"]), CallerError)(str(answer["sentence"]))
    for note in answer["notes"]:
        error.add_note(str(note))
    return error


class Child:
    """A pinned process, from here."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.has_answered = False  # the last request, to its end
        self._pipe, theirs = socket.socketpair()
        home = str(Path(__file__).resolve().parents[2])
        before = os.environ.get("PYTHONPATH")
        paths = {"PYTHONPATH": os.pathsep.join([home, before] if before else [home]), "PYTHONSAFEPATH": "1"}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", CHILD.format(theirs.fileno())],
                env={**os.environ, **runtime.pinned_environment(), **paths},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us to decide
            )

    def send(self, message: Record) -> None:
        self.has_answered = False
        try:
            _write(self._pipe, message)
        except OSError as error:
            raise self._ended() from error

    def receive(self) -> Record:
        try:
            message = _read(self._pipe)
        except OSError as error:
            raise self._ended() from error
        if message is None:
            raise self._ended()
        self.has_answered = "report" not in message
        return message

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.wait(END_WAIT_S)

    def _ended(self) -> Unavailable:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_WAIT_S)
        code = self._process.returncode
        return Unavailable(f"the process that computed this ended ({code}): run it again, with more memory if that is why")


_lock = threading.Lock()
_idle: list[Child] = []


@contextlib.contextmanager
def _child() -> Iterator[Child]:
    """Lend a child; it is kept for the next run if it has answered this one, and ended if it is in the midst of it."""
    child = _waiting() or Child()
    try:
        yield child
    finally:  # whatever interrupts us: Ctrl-C, an error in on_round
        if child.has_answered:
            _keep(child)
        else:
            child.end()


def _waiting() -> Child | None:
    with _lock:
        while _idle:
            child = _idle.pop()
            if child.owner == os.getpid() and child.is_alive:  # after a fork it is still our parent's
                return child
    return None


def _end_idle() -> None:
    with _lock:
        while _idle:
            _idle.pop().end()


atexit.register(_end_idle)


def _keep(child: Child) -> None:
    with _lock:
        if child.is_alive and len(_idle) < IDLE_MAX:
            _idle.append(child)
            return
    child.end()


# -- the child --


def serve(fileno: int) -> None:
    """Do one run after the other, until whoever started us is gone; the entry of the child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = socket.socket(fileno=fileno)
    threading.Thread(target=_end_with, args=(pipe.dup(),), name="parent", daemon=True).start()
    with contextlib.suppress(OSError):
        while (request := _read(pipe)) is not None:
            _write(pipe, _answer(pipe, request))


def _answer(pipe: socket.socket, request: Record) -> Record:
    """Return the result of a run, or what went wrong."""
    try:
        outcome = _run(pipe, request)
    except MuskoxError as error:
        return {"error": type(error).__name__, "sentence": str(error), "notes": list(getattr(error, "__notes__", []))}
    return {"result": outcome.result, "rounds": outcome.rounds}


def _run(pipe: socket.socket, request: Record) -> Outcome:
    from muskox.engines.in_process import InProcess, TableDataset

    def tell(report: RoundReport) -> None:
        metrics = {name: float(value) for name, value in report.metrics.items() if math.isfinite(value)}
        told = {"round": report.round, "metrics": metrics, "phases": dict(report.phases)}
        _write(pipe, {"report": told})

    trust_only(map(str, request["trusted"]))
    with pa.memory_map(request["path"]) as source:
        table = pa.ipc.open_file(source).read_all()
    dataset = TableDataset(table, ArrayPartition(int(request["shards"]), str(request["by"])))
    changes = [(int(round_), values) for round_, values in request["changes"]]
    on_round = tell if request["reports"] else None
    options = RunOptions(rounds_max=int(request["rounds_max"]), changes=changes, on_round=on_round)
    try:
        return InProcess().run_here(runtime.load_program(request["program"]), dataset, options)
    except MuskoxError:
        raise
    except Exception as error:  # bulkhead: a user's program may raise anything; it ends its run, not us
        told = CallerError(f"the program raised {type(error).__name__}: {error}")
        told.add_note(traceback.format_exc())
        raise told from error


def _end_with(pipe: socket.socket) -> None:
    """End this process when its parent is gone, whatever it computes."""
    watch = select.poll()
    watch.register(pipe, select.POLLRDHUP | select.POLLHUP)
    watch.poll()
    os._exit(0)


# -- messages --


def _write(pipe: socket.socket, message: Record) -> None:
    data = pack(message)
    pipe.sendall(len(data).to_bytes(LENGTH_BYTES, "little"))
    pipe.sendall(data)


def _read(pipe: socket.socket) -> Record | None:
    """Return the next message, or None at the end."""
    head = _exactly(pipe, LENGTH_BYTES)
    data = None if head is None else _exactly(pipe, int.from_bytes(head, "little"))
    return None if data is None else unpack(data)


def _exactly(pipe: socket.socket, count: int) -> bytearray | None:
    data = bytearray(count)
    view, have = memoryview(data), 0
    while have < count:
        got = pipe.recv_into(view[have:])
        if got == 0:
            return None
        have += got
    return data
