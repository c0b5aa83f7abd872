"""Whether one other node's process lives, felt on an open connection to its store's port: its kernel tells when it dies.

ZooKeeper tells of a death when the session ends, seconds later. So every node feels the pulse of the one before it in the
line of candidates, the first that of the last: one connection a node, and every node is felt by one. A process counts as dead
only if its connection broke and a new one is refused: its machine answers, and nobody listens there. A node that was never
reached, or whose machine is silent, is left to ZooKeeper. Nothing is said on the connection; should the server close it, it is
made again.
"""

import contextlib
import logging
import math
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from muskox.coordination import Candidate
from muskox.errors import MuskoxError

log = logging.getLogger(__name__)

CONNECT_S_MAX = 2.0  # to connect; who does not answer in that time may live
RETRY_S = 1.0  # before somebody who could not be reached, or keeps hanging up, is tried again
AGAIN_S = 0.01  # before a connection that broke is made again: a process that dies closes it before the door itself
BREAKS_MAX = 10  # within RETRY_S, and it is somebody who hangs up
READ_BYTES = 4096  # of a greeting that nobody reads


class Pulse(threading.Thread):
    """See the head of this file. `on_death` is called on this thread, with whom :meth:`feel` was last given."""

    def __init__(self, on_death: Callable[[Candidate], None]) -> None:
        super().__init__(name="pulse", daemon=True)
        self._on_death = on_death
        self._lock = threading.Lock()
        self._target: Candidate | None = None
        self._is_over = False
        self._woken, self._wake = os.pipe()

    def feel(self, target: Candidate | None) -> None:
        """Feel this one's pulse from now on; None: nobody's."""
        with self._lock:
            if self._is_over or target == self._target:
                return
            self._target = target
        os.write(self._wake, b"!")

    def end(self) -> None:
        """Hang up, and feel nobody's any more."""
        self.feel(None)
        with self._lock:
            self._is_over = True

    def run(self) -> None:
        felt: Candidate | None = None
        breaks_s: deque[float] = deque(maxlen=BREAKS_MAX)  # when connections broke
        while True:
            with self._lock:
                target = self._target
            wait_s: float | None = RETRY_S
            if target is None:
                wait_s = None
            else:
                try:
                    with _connected(target.address) as connection:
                        felt = target
                        if self._has_broken(connection):
                            breaks_s.append(time.monotonic())
                            is_often = len(breaks_s) == BREAKS_MAX and breaks_s[-1] - breaks_s[0] < RETRY_S
                            wait_s = RETRY_S if is_often else AGAIN_S
                except ConnectionRefusedError:
                    if felt == target:
                        self._tell(target)
                        felt = None
                except OSError as error:
                    log.info("node %s cannot be felt: %s", target.node, error)
            self._sleep(wait_s)

    def _tell(self, target: Candidate) -> None:
        try:
            self._on_death(target)
        except MuskoxError as error:
            log.warning("node %s has died, which could not be told: %s", target.node, error)

    def _has_broken(self, connection: socket.socket) -> bool:
        """Wait until the connection ends or we are to feel another; return whether it ended."""
        while True:
            if self._woken in _ready([connection.fileno(), self._woken]):
                return False
            try:
                if not connection.recv(READ_BYTES):
                    return True
            except OSError:
                return True

    def _sleep(self, seconds: float | None) -> None:
        if _ready([self._woken], seconds):
            os.read(self._woken, READ_BYTES)


@contextlib.contextmanager
def _connected(address: str) -> Iterator[socket.socket]:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=CONNECT_S_MAX) as connection:
        connection.setblocking(False)
        yield connection


def _ready(descriptors: Iterable[int], seconds: float | None = None) -> list[int]:
    """Wait until some of these can be read, or so long; return which. Not select(): that knows no descriptor above 1023."""
    watch = select.poll()
    for descriptor in descriptors:
        watch.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in watch.poll(None if seconds is None else math.ceil(seconds * 1000))]
