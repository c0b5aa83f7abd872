"""What a node gives to its workers: never more than it has, counted by processes and not by what should be.

The coordinator may give a place to one job while a worker of another still ends there: who comes waits until who goes has gone.
"""

import threading
from collections.abc import Callable

from muskox.runtime.planning.places import Amount, fits


class Room:
    """See the head of this file. For any thread."""

    def __init__(self, has: Amount, gpus: list[str]) -> None:
        self.gpus = len(gpus)
        self._lock = threading.Lock()
        self._free = list(has)
        self._free_gpus = list(gpus)
        self._taken: dict[str, tuple[Amount, list[str]]] = {}
        self._waiting: list[Callable[[], None]] = []

    def take(self, worker: str, need: Amount, on_free: Callable[[], None]) -> list[str] | None:
        """Take a place for `worker`; return its GPUs.

        None if there is no place now: then `on_free` is called as soon as somebody has given one back, once.
        """
        with self._lock:
            if not fits(need, self._free):
                if on_free not in self._waiting:
                    self._waiting.append(on_free)
                return None
            self._free = [has - amount for has, amount in zip(self._free, need, strict=True)]
            given, self._free_gpus = self._free_gpus[: need.gpus], self._free_gpus[need.gpus :]
            self._taken[worker] = (need, given)
            return given

    def give_back(self, worker: str) -> None:
        with self._lock:
            if worker not in self._taken:
                return
            need, gpus = self._taken.pop(worker)
            self._free = [has + amount for has, amount in zip(self._free, need, strict=True)]
            self._free_gpus.extend(gpus)
            waiting, self._waiting = self._waiting, []
        for tell in waiting:
            tell()
