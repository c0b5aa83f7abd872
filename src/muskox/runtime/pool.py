"""Worker processes as their node sees them: started from a forkserver, spoken to over one socket pair each.

The forkserver is started before any gRPC and before any thread of the node, with the pins set, and has NumPy and pyarrow
loaded: a worker then costs a fork. Workers are ended by closing the pair; one that does not listen is killed.
"""

import contextlib
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.util
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable
from multiprocessing.context import ForkServerContext

from muskox.errors import PeerError
from muskox.runtime.forked import FOLDER
from muskox.runtime.message import Message
from muskox.runtime.messages import LENGTHS, FromWorker, check_lengths, decode_from_worker, frame
from muskox.runtime.pins import pin_environment
from muskox.runtime.worker import worker_main

OnMessage = Callable[["WorkerProcess", FromWorker, bytes], None]
OnGone = Callable[["WorkerProcess"], None]

PRELOADED = [
    "muskox.runtime.worker",
    "muskox.learn.linear.logistic",
    "muskox.learn.model",
    "muskox.evaluate",
]  # a fork has them
# Where pandas is installed, pyarrow imports it with the first array that becomes NumPy's: some 0.4 s of a worker's first round.
PRELOADED += ["pandas", "pyarrow.pandas_compat"]  # not there: not loaded
PRELOADED += ["muskox.learn.compiled"]  # Numba and its compiler: half a second of a worker's first round with a kernel
PRELOADED += ["muskox.runtime.forked"]


def start_forkserver() -> ForkServerContext:
    """Start the process that workers are forked from; call before threads, gRPC and sockets exist."""
    pin_environment()
    main = sys.modules["__main__"]
    main.__spec__ = None  # a worker needs nothing of our main module, and importing it again would cost its start
    if hasattr(main, "__file__"):
        del main.__file__
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    os.environ[FOLDER] = multiprocessing.util.get_temp_dir()
    multiprocessing.forkserver.ensure_running()
    del os.environ[FOLDER]
    return context


class WorkerProcess:
    """One worker. `on_message` and `on_gone` are called on this worker's own reading thread."""

    def __init__(self, context: ForkServerContext, name: str, on_message: OnMessage, on_gone: OnGone) -> None:
        self.name = name
        self.address = ""  # where its collective listens, once it has said so
        self._on_message = on_message
        self._on_gone = on_gone
        self._to_send: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()  # as much as its job's agent says to it
        self._pipe, theirs = socket.socketpair()
        with theirs:
            self._process = context.Process(target=worker_main, args=(theirs,), name=name, daemon=True)
            self._process.start()
        threading.Thread(target=self._read, name=f"pipe of {name}", daemon=True).start()
        threading.Thread(target=self._write, name=f"pipe to {name}", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def send(self, head: Message, body: bytes = b"") -> None:
        """Have a frame sent, without waiting: who is stopped reads nothing. One that is gone shows at its reading thread."""
        self._to_send.put(frame(head, body))

    def stop(self) -> None:
        """Close the pipe: it ends by itself even while it computes."""
        self._shutdown()

    def kill(self) -> None:
        """End it now; for one that was put out."""
        self._process.kill()
        self._shutdown()

    def end(self) -> None:
        """End it now, as if it had ended by itself: its reading thread tells."""
        self._process.kill()

    def _shutdown(self) -> None:
        self._to_send.put(None)
        with contextlib.suppress(OSError):
            self._pipe.shutdown(socket.SHUT_RDWR)

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while (data := self._to_send.get()) is not None:
                self._pipe.sendall(data)

    def _read(self) -> None:
        try:
            with self._pipe, self._pipe.makefile("rb") as file:
                while True:
                    head_bytes, body_bytes = check_lengths(_exactly(file.read(LENGTHS.size), LENGTHS.size))
                    head = decode_from_worker(_exactly(file.read(head_bytes), head_bytes))
                    self._on_message(self, head, _exactly(file.read(body_bytes), body_bytes))
        except (OSError, PeerError):
            if self._process.is_alive():
                self._process.kill()
        finally:
            self._to_send.put(None)
            self._process.join()  # what it had of the machine is free only then
            self._on_gone(self)


def _exactly(data: bytes, count: int) -> bytes:
    if len(data) != count:
        raise PeerError("the worker ended")
    return data
