"""Who submits a history's job and waits for its answer: a thread of ours, or a process of its own where it is to be killed."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from chaos.histories import History
from chaos.kinds import DO

import muskox as mx


class Client(Protocol):
    """`pid` is 0 where it cannot be killed."""

    pid: int

    def answer(self, within_s: float) -> str:
        """Return the digest that it was given; "" if it is dead."""


class Waiter(threading.Thread):
    """A client in a thread of this process."""

    pid = 0

    def __init__(self, cluster: mx.Cluster, output: Path, kind: str) -> None:
        super().__init__(name=f"client of {kind}", daemon=True)
        self._cluster, self._output, self._kind = cluster, output, kind
        self._answer = ""
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            self._answer = DO[self._kind](self._cluster, self._output)
        except Exception as error:  # noqa: BLE001  # bulkhead: told to whoever waits
            self._error = error

    def answer(self, within_s: float) -> str:
        self.join(within_s)
        if self._error is not None:
            raise self._error
        if not self._answer:
            raise AssertionError(f"the client of {self._kind} was given no answer within {within_s:g} s of the job's end")
        return self._answer


class Process:
    """A client that can be killed."""

    def __init__(self, folder: Path, output: Path, kind: str) -> None:
        command = [sys.executable, "-m", "chaos.kinds", str(folder), str(output), kind]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
        self.pid = self._process.pid

    def answer(self, within_s: float) -> str:
        told, _ = self._process.communicate(timeout=within_s)
        if self._process.returncode > 0:
            raise AssertionError(f"the client ended with {self._process.returncode}")
        return told.strip()

    def end(self) -> None:
        with self._process:  # waits for it, and closes its pipe
            self._process.kill()


@contextlib.contextmanager
def client_of(history: History, folder: Path, output: Path) -> Iterator[Client]:
    """Submit the job of `history`; what is left of the client ends with the block."""
    if any(blow.role == "client" for blow in history.blows):
        process = Process(folder, output, history.kind)
        try:
            yield process
        finally:
            process.end()
        return
    with mx.connect(dir=folder) as cluster:
        waiter = Waiter(cluster, output, history.kind)
        waiter.start()
        yield waiter
