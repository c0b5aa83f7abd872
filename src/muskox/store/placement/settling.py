"""Who holds the runs next: what lies well stays, the lost is given to others, and new nodes take their share.

A run goes to the nodes of the highest scores, weighted by their disks: -weight / ln(u), where u is a hash of run and node
(weighted rendezvous hashing: Schindelhauer and Schomaker 2005). Three things bound that: replicas lie on different nodes and,
where racks are given, in different racks; no node holds much more than its fair share; and what lies well stays. It knows
nothing of what runs are made of, nor of copying.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from muskox.errors import CallerError, Unavailable
from muskox.store.partition.assignment import Words, mix

SLACK = 0.05  # of its fair share, by which a node may be off before anything is moved for balance alone
PASSES_MAX = 8  # over the nodes to balance them: each pass only ever brings them nearer, and one or two are the rule
SEEDS_MAX = 100_000  # names whose hash is remembered

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NodeView:
    """What placement knows of a node.

    weight : its fair share goes by this: the bytes of its disk, or any positive number
    rack : what fails together with it; "" for nothing
    bytes_free : it is given no more than this
    """

    weight: float = 1.0
    rack: str = ""
    bytes_free: float = inf


@dataclass(frozen=True, slots=True)
class Run:
    """What is placed together: an aligned run of shards, or a single blob.

    holders : the nodes that hold it now, the preferred first
    family : the runs of one family (a column group of a dataset) are spread evenly by themselves; it salts their hashes
    index : of the run in its family
    barred : nodes that shall not get it, and do not count as holders
    """

    replicas: int
    holders: tuple[str, ...] = ()
    bytes: int = 1
    family: str = ""
    index: int = 0
    barred: tuple[str, ...] = ()


def settle(runs: Sequence[Run], nodes: Mapping[str, NodeView], is_balancing: bool = True) -> list[tuple[str, ...]]:
    """Return for each run the nodes that shall hold it, the preferred first.

    Replicas on `nodes` stay, lost ones go to the highest-ranked node below its share, and two in one rack are parted. With
    `is_balancing` nodes far below their share then take from those above it, and no node keeps more of a family than its
    share, rounded up, if moving single runs can help, nor than one more, if moving two can. A run has fewer holders than it
    asks for only if no other node may take it. Settling what is settled changes nothing.

    Raises
    ------
    CallerError
        If a run asks for less than one replica, or a node's weight is not a positive number.
    Unavailable
        If there are no nodes.
    """
    for run in runs:
        if run.replicas < 1:
            raise CallerError(f"a shard needs at least one replica, not {run.replicas}")
    if not nodes:
        raise Unavailable("there is no live node to hold the data: start one")
    for name, view in nodes.items():
        if not (view.weight > 0 and isfinite(view.weight)):
            raise CallerError(f"node {name!r} has the weight {view.weight}: it must be a positive number")
    return _Settling(runs, nodes).settle(is_balancing)


@lru_cache(SEEDS_MAX)
def seed(name: str) -> int:
    """Return what is mixed into hashes for `name`; nothing for the empty one."""
    if not name:
        return 0
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def fair_shares(weights: Floats, racks: "NDArray[np.intp]", node_max: float, rack_max: float, total: float) -> Floats:
    """Return how much of `total` each node should hold: in proportion to its weight, as far as the bounds allow.

    A node can hold a run only once (`node_max`), a rack only as many replicas of it as may lie together (`rack_max`); what they
    cannot hold goes to the others. Found by bisection of the one number that multiplies all weights.
    """
    even: Floats = weights * (total / weights.sum())
    if even.max() <= node_max and np.bincount(racks, even).max() <= rack_max:
        return even
    low, high = 0.0, node_max / float(weights.min())
    for _ in range(80):
        middle = (low + high) / 2
        held = np.bincount(racks, np.minimum(node_max, middle * weights))
        low, high = (middle, high) if np.minimum(held, rack_max).sum() < total else (low, middle)
    shares = np.minimum(node_max, high * weights)
    held = np.bincount(racks, shares)
    scaled: Floats = shares * np.minimum(1.0, rack_max / np.maximum(held, 1e-300))[racks]
    return scaled


class _Family:
    """How many runs of one family each node holds, and may hold."""

    def __init__(self, nodes: int) -> None:
        self.runs: list[int] = []
        self.replicas = 0
        self.held = np.zeros(nodes, np.int64)
        self.held_max = np.zeros(nodes, np.int64)


class _Settling:
    """The work of one :func:`settle`: who holds what, by positions of names and runs."""

    def __init__(self, runs: Sequence[Run], nodes: Mapping[str, NodeView]) -> None:
        self._runs = runs
        self._names = sorted(nodes)
        self._position = {name: position for position, name in enumerate(self._names)}
        views = [nodes[name] for name in self._names]
        self._weights = np.array([view.weight for view in views], np.float64)
        self._is_even = bool((self._weights == self._weights[0]).all())
        self._free = np.array([view.bytes_free for view in views], np.float64)
        labels: dict[object, int] = {}
        self._racks = np.array(
            [labels.setdefault(v.rack or position, len(labels)) for position, v in enumerate(views)], np.intp
        )
        self._rack = self._racks.tolist()
        self._rack_sizes = Counter(self._rack)
        self._together: dict[int, int] = {}
        self._seeds = np.array([seed(name) for name in self._names], np.uint64)
        self._words = self._run_words()
        self._held: list[list[int]] = [[] for _ in runs]
        self._runs_of: list[dict[int, None]] = [{} for _ in views]
        self._load = np.zeros(len(views), np.float64)
        self._families = self._group()
        self._set_shares()

    def settle(self, is_balancing: bool) -> list[tuple[str, ...]]:
        for run in range(len(self._runs)):
            self._keep(run)
        before = [list(held) for held in self._held]
        for run in range(len(self._runs)):
            self._fill(run)
        for run in range(len(self._runs)):
            self._part(run)
        for _ in range(PASSES_MAX if is_balancing else 0):
            moved = self._take() + self._push()
            if not moved:
                break
        for run, held in enumerate(self._held):
            if sorted(held) != sorted(before[run]):
                scores = self._scores(run)
                held.sort(key=lambda node, scores=scores: (-scores[node], node))  # type: ignore[misc]
        return [tuple(self._names[node] for node in held) for held in self._held]

    # -- what there is --

    def _run_words(self) -> Words:
        words = mix(np.array([run.index for run in self._runs], np.uint64))
        salts = np.array([seed(run.family) for run in self._runs], np.uint64)
        return words ^ salts

    def _group(self) -> dict[str, _Family]:
        """Return the families of more than one run: a single run is spread by holding it once a node."""
        counts = Counter(run.family for run in self._runs)
        families = {name: _Family(len(self._names)) for name, count in counts.items() if count > 1}
        for position, run in enumerate(self._runs):
            if family := families.get(run.family):
                family.runs.append(position)
                family.replicas += self._wanted(run)
        return families

    def _set_shares(self) -> None:
        sizes = np.array([max(run.bytes, 1) for run in self._runs], np.float64)
        wanted = np.array([self._wanted(run) for run in self._runs], np.float64)
        together = np.array([self._together_max(run.replicas) for run in self._runs], np.float64)
        total = max(float((sizes * wanted).sum()), 1.0)
        self._share = fair_shares(self._weights, self._racks, max(sizes.sum(), 1.0), max((sizes * together).sum(), 1.0), total)
        # The size of a typical run, by bytes: what one move changes.
        self._grain = float((sizes**2).sum() / sizes.sum()) if len(sizes) else 1.0
        self._rounding = self._grain * 1e-6
        self._slack = np.maximum(self._share * SLACK, self._grain) - self._rounding
        for family in self._families.values():
            most = np.ceil(family.replicas * self._share / total - 1e-6)
            family.held_max = np.minimum(most, len(family.runs)).astype(np.int64)

    def _wanted(self, run: Run) -> int:
        return min(run.replicas, len(self._names))

    def _together_max(self, replicas: int) -> int:
        """Return how many replicas of a run may lie in one rack: as few as there are racks and nodes for."""
        if replicas not in self._together:
            wanted = min(replicas, len(self._names))
            most = 1
            while sum(min(most, size) for size in self._rack_sizes.values()) < wanted:
                most += 1
            self._together[replicas] = most
        return self._together[replicas]

    def _scores(self, run: int) -> Floats:
        """Return each node's score for the run; without weights the hash itself, which is the same on every machine."""
        return self._weigh(mix(self._words[run] ^ self._seeds), self._weights)

    def _weigh(self, words: Words, weights: Floats | float) -> Floats:
        bits: Floats = (words >> np.uint64(11)).astype(np.float64)
        if self._is_even:
            return bits
        scores: Floats = -weights / np.log((bits + 0.5) * 2.0**-53)
        return scores

    # -- changing who holds what --

    def _give(self, run: int, node: int) -> None:
        self._held[run].append(node)
        self._count(run, node, 1)
        self._runs_of[node][run] = None

    def _withdraw(self, run: int, node: int) -> None:
        self._held[run].remove(node)
        self._count(run, node, -1)
        del self._runs_of[node][run]

    def _count(self, run: int, node: int, by: int) -> None:
        self._load[node] += by * max(self._runs[run].bytes, 1)
        if family := self._families.get(self._runs[run].family):
            family.held[node] += by

    def _move(self, run: int, source: int, target: int) -> None:
        self._withdraw(run, source)
        self._give(run, target)
        self._free[target] -= self._runs[run].bytes

    # -- the steps --

    def _keep(self, run: int) -> None:
        """Keep the holders that are there; of too many, those that share no rack with a better one."""
        there = self._runs[run]
        held = [self._position[name] for name in dict.fromkeys(there.holders) if name in self._position]
        held = [node for node in held if self._names[node] not in there.barred]
        if len(held) > there.replicas:
            scores, racks = self._scores(run), Counter[int]()
            ranked: list[tuple[bool, int, int]] = []
            for node in sorted(held, key=lambda node: (-scores[node], node)):
                ranked.append((racks[self._rack[node]] >= self._together_max(there.replicas), len(ranked), node))
                racks[self._rack[node]] += 1
            kept = {node for _, _, node in sorted(ranked)[: there.replicas]}
            held = [node for node in held if node in kept]
        for node in held:
            self._give(run, node)

    def _fill(self, run: int) -> None:
        scores = None
        while len(self._held[run]) < self._wanted(self._runs[run]):
            scores = self._scores(run) if scores is None else scores
            node = self._choose(run, scores, None, 4)
            if node is None:
                return
            self._give(run, node)
            self._free[node] -= self._runs[run].bytes

    def _part(self, run: int) -> None:
        """Move replicas that lie together in a rack apart, where another rack has room."""
        held = self._held[run]
        most = self._together_max(self._runs[run].replicas)
        for rack, count in Counter(self._rack[node] for node in held).items():
            if count > most:
                scores = self._scores(run)
                worst = sorted((node for node in held if self._rack[node] == rack), key=lambda node: (scores[node], node))
                for node in worst[: count - most]:
                    target = self._choose(run, scores, node, 3)
                    if target is not None:
                        self._move(run, node, target)

    def _choose(self, run: int, scores: Floats, leaving: int | None, tiers: int) -> int | None:
        """Return the highest-ranked node that may take a replica of `run` as it leaves `leaving`.

        First among those below their share, then among those not far above it, then (`tiers` 3) among all of other racks,
        at last (4) among all.
        """
        there, size = self._runs[run], max(self._runs[run].bytes, 1)
        may = self._free >= there.bytes
        may[self._held[run]] = False
        if there.barred:
            may[[self._position[name] for name in there.barred if name in self._position]] = False
        apart = may.copy()
        full = self._full_racks(run, leaving)
        if full:
            apart &= ~np.isin(self._racks, full)
        even = apart
        if family := self._families.get(there.family):
            even = apart & (family.held < family.held_max)
        below = self._load + (size - self._rounding) <= self._share
        near = self._load + size <= self._share + self._slack + 2 * self._rounding
        for fitting in (even & below, even & near, apart, may)[:tiers]:
            if fitting.any():
                return int(np.argmax(np.where(fitting, scores, -1.0)))
        return None

    def _full_racks(self, run: int, leaving: int | None) -> list[int]:
        held = [self._rack[node] for node in self._held[run] if node != leaving]
        most = self._together_max(self._runs[run].replicas)
        return [rack for rack, count in Counter(held).items() if count >= most]

    def _take(self) -> int:
        """Let every node that is far below its share take from those most above theirs; return how many runs moved."""
        moved = 0
        for taker in np.flatnonzero(self._share - self._load >= self._slack).tolist():
            unwilling: list[int] = []
            while self._share[taker] - self._load[taker] >= self._grain - self._rounding:
                surplus = self._load - self._share
                surplus[unwilling] = -inf
                donor = int(np.argmax(surplus))
                if surplus[donor] <= self._rounding:
                    break
                run = self._best_for(taker, donor)
                if run is None:
                    unwilling.append(donor)
                else:
                    self._move(run, donor, taker)
                    moved += 1
        return moved

    def _best_for(self, taker: int, donor: int) -> int | None:
        """Return the run on `donor` for which `taker` ranks highest of those that it may take."""
        fitting = [run for run in self._runs_of[donor] if self._may_take(run, donor, taker)]
        if not fitting:
            return None
        words = mix(self._words[fitting] ^ self._seeds[taker])
        return fitting[int(np.argmax(self._weigh(words, float(self._weights[taker]))))]

    def _may_take(self, run: int, donor: int, taker: int) -> bool:
        there, size = self._runs[run], max(self._runs[run].bytes, 1)
        family = self._families.get(there.family)
        return (
            taker not in self._held[run]
            and self._names[taker] not in there.barred
            and there.bytes <= self._free[taker]
            and self._load[taker] + size <= self._share[taker] + self._rounding
            and self._load[donor] - size >= self._share[donor] - self._slack[donor] - 2 * self._rounding
            and (family is None or bool(family.held[taker] < family.held_max[taker]))
            and self._rack[taker] not in self._full_racks(run, donor)
        )

    def _push(self) -> int:
        """Move runs off nodes that hold too much, in all or of a family, to such as hold less; return how many moved."""
        moved = 0
        for family in self._families.values():
            for donor in np.flatnonzero(family.held > family.held_max).tolist():
                is_stuck = False
                for run in [run for run in family.runs if run in self._runs_of[donor]]:
                    if family.held[donor] <= family.held_max[donor]:
                        break
                    pushed = self._push_run(run, donor)
                    if not pushed and not is_stuck:
                        pushed = self._push_on(run, donor, family)
                        is_stuck = not pushed  # what one run cannot, another hardly can, and to find out is dear
                    moved += pushed
        most = self._share + self._slack + 2 * self._rounding
        for donor in np.flatnonzero(self._load > most).tolist():
            for run in list(self._runs_of[donor]):
                size = max(self._runs[run].bytes, 1)
                if self._load[donor] <= most[donor]:
                    break
                if self._load[donor] - size >= self._share[donor] - self._slack[donor]:
                    moved += self._push_run(run, donor)
        return moved

    def _push_run(self, run: int, donor: int) -> int:
        target = self._choose(run, self._scores(run), donor, 2)
        if target is None:
            return 0
        self._move(run, donor, target)
        return 1

    def _push_on(self, run: int, donor: int, family: _Family) -> int:
        """Move `run` to a node that is full of its family and gives another run away for it; return how many moved.

        So it goes where all nodes that have room hold `run` already, as beside a node that must hold every run. Two runs
        moved for one are dear: a node keeps one too many.
        """
        if family.held[donor] <= family.held_max[donor] + 1:
            return 0
        least = min(self._runs[other].bytes for other in family.runs)
        has_room = (family.held < family.held_max) & (self._free >= least)
        takers = set(np.flatnonzero(has_room & (self._load + least <= self._share + self._slack + 2 * self._rounding)).tolist())
        for other in family.runs:
            if takers.difference(self._held[other]):
                for middle in self._held[other]:
                    if self._may_swap(run, donor, middle, other):
                        target = self._choose(other, self._scores(other), middle, 2)
                        if target is not None:
                            self._move(other, middle, target)
                            self._move(run, donor, middle)
                            return 2
        return 0

    def _may_swap(self, run: int, donor: int, middle: int, other: int) -> bool:
        """Return whether `middle` may take `run`, which leaves `donor`, once it has given `other` away."""
        there = self._runs[run]
        more = max(there.bytes, 1) - max(self._runs[other].bytes, 1)
        return (
            middle not in self._held[run]
            and self._names[middle] not in there.barred
            and there.bytes <= self._free[middle]
            and self._load[middle] + more <= self._share[middle] + self._slack[middle] + 2 * self._rounding
            and self._rack[middle] not in self._full_racks(run, donor)
        )
