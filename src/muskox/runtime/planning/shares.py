"""Which worker of a generation owns which shards: whole aligned runs, near their bytes, moved as little as can be. Pure.

Everybody gets the same part, unless it was measured that some take longer for a row: then parts are such that all should be
ready at once.
"""

import heapq
import statistics
from collections.abc import Mapping, Sequence

RUNS_PER_WORKER = 4  # aligned runs of shards a worker gets at least, where there are enough: load balance against messages
SLOWNESS_MAX = 16.0  # times slower than the middle one, or faster, is the most that counts
NOISE = 1.25  # times slower than the middle one, or faster, is no difference
GAIN_MIN = 0.25  # of a round's time that moving shards must save: less is noise, and would move them to and fro


def share(
    replicas: Sequence[Sequence[str]],
    workers: Mapping[str, str],
    before: Mapping[int, str],
    pace: Mapping[str, float] | None = None,
) -> dict[str, list[int]]:
    """Return which shards each worker (name -> node) owns.

    A run goes to the worker that had it, else to one whose node holds a replica: to the owner of the run before it, whose sum
    goes on through this one, else to whoever has least of its part. Never beyond anybody's part, so that one more worker takes
    its own at once.

    pace : seconds a row of those workers for whom they are known
    """
    count = len(replicas)
    level = 0
    while count >> (level + 1) >= RUNS_PER_WORKER * len(workers):
        level += 1
    runs = [list(range(first, min(first + (1 << level), count))) for first in range(0, count, 1 << level)]
    room = _Room(len(runs), speeds(list(workers), pace or {}))
    owned: dict[str, list[int]] = {name: [] for name in workers}
    owner_of: dict[int, str] = {}  # by the run's first shard
    for run in runs:
        owner = before.get(run[0])
        if owner in owned and room.has(owner):
            owner_of[run[0]] = owner
            room.take(owner)
    on_node: dict[str, list[str]] = {}
    for name, node in workers.items():
        on_node.setdefault(node, []).append(name)
    beside: str | None = None
    for run in runs:
        if run[0] not in owner_of:
            near = [name for node in replicas[run[0]] for name in on_node.get(node, ()) if room.has(name)]
            free = near or [name for name in workers if room.has(name)]
            owner_of[run[0]] = beside if beside in free else room.emptiest(free)
            room.take(owner_of[run[0]])
        beside = owner_of[run[0]]
        owned[beside].extend(run)
    return owned


def speeds(workers: Sequence[str], pace: Mapping[str, float]) -> dict[str, float]:
    """Return how fast each worker is, the middle one of those that were measured being 1; so is who was not measured.

    >>> speeds(["a", "b", "c", "d", "e"], {"a": 4.0, "b": 1.1, "c": 1.0, "d": 1.0})
    {'a': 0.2625, 'b': 1.0, 'c': 1.0, 'd': 1.0, 'e': 1.0}
    """
    known = [pace[name] for name in workers if pace.get(name, 0.0) > 0.0]
    middle = statistics.median(known) if known else 1.0
    found = {}
    for name in workers:
        seconds = pace.get(name, 0.0)
        slowness = seconds / middle if seconds > 0.0 else 1.0
        is_noise = 1.0 / NOISE <= slowness <= NOISE
        found[name] = 1.0 if is_noise else 1.0 / min(max(slowness, 1.0 / SLOWNESS_MAX), SLOWNESS_MAX)
    return found


def gain(owned: Mapping[str, int], after: Mapping[str, int], pace: Mapping[str, float]) -> float:
    """Return which part of a round's time is saved if each worker owns `after` shards in place of `owned`."""
    speed = speeds(list(owned), pace)
    now = max(shards / speed[name] for name, shards in owned.items())
    then = max(shards / speed[name] for name, shards in after.items())
    return 1.0 - then / now if now else 0.0


def gain_max(owned: Mapping[str, int], pace: Mapping[str, float]) -> float:
    """Return which part of a round's time would be saved if work could be cut as finely as one likes."""
    speed = speeds(list(owned), pace)
    now = max(shards / speed[name] for name, shards in owned.items())
    return 1.0 - sum(owned.values()) / sum(speed.values()) / now if now else 0.0


class _Room:
    """Everybody's part of the runs: such that the last is ready as soon as can be. Who are equally fast share the odd runs."""

    def __init__(self, runs: int, speed: Mapping[str, float]) -> None:
        self._part = parts(runs, speed)
        self._speed = speed
        self._taken = dict.fromkeys(speed, 0)
        self._least: dict[float, int] = {}  # by speed: what each gets, and how many of them get one more
        self._spare: dict[float, int] = {}
        for name, part in self._part.items():
            self._least[speed[name]] = min(part, self._least.get(speed[name], part))
        for name, part in self._part.items():
            self._spare[speed[name]] = self._spare.get(speed[name], 0) + part - self._least[speed[name]]

    def has(self, worker: str) -> bool:
        taken, speed = self._taken[worker], self._speed[worker]
        return taken < self._least[speed] or (taken == self._least[speed] and self._spare[speed] > 0)

    def take(self, worker: str) -> None:
        speed = self._speed[worker]
        if self._taken[worker] == self._least[speed]:
            self._spare[speed] -= 1
        self._taken[worker] += 1

    def emptiest(self, free: Sequence[str]) -> str:
        """Return who of `free` has least for its speed."""
        return min(free, key=lambda name: (self._taken[name] / self._speed[name], name))


def parts(runs: int, speed: Mapping[str, float]) -> dict[str, int]:
    """Return how many runs each worker gets so that the last is ready as soon as can be: always the next to who has it soonest.

    Everybody gets one, if there are so many: of whom nothing is measured nobody could tell that it became fast again.

    >>> parts(8, {"a": 1.0, "b": 1.0, "c": 0.1})
    {'a': 4, 'b': 3, 'c': 1}
    """
    found = {name: int(rank < runs) for rank, name in enumerate(speed)}
    line = [((count + 1) / speed[name], rank, name) for rank, (name, count) in enumerate(found.items())]
    heapq.heapify(line)
    for _ in range(runs - sum(found.values())):
        _, rank, name = line[0]
        found[name] += 1
        heapq.heapreplace(line, ((found[name] + 1) / speed[name], rank, name))
    return found
