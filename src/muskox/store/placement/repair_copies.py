"""The copies of a repair: which wait, which are under way, and who refused one. It owns every limit on them.

What is to be copied is decided in muskox.store.placement.repair_plan; here only the order and the bounds are kept. A copy
waits under each node that it touches, so that an answer looks only at the copies that it may have set free. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from muskox.store.placement.repair_events import Copy, Pair, RepairOptions

FAILURES_MAX = 3  # of a node as a target in a row, before it is asked for nothing for a while


@dataclass(frozen=True, slots=True)
class Waiting:
    """A copy that is to be made; `sources` are live nodes that have the blob."""

    bytes: int
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A copy that was ordered: the source that was named first, and when it counts as failed."""

    order: Copy
    deadline_s: float


class Copies:
    """See the head of this file. Limits count the first source of a copy: the others are there should it fail."""

    def __init__(self, options: RepairOptions) -> None:
        self._options = options
        self._waiting: dict[Pair, Waiting] = {}
        self._rank: dict[Pair, int] = {}
        self._touching: dict[str, list[Pair]] = {}
        self._under_way: dict[Pair, UnderWay] = {}
        self._orders = 0
        self._sending: Counter[str] = Counter()
        self._taking: Counter[str] = Counter()
        self._refused: dict[Pair, float] = {}
        self._shunned: dict[str, float] = {}
        self._failures: Counter[str] = Counter()
        self._slow: dict[str, float] = {}

    @property
    def count(self) -> int:
        """Copies that wait or are under way."""
        return len(self._waiting) + len(self._under_way)

    @property
    def bytes(self) -> int:
        """Of the copies that wait or are under way."""
        orders = sum(copy.order.bytes for copy in self._under_way.values())
        return orders + sum(waiting.bytes for waiting in self._waiting.values())

    @property
    def under_way(self) -> Mapping[Pair, UnderWay]:
        return self._under_way

    def want(self, wanted: Mapping[Pair, Waiting]) -> None:
        """Replace what waits by `wanted`, the most urgent first."""
        self._waiting = {pair: waiting for pair, waiting in wanted.items() if pair not in self._under_way}
        self._rank = {pair: rank for rank, pair in enumerate(self._waiting)}
        self._touching = {}
        for pair, waiting in self._waiting.items():
            for node in (pair[1], *waiting.sources):
                self._touching.setdefault(node, []).append(pair)

    def forget(self, pair: Pair) -> None:
        """Want this copy no more."""
        self._waiting.pop(pair, None)

    def start(self, now_s: float) -> list[Copy]:
        """Return the copies that can begin now, of all that wait."""
        return self._start(list(self._waiting), now_s)

    def end(self, pair: Pair, number: int, now_s: float, is_copied: bool) -> list[Copy] | None:
        """Take in the answer to an order; return the copies that can begin now, or None if there is no such order."""
        copy = self._under_way.get(pair)
        if copy is None or number not in (0, copy.order.number):
            return None
        was_full = len(self._under_way) >= self._options.copies_max
        self._free(pair)
        if is_copied:
            self._failures.pop(pair[1], None)
        else:
            self._fail(copy.order, now_s)
        touched = [*self._touching.get(pair[1], ()), *self._touching.get(copy.order.sources[0], ())]
        freed = sorted({other for other in touched if other in self._waiting}, key=self._rank.__getitem__)
        started = self._start(freed, now_s)
        if was_full and len(self._under_way) < self._options.copies_max:
            started += self._start(list(self._waiting), now_s)
        return started

    def expire(self, now_s: float, live: Mapping[str, object]) -> None:
        """Give up orders that nobody answered in time, or whose target or sources are all gone; forgive old refusals."""
        for pair, copy in list(self._under_way.items()):
            if pair[1] not in live or not any(source in live for source in copy.order.sources):
                self._free(pair)
            elif now_s >= copy.deadline_s:
                self._free(pair)
                self._fail(copy.order, now_s)
        self._refused = {pair: until_s for pair, until_s in self._refused.items() if until_s > now_s}
        self._shunned = {node: until_s for node, until_s in self._shunned.items() if until_s > now_s}
        self._slow = {node: until_s for node, until_s in self._slow.items() if until_s > now_s}

    def refuse(self, pair: Pair, until_s: float) -> None:
        """Order no such copy before `until_s`."""
        self._refused[pair] = max(until_s, self._refused.get(pair, until_s))

    def refused(self) -> Iterable[Pair]:
        return self._refused

    def is_refused(self, pair: Pair) -> bool:
        return pair in self._refused

    def is_shunned(self, node: str) -> bool:
        """Return whether the node failed to take several copies in a row."""
        return node in self._shunned

    def _free(self, pair: Pair) -> None:
        copy = self._under_way.pop(pair)
        self._sending[copy.order.sources[0]] -= 1
        self._taking[pair[1]] -= 1

    def _fail(self, order: Copy, now_s: float) -> None:
        until_s = now_s + self._options.refusal_s
        self.refuse((order.digest, order.target), until_s)
        self._slow[order.sources[0]] = until_s
        self._failures[order.target] += 1
        if self._failures[order.target] >= FAILURES_MAX:
            self._shunned[order.target] = until_s
            self._failures.pop(order.target)

    def _start(self, pairs: Iterable[Pair], now_s: float) -> list[Copy]:
        started = []
        for pair in pairs:
            if len(self._under_way) >= self._options.copies_max:
                break
            waiting = self._waiting.get(pair)
            if waiting is None or pair in self._refused or pair[1] in self._shunned:
                continue
            if self._taking[pair[1]] >= self._options.copies_max_per_node:
                continue
            sources = self._in_order(waiting.sources)
            if self._sending[sources[0]] >= self._options.copies_max_per_node:
                continue
            self._orders += 1
            order = Copy(pair[0], waiting.bytes, sources, pair[1], self._orders)
            self._under_way[pair] = UnderWay(order, now_s + self._options.patience_s)
            self._sending[sources[0]] += 1
            self._taking[pair[1]] += 1
            del self._waiting[pair]
            started.append(order)
        return started

    def _in_order(self, sources: Sequence[str]) -> tuple[str, ...]:
        """Return the least busy first, those that failed lately last."""
        if len(sources) == 1:
            return tuple(sources)
        most = self._options.copies_max_per_node
        return tuple(sorted(sources, key=lambda name: (self._sending[name] >= most, name in self._slow, self._sending[name])))
