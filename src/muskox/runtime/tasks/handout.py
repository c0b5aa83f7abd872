"""The root's book of one generation: which task waits, who runs it, who is to send its result, who gets which next. Pure.

A free worker takes the next task: so a slow node ends up with few, and nothing has to know how slow it is. When none waits,
free workers get copies of tasks that others still run, the longest-running first: the first answer counts.
"""

import heapq
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping

from muskox.runtime.tasks.messages import Ready

AHEAD = 2  # tasks of one worker at a time, while there are enough for all: so none waits while an answer is on its way
RUNNERS_MAX = 2  # of one task: two of them racing is what a straggler is worth

Wanting = Callable[[str], Iterable[int]]  # the tasks for which one worker's word is wanted, though there are results


class Handout:
    """`readies`: what each member of the generation holds and runs. `held`: the tasks whose results the root holds, live."""

    def __init__(self, tasks: int, held: Container[int], readies: Mapping[str, Ready]) -> None:
        self._held = held
        self.present = list(readies)
        self._busy: dict[str, list[int]] = {peer: list(ready.running) for peer, ready in readies.items()}
        self._runners: dict[int, list[str]] = {}  # in the order in which they began
        for peer, given in self._busy.items():
            for task in given:
                self._runners.setdefault(task, []).append(peer)
        self._coming = {peer: deque(task for task in sorted(ready.held) if task not in held) for peer, ready in readies.items()}
        self._asked: dict[str, int] = {}
        elsewhere = {task for coming in self._coming.values() for task in coming}
        self._waiting = [
            task for task in range(tasks) if task not in held and task not in self._runners and task not in elsewhere
        ]  # a heap: all wait since the job began, so the first by number is next

    @property
    def running(self) -> int:
        """How many tasks run that are not finished."""
        return sum(task not in self._held for task in self._runners)

    def orders(self, wanting: Wanting) -> list[tuple[str, int]]:
        """Return who is to run what from now on, and take it as given; first of all what more words are wanted for."""
        given = []
        for depth in range(AHEAD):
            for peer in self.present:
                if len(self._busy[peer]) == depth and (task := self._choose(peer, depth, wanting)) is not None:
                    given.append(self._give(peer, task))
        return given if self._waiting else [*given, *self._race()]

    def _choose(self, peer: str, depth: int, wanting: Wanting) -> int | None:
        if depth and len(self._waiting) < len(self.present):
            return None
        for task in wanting(peer):
            if task not in self._runners and task not in self._coming[peer]:
                return task
        return heapq.heappop(self._waiting) if self._waiting else None

    def _race(self) -> Iterator[tuple[str, int]]:
        """Give the free ones copies of what others run, the longest-running first."""
        copied = [task for task, runners in self._runners.items() if task not in self._held and len(runners) < RUNNERS_MAX]
        for peer in self.present:
            known = self._coming[peer]  # its own result is on its way
            free = (task for task in copied if peer not in self._runners[task] and task not in known)
            task = None if self._busy[peer] else next(free, None)
            if task is not None:
                copied.remove(task)
                yield self._give(peer, task)

    def _give(self, peer: str, task: int) -> tuple[str, int]:
        self._busy[peer].append(task)
        self._runners.setdefault(task, []).append(peer)
        return peer, task

    def fetches(self) -> list[tuple[str, int]]:
        """Return who is to send which result from now on: one at a time of each, so that none lies about in a buffer."""
        asked = []
        for peer, coming in self._coming.items():
            if coming and peer not in self._asked:
                self._asked[peer] = coming[0]
                asked.append((peer, coming[0]))
        return asked

    def answered(self, peer: str, task: int) -> None:
        """`peer` has given the result of `task`."""
        if task in self._busy[peer]:
            self._ran(peer, task)
        if self._asked.get(peer) == task:
            del self._asked[peer]
        if task in self._coming[peer]:
            self._coming[peer].remove(task)

    def _ran(self, peer: str, task: int) -> None:
        self._busy[peer].remove(task)
        self._runners[task].remove(peer)
        if not self._runners[task]:
            del self._runners[task]

    def lose(self, peer: str) -> None:
        """`peer` takes part no more: what it alone ran, or was to send, waits again."""
        self.present.remove(peer)
        lost = set(self._coming.pop(peer)) | set(self._busy[peer])
        for task in list(self._busy[peer]):
            self._ran(peer, task)
        del self._busy[peer]
        self._asked.pop(peer, None)
        elsewhere = {task for coming in self._coming.values() for task in coming}
        for task in sorted(lost - elsewhere):
            if task not in self._held and task not in self._runners:
                heapq.heappush(self._waiting, task)
