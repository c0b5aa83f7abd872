"""The coordinator's care of what the cluster keeps: repair, moving, collecting. The shell around store/repair.py.

Every node runs this thread; it acts only while its node is the coordinator, and only under that fence. It sees (members, disks,
what there should be, what each node holds), lets the machine decide, has nodes copy from one another at a bounded rate, and
writes down the new holders before old copies go. All that it knows is seen again by a successor.
"""

import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from muskox.coordination import Check, Config, Create, Operation, Refused, Session, Set, layout, read_config, stored
from muskox.errors import MuskoxError
from muskox.store.client import Pace
from muskox.store.collection import Collector
from muskox.store.home import Home
from muskox.store.kept import Kept, Manifests, find_kept, write_holders
from muskox.store.object_home import ObjectHome
from muskox.store.repair import (
    Action,
    Copied,
    Copy,
    Drop,
    Event,
    Node,
    NotCopied,
    NotRecorded,
    Record,
    Recorded,
    Repairer,
    RepairOptions,
    Seen,
)

log = logging.getLogger(__name__)

LOOK_S = 10.0  # between looks when no watch fires
BUSY_LOOK_S = 1.0  # while copies are under way or somebody is away
RETRY_S = 1.0  # after an error
INVENTORY_S = 600.0  # how long what a node holds is taken as known, unless its DiskRecord says that something was found
COLLECT_S = 300.0  # between collections when nothing was removed
COPIES_MAX = 64  # threads that wait for copies
LOST_MAX = 20  # units that are named in the record of how things stand
MIB = 1 << 20

Fence = Callable[[], int | None]


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a node held when it was asked, and lacked; it is asked again when `mark` changes, or it should hold what is new."""

    digests: frozenset[str]
    mark: tuple[str, int]
    seen_s: float
    lacked: frozenset[str] = frozenset()


@dataclass(slots=True)
class Known:
    """What one term of a coordinator has seen."""

    repair: Repairer
    options: RepairOptions
    kept: dict[str, Kept] = field(default_factory=dict)
    inventories: dict[str, Inventory] = field(default_factory=dict)
    copying: dict[str, int] = field(default_factory=dict)  # digests under way


class Steward(threading.Thread):
    """See the head of this file. `fence` tells the coordinator's fence while this node is it."""

    def __init__(self, home: Home, fence: Fence) -> None:
        super().__init__(name="steward", daemon=True)
        self._home = home
        self._session: Session = home.session
        self._fence = fence
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._is_looking = threading.Event()
        self._pool = ThreadPoolExecutor(COPIES_MAX, thread_name_prefix="repair")
        self._manifests = Manifests(home)
        self._term: tuple[int, Known] | None = None
        self._collector = self._new_collector()
        self._collected_s = -math.inf
        self._trash: list[str] = []

    def look(self, _: Any = None) -> None:
        """Look again: a watch fired, or the connection changed."""
        if not self._is_looking.is_set():
            self._is_looking.set()
            self._events.put(None)

    def run(self) -> None:
        wait_s = 0.0
        while True:
            events = self._wait(wait_s)
            try:
                fence = self._fence() if self._session.is_connected else None
                wait_s = LOOK_S if fence is None else self._act(fence, events)
                if fence is None:
                    self._term = None
            except MuskoxError as error:
                log.warning("steward: %s", error)
                wait_s = RETRY_S
            except Exception:  # bulkhead: one unit's trouble must not leave the rest without care
                log.exception("steward")
                wait_s = LOOK_S

    def _wait(self, seconds: float) -> list[Event]:
        """Return what came within so many seconds, as soon as something did; all that is there by then."""
        events: list[Event | None] = []
        try:
            events.append(self._events.get(timeout=seconds) if seconds else self._events.get_nowait())
            while True:
                events.append(self._events.get_nowait())
        except queue.Empty:
            self._is_looking.clear()
            return [event for event in events if event is not None]

    def _act(self, fence: int, events: list[Event]) -> float:
        """Tell the machine what came and what there is, and do what it says; return how long to wait if nothing changes."""
        config = read_config(self._session, self.look)
        known = self._known(fence, config)
        if isinstance(self._home, ObjectHome):
            self._collect(known, config)
            return LOOK_S
        for event in events:
            self._perform(known.repair.handle(event, time.monotonic()), fence, known, config)
        self._perform(known.repair.handle(self._see(known), time.monotonic()), fence, known, config)
        self._collect(known, config)
        self._tell(fence, known)
        return BUSY_LOOK_S if known.repair.is_waiting else LOOK_S

    def _known(self, fence: int, config: Config) -> Known:
        options = RepairOptions(away_s_max=config["repair_after_s"], copies_max_per_node=int(config["repair_copies"]))
        if self._term is None or self._term[0] != fence or self._term[1].options != options:
            self._term = (fence, Known(Repairer(options), options))
            self._collector = self._new_collector()
        return self._term[1]

    def _tell(self, fence: int, known: Known) -> None:
        """Write down how things stand, if that has changed."""
        summary = known.repair.summary()
        record = stored.RepairRecord(
            units=summary.units,
            below=summary.below,
            endangered=summary.endangered,
            lost=list(summary.lost[:LOST_MAX]),
            copies=summary.copies,
            bytes=summary.bytes,
            moving=summary.moving,
        )
        found = self._session.find(layout.REPAIR, stored.RepairRecord)
        if found is None or found[0] != record:
            write: Operation = Create(layout.REPAIR, record) if found is None else Set(layout.REPAIR, record)
            self._session.commit([Check(layout.FENCE, fence), write], lambda: True)

    # -- seeing --

    def _see(self, known: Known) -> Seen:
        members = self._home.directory.members()
        self._session.children(layout.MEMBERS, self.look)
        drained = self._session.children(layout.DRAINS, self.look)
        self._session.children(layout.DATASETS, self.look)
        known.kept = {kept.unit.key: kept for kept in find_kept(self._home, self._manifests)}
        should: dict[str, set[str]] = {}
        for kept in known.kept.values():
            for node in kept.unit.holders:
                should.setdefault(node, set()).update(digest for digest, _ in kept.unit.blobs)
        nodes = {}
        for name, member in members.items():
            found = self._session.find(layout.disk(name), stored.DiskRecord, self.look)
            disk = stored.DiskRecord(bytes_free=member.disk_bytes) if found is None else found[0]
            inventory = self._inventory(known, name, (member, disk), should.get(name, set()))
            if inventory is None:
                continue  # it does not answer: as if away
            nodes[name] = Node(
                weight=float(max(member.disk_bytes, 1)),
                bytes_free=disk.bytes_free,
                rack=member.rack,
                is_draining=name in drained,
                missing=frozenset(should.get(name, set()) - inventory.digests),
            )
        return Seen(nodes, [kept.unit for kept in known.kept.values()])

    def _inventory(
        self, known: Known, name: str, who: tuple[layout.MemberRecord, stored.DiskRecord], should: set[str]
    ) -> Inventory | None:
        """Return what the node holds: as last seen, unless it restarted, found something amiss, should hold what was not looked
        for then, or that is long ago.
        """
        member, disk = who
        mark = (member.incarnation, disk.bad)
        before = known.inventories.get(name)
        now_s = time.monotonic()
        is_fresh = before is not None and before.mark == mark and now_s - before.seen_s < INVENTORY_S
        if before is not None and is_fresh and should <= before.digests | before.lacked:
            return before
        try:
            digests = frozenset(self._home.client.inventory(member.address))
        except MuskoxError as error:
            log.warning("node %s does not tell what it holds: %s", name, error)
            return None
        known.inventories[name] = Inventory(digests, mark, now_s, frozenset(should - digests))
        return known.inventories[name]

    # -- doing --

    def _perform(self, actions: list[Action], fence: int, known: Known, config: Config) -> None:
        for action in actions:
            match action:
                case Copy():
                    log.info("repair: %s to %s", action.digest[:12], action.target)
                    known.copying[action.digest] = known.copying.get(action.digest, 0) + 1
                    self._pool.submit(self._copy, known, action, Pace(fence, config["repair_mb_per_s"] * MIB))
                case Record():
                    self._events.put(self._record(action, fence, known))
                case Drop():
                    self._drop(action, fence, known)
                case _:
                    assert_never(action)

    def _copy(self, known: Known, copy: Copy, pace: Pace) -> None:
        """Let the target fetch a blob; tell the machine how that ended, unless it has given up waiting."""
        began_s = time.monotonic()
        live = self._home.directory.live()
        event: Event
        try:
            if copy.target not in live:
                raise Refused(f"node {copy.target} is away")
            sources = [live[node] for node in copy.sources if node in live]
            self._home.client.fetch_to(live[copy.target], copy.digest, sources, copy.bytes, pace)
            inventory = known.inventories.get(copy.target)
            if inventory is not None:
                digests = inventory.digests | {copy.digest}
                known.inventories[copy.target] = replace(inventory, digests=digests)
            event = Copied(copy.digest, copy.target, copy.number)
        except MuskoxError as error:
            log.warning("repair: %s was not copied to %s: %s", copy.digest[:12], copy.target, error)
            event = NotCopied(copy.digest, copy.target, str(error), copy.number)
        known.copying[copy.digest] -= 1
        if not known.copying[copy.digest]:
            del known.copying[copy.digest]
        if time.monotonic() - began_s < known.options.patience_s:
            self._events.put(event)

    def _record(self, record: Record, fence: int, known: Known) -> Event:
        kept = known.kept.get(record.key)
        try:
            revision = None if kept is None else write_holders(self._session, fence, kept, record.before, record.holders)
            if revision is None:
                return NotRecorded(record.key, "it is gone, or somebody else changed it")
            log.info("repair: %s lies on %s now: %s", record.key, ", ".join(record.holders), record.reason)
            return Recorded(record.key, record.holders, revision)
        except MuskoxError as error:
            return NotRecorded(record.key, str(error))

    def _drop(self, drop: Drop, fence: int, known: Known) -> None:
        """Delete copies that nobody needs any more; if that fails, they are collected one day."""
        log.info("repair: %s is dropped from %s", drop.key, drop.node)
        live = self._home.directory.live()
        if drop.node not in live:
            return
        try:
            clock_ns = self._home.client.clock_ns(live[drop.node])
            self._home.client.delete(live[drop.node], list(drop.digests), clock_ns, fence)
            inventory = known.inventories.get(drop.node)
            if inventory is not None:
                digests = inventory.digests.difference(drop.digests)
                known.inventories[drop.node] = replace(inventory, digests=digests)
        except MuskoxError as error:
            log.warning("repair: what node %s need not hold any more is left there: %s", drop.node, error)

    # -- collecting --

    def _new_collector(self) -> Collector:
        return Collector(self._home, self._manifests, lambda: find_kept(self._home, self._manifests), self._busy)

    def _busy(self) -> list[str]:
        return [] if self._term is None else list(self._term[1].copying)

    def _collect(self, known: Known, config: Config) -> None:
        """Collect when something was removed, and now and then; a collection that waits for uploads goes on here."""
        trash = self._session.children(layout.TRASH, self.look)
        now_s = time.monotonic()
        pause_s = min(COLLECT_S, max(config["collect_after_s"], 1.0))
        if trash == self._trash and now_s < self._collected_s + pause_s:
            return
        collected = self._collector.step(config)
        if collected is None:
            self._session.children(layout.UPLOADS, self.look)
            return
        self._trash = self._session.children(layout.TRASH)
        self._collected_s = now_s
        if collected.blobs:
            log.info("collected %d blobs, %d bytes; %s", collected.blobs, collected.bytes, ", ".join(collected.versions))
            known.inventories.clear()
