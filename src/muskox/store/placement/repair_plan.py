"""What repair should bring about: for each unit the nodes that shall hold it, and the copies that are needed for that.

:func:`plan` compares the picture with what should be; the same picture gives the same answer, and what was planned before stays
planned as long as it can be done. In which order copies are made, and when holders are recorded, is left to others. Pure.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import inf
from statistics import fmean

from muskox.store.placement.repair_copies import Copies, Waiting
from muskox.store.placement.repair_events import Node, Pair, RepairOptions, Unit
from muskox.store.placement.repair_inventory import Inventory
from muskox.store.placement.settling import NodeView, Run, settle

TARGETS_REFUSED_MAX = 4  # nodes that failed to take a unit lately, before it rests: rather its sources may be at fault

Calm = tuple[object, ...]  # a picture in which all was well: as long as it stays, nothing need be decided again
Urgency = tuple[int, int, str]  # 0: replicas are missing, 1: a holder drains, 2: balance and racks; live whole replicas; key


@dataclass(frozen=True, slots=True)
class Intent:
    """The holders that a unit shall have. It is voluntary if it would be safe as it is."""

    holders: tuple[str, ...]
    is_voluntary: bool


@dataclass(slots=True)
class Planned:
    """What :func:`plan` returns: intents by unit, copies by urgency, and what is to be told to people.

    below : units with fewer live whole replicas than they should have, and how many they have
    lost : units of which a blob lies on no live node
    is_awaiting : a node has been away for a moment only, and may come back
    calm : the picture, if there is nothing to do
    """

    intents: dict[str, Intent] = field(default_factory=dict)
    waiting: dict[Pair, Waiting] = field(default_factory=dict)
    below: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    is_awaiting: bool = False
    calm: Calm | None = None


def plan(inventory: Inventory, copies: Copies, before: "Before", options: RepairOptions, now_s: float) -> Planned:
    """Return what should be done next. Balance waits until nothing can be repaired and nobody is away for a moment only."""
    planner = _Planner(inventory, copies, before, options, now_s)
    calm = planner.find_calm()
    if calm is not None and calm == before.calm:
        return Planned(calm=calm)
    planned = planner.plan(is_balancing=False)
    if planned.waiting or copies.under_way or planned.is_awaiting:
        return planned
    planned = planner.plan(is_balancing=True)
    planned.calm = None if planned.intents else calm
    return planned


@dataclass(frozen=True, slots=True)
class Before:
    """What was planned before; the units in `recording` keep their intents. `calm` is when there was nothing to do last."""

    intents: Mapping[str, Intent]
    recording: Collection[str]
    calm: Calm | None


class _Planner:
    """One call of :func:`plan`."""

    def __init__(self, inventory: Inventory, copies: Copies, before: Before, options: RepairOptions, now_s: float) -> None:
        self._inventory = inventory
        self._before = before
        self._views: dict[str, NodeView] = {}
        self._room: dict[str, float] = {}
        self._barred: dict[str, dict[str, None]] = {}
        self._clean = {name for name, node in inventory.nodes.items() if not node.is_draining and not node.missing}
        self._is_awaiting = False
        self._view(copies, options, now_s)
        for digest, name in copies.refused():
            if not inventory.has(name, digest):
                for key in inventory.keys(digest):
                    self._barred.setdefault(key, {})[name] = None
        self._refused = copies.is_refused

    def _view(self, copies: Copies, options: RepairOptions, now_s: float) -> None:
        """Find the nodes that may hold something: the live ones that do not drain, and those that are away for a moment."""
        for name, node in self._inventory.nodes.items():
            if not node.is_draining:
                self._views[name] = _view_of(node)
                self._room[name] = 0 if copies.is_shunned(name) else max(node.bytes_free - options.bytes_free_min, 0)
        mean = fmean(view.weight for view in self._views.values()) if self._views else 1.0
        for name in self._inventory.absent():
            if self._inventory.away_s(name, now_s) < options.away_s_max:
                self._is_awaiting = True
                last = self._inventory.last_seen(name)
                if last is None or not last.is_draining:
                    self._views[name] = NodeView(mean) if last is None else _view_of(last)
                    self._room[name] = 0

    def find_calm(self) -> Calm | None:
        """Return what the decision stands on if nothing is amiss with any unit, else None. Room counts by powers of two."""
        if not all(self._is_well(unit) for unit in self._inventory.units.values()):
            return None
        nodes = ((name, view.weight, view.rack, int(self._room[name]).bit_length()) for name, view in self._views.items())
        return (self._inventory.changes, *nodes)

    def plan(self, is_balancing: bool) -> Planned:
        units = list(self._inventory.units.values())
        room = dict(self._room)
        current = [self._current(unit, room) for unit in units]
        runs = [self._run(unit, holders) for unit, holders in zip(units, current, strict=True)]
        views = {name: NodeView(view.weight, view.rack, room[name]) for name, view in self._views.items()}
        settled = settle(runs, views, is_balancing) if views else [()] * len(units)
        planned = Planned(is_awaiting=self._is_awaiting)
        others = self._inventory.other_sources()
        copies: list[tuple[Urgency, Pair, Waiting]] = []
        for unit, holders in zip(units, settled, strict=True):
            if self._is_well(unit) and set(holders) == set(unit.holders):
                continue
            if unit.key in self._before.recording:
                planned.intents[unit.key] = self._before.intents[unit.key]
                continue
            final = self._with_old(unit, holders)
            if set(final) != set(unit.holders):
                planned.intents[unit.key] = Intent(final, self._is_safe(unit))
            self._add_copies(unit, final, others, planned, copies)
        for _, pair, waiting in sorted(copies, key=lambda copy: copy[:2]):
            planned.waiting.setdefault(pair, waiting)
        return planned

    def _is_well(self, unit: Unit) -> bool:
        """Return whether nothing can be amiss with the unit, which is so with nearly all of them at nearly all times."""
        return (
            len(unit.holders) == unit.replicas
            and self._clean.issuperset(unit.holders)
            and unit.key not in self._before.intents
            and unit.key not in self._barred
        )

    def _is_safe(self, unit: Unit) -> bool:
        """Return whether the recorded holders are enough and may stay."""
        stays = sum(name in self._views and name not in self._barred.get(unit.key, ()) for name in unit.holders)
        return stays >= min(unit.replicas, len(self._views))

    def _current(self, unit: Unit, room: dict[str, float]) -> tuple[str, ...]:
        """Return who holds the unit and may go on, with those that were meant to before; `room` shrinks by what they lack."""
        if self._is_well(unit):
            return unit.holders
        intent = self._before.intents.get(unit.key)
        if intent is not None and unit.key in self._before.recording:
            return intent.holders
        barred = self._barred.get(unit.key, {})
        names = [*unit.holders, *(() if intent is None else intent.holders)]
        lack = {name: self._lack(unit, name) for name in names if name in self._views and name not in barred}
        fitting = {name: need for name, need in lack.items() if need <= room[name]}
        stays = [name for name in unit.holders if name in fitting]
        if len(stays) > unit.replicas:  # those that are live and whole first
            stays = sorted(stays, key=lambda name: not self._inventory.is_whole(unit, name))
        meant = [] if intent is None else [name for name in intent.holders if name in fitting]
        if intent is not None and intent.is_voluntary and self._is_safe(unit):
            current = meant if len(meant) == len(intent.holders) else stays
        else:
            current = [*stays, *(name for name in meant if name not in stays)]
        current = current[: unit.replicas]
        for name in current:
            room[name] -= fitting[name]
        return tuple(current)

    def _lack(self, unit: Unit, name: str) -> float:
        """Return the bytes that a node would have to take to hold the unit; of one that is away, 0 if it is recorded."""
        if name in self._inventory.nodes:
            return sum(size for _, size in self._inventory.lacks(unit, name))
        return 0 if name in unit.holders else inf

    def _run(self, unit: Unit, holders: tuple[str, ...]) -> Run:
        barred = tuple(self._barred.get(unit.key, ()))
        replicas = unit.replicas if len(barred) <= TARGETS_REFUSED_MAX else max(len(holders), 1)
        size = sum(size for _, size in unit.blobs)
        return Run(replicas, holders, size, unit.family or unit.key, unit.index, barred)

    def _with_old(self, unit: Unit, holders: tuple[str, ...]) -> tuple[str, ...]:
        """Return `holders`, and as long as they are too few, old ones: they may come back, or drain until there are others."""
        old = [name for name in unit.holders if name not in holders]
        old.sort(key=lambda name: name not in self._inventory.nodes)
        return (*holders, *old[: max(unit.replicas - len(holders), 0)])

    def _add_copies(
        self,
        unit: Unit,
        holders: tuple[str, ...],
        others: Mapping[str, list[str]],
        planned: Planned,
        copies: list[tuple[Urgency, Pair, Waiting]],
    ) -> None:
        nodes = self._inventory.nodes
        whole = self._inventory.whole(unit)
        if whole < unit.replicas:
            planned.below[unit.key] = whole
        drains = any(nodes[name].is_draining for name in unit.holders if name in nodes)
        urgency = (0 if whole < unit.replicas else 1 if drains else 2, whole, unit.key)
        sources = {digest: self._sources(digest, others) for digest, _ in unit.blobs}
        if not all(sources.values()):
            planned.lost.append(unit.key)
        for name in holders:
            if name not in nodes:
                continue
            for digest, size in self._inventory.lacks(unit, name):
                givers = tuple(source for source in sources[digest] if source != name)
                if givers and not self._refused((digest, name)):
                    copies.append((urgency, (digest, name), Waiting(size, givers)))

    def _sources(self, digest: str, others: Mapping[str, list[str]]) -> list[str]:
        return list(dict.fromkeys([*self._inventory.sources(digest), *others.get(digest, ())]))


def _view_of(node: Node) -> NodeView:
    """Return the node as placement sees it; one that tells no weight must not stop repair."""
    return NodeView(node.weight if 0 < node.weight < inf else 1.0, node.rack)
