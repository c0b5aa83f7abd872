"""The repair machine: which replicas are copied where, in which order, and when holders are recorded and old copies dropped.

It runs with the coordinator and has one door, :meth:`Repairer.handle`. A picture (`Seen`) may come at any time; each one is
compared with what should be (muskox.store.placement.repair_plan), so that what went wrong before needs no undoing. Between
pictures, answers only set further copies free. Three rules keep data safe:

- New holders are recorded once all of them that are live hold all of the unit.
- A copy is dropped only after its node is no holder any more, is not meant to be one, and a picture taken since shows that
  every recorded holder is live and whole.
- A dropped copy is not ordered again on that node for `patience_s`, so that a slow deletion never meets a new copy.

What the shell owes it: before it commits holders it asks the new ones whether they hold the unit still (a disk may have been
swapped since); a deletion that a former coordinator ordered is not carried out any more; answers and pictures older than
`patience_s` are thrown away; pictures go on coming every few seconds, for time passes only with events. Whoever is elected anew
starts with an empty machine: it orders some copies again, and nodes that have them say so at once.
"""

from dataclasses import dataclass
from typing import assert_never

from muskox.store.placement.repair_copies import Copies
from muskox.store.placement.repair_events import (
    Action,
    Copied,
    Copy,
    Drop,
    Event,
    Node,
    NotCopied,
    NotRecorded,
    Pair,
    Record,
    Recorded,
    RepairOptions,
    RepairSummary,
    Seen,
    Unit,
)
from muskox.store.placement.repair_inventory import Inventory
from muskox.store.placement.repair_plan import Before, Planned, plan

__all__ = [
    "Action",
    "Copied",
    "Copy",
    "Drop",
    "Event",
    "Node",
    "NotCopied",
    "NotRecorded",
    "Record",
    "Recorded",
    "RepairOptions",
    "RepairSummary",
    "Repairer",
    "Seen",
    "Unit",
]


@dataclass(frozen=True, slots=True)
class _Recording:
    """A record that was ordered, and when it counts as failed."""

    holders: tuple[str, ...]
    deadline_s: float


class Repairer:
    """See the head of this file."""

    def __init__(self, options: RepairOptions | None = None) -> None:
        options = options or RepairOptions()
        self._options = options
        self._inventory = Inventory()
        self._copies = Copies(options)
        self._planned = Planned()
        self._recording: dict[str, _Recording] = {}
        self._disputed: dict[Pair, float] = {}  # (key, node) of records that failed, or so it seems

    def handle(self, event: Event, now_s: float) -> list[Action]:
        """Take in what happened and return what is to be done. `now_s` is monotonic."""
        match event:
            case Seen():
                return self._see(event, now_s)
            case Copied(digest, target, number):
                return self._copied((digest, target), number, now_s)
            case NotCopied(digest, target, _, number):
                return [*(self._copies.end((digest, target), number, now_s, is_copied=False) or ())]
            case Recorded(key, holders, revision):
                self._recorded(key, holders, revision)
                return []
            case NotRecorded(key):
                self._not_recorded(key, now_s)
                return []
            case _:
                assert_never(event)

    def summary(self) -> RepairSummary:
        """Return how things stand."""
        below = self._planned.below
        return RepairSummary(
            units=len(self._inventory.units),
            below=len(below),
            endangered=sum(whole <= 1 for whole in below.values()),
            lost=tuple(self._planned.lost),
            copies=self._copies.count,
            bytes=self._copies.bytes,
            under_way=len(self._copies.under_way),
            moving=len(self._planned.intents),
        )

    @property
    def is_waiting(self) -> bool:
        """Whether something is under way, or soon due: a copy, a record, or the decision about a node that is away."""
        return bool(self._copies.count or self._planned.intents or self._planned.is_awaiting)

    # -- events --

    def _see(self, seen: Seen, now_s: float) -> list[Action]:
        self._inventory.see(seen, now_s)
        self._copies.expire(now_s, seen.nodes)
        self._disputed = {pair: until_s for pair, until_s in self._disputed.items() if now_s < until_s}
        for key, recording in list(self._recording.items()):
            if key not in self._inventory.units or now_s >= recording.deadline_s:
                self._not_recorded(key, now_s)
        before = Before(self._planned.intents, self._recording, self._planned.calm)
        self._planned = plan(self._inventory, self._copies, before, self._options, now_s)
        self._copies.want(self._planned.waiting)
        actions: list[Action] = []
        for key in list(self._planned.intents):
            actions += self._finish(key, now_s)
        for digest, name in self._inventory.arrived():
            if not self._is_wanted(digest, name):
                self._inventory.give_up((digest, name))
        for key, name in self._inventory.former():
            actions += self._drop(key, name, now_s)
        return [*actions, *self._copies.start(now_s)]

    def _copied(self, pair: Pair, number: int, now_s: float) -> list[Action]:
        started = self._copies.end(pair, number, now_s, is_copied=True)
        is_wanted = self._is_wanted(*pair)
        if started is None:
            if not is_wanted:
                self._inventory.give_up(pair)
            return []
        actions: list[Action] = []
        if is_wanted:
            self._inventory.arrive(pair)
            for key in self._inventory.keys(pair[0]):
                actions += self._finish(key, now_s)
        else:
            self._inventory.give_up(pair)
            for key in self._inventory.keys(pair[0]):
                actions += self._drop(key, pair[1], now_s)
        return [*actions, *started]

    def _recorded(self, key: str, holders: tuple[str, ...], revision: int) -> None:
        self._recording.pop(key, None)
        self._inventory.record(key, holders, revision)
        intent = self._planned.intents.get(key)
        if intent is not None and set(intent.holders) == set(holders):
            del self._planned.intents[key]

    def _not_recorded(self, key: str, now_s: float) -> None:
        """Take in that a record failed, as far as anybody knows.

        It may have been committed, and pictures taken before that may still come: for a while nothing is dropped from the nodes
        that it named. Or one of them lost its copy: they are believed in no more, and found again at once if they are there.
        """
        recording, unit = self._recording.pop(key, None), self._inventory.units.get(key)
        if recording is None or unit is None:
            return
        for name in recording.holders:
            self._disputed[key, name] = now_s + self._options.patience_s
            if name not in unit.holders:
                self._inventory.doubt(unit, name)

    # -- orders --

    def _is_wanted(self, digest: str, name: str) -> bool:
        """Return whether the node is a holder of the blob, is meant to be one, or may have become one."""
        for key in self._inventory.keys(digest):
            intent, recording = self._planned.intents.get(key), self._recording.get(key)
            if name in self._inventory.units[key].holders or (key, name) in self._disputed:
                return True
            if (intent is not None and name in intent.holders) or (recording is not None and name in recording.holders):
                return True
        return False

    def _finish(self, key: str, now_s: float) -> list[Action]:
        """Record the holders that a unit was meant to have, if all that are live hold it."""
        intent = self._planned.intents.get(key)
        if intent is None or key in self._recording:
            return []
        unit, nodes = self._inventory.units[key], self._inventory.nodes
        if not all(self._inventory.is_whole(unit, name) if name in nodes else name in unit.holders for name in intent.holders):
            return []
        self._recording[key] = _Recording(intent.holders, now_s + self._options.patience_s)
        return [Record(key, unit.holders, intent.holders, self._reason(unit, intent.holders))]

    def _reason(self, unit: Unit, holders: tuple[str, ...]) -> str:
        nodes = self._inventory.nodes
        left = []
        for name in unit.holders:
            if name not in holders:
                node = nodes.get(name)
                left.append(f"{name} {'is gone' if node is None else 'drains' if node.is_draining else 'gives it up'}")
        joined = [f"{name} holds it now" for name in holders if name not in unit.holders]
        return ", ".join([*left, *joined])

    def _drop(self, key: str, name: str, now_s: float) -> list[Action]:
        """Have the node delete what it holds of the unit and needs not, if the recorded holders are all there and whole."""
        unit, node = self._inventory.units.get(key), self._inventory.nodes.get(name)
        if unit is None or node is None or key in self._recording or not self._inventory.is_confirmed(key):
            return []
        if len(unit.holders) < min(unit.replicas, len(self._inventory.nodes)):
            return []
        if self._inventory.whole(unit) < len(unit.holders):
            return []
        everything = list(dict.fromkeys(digest for digest, _ in unit.blobs))
        digests = tuple(digest for digest in everything if not self._is_wanted(digest, name))
        if any(digest not in digests and not self._inventory.is_recorded(name, digest) for digest in everything):
            return []  # it may become a holder again, or may not
        self._inventory.drop(key, name, digests)
        for digest in digests:
            self._copies.refuse((digest, name), now_s + self._options.patience_s)
        return [Drop(key, name, digests)] if digests else []
