"""The coordinator's care of what the cluster keeps: repair, moving, collecting. The shell around placement/repair.py.

Every node runs this thread; it acts only while its node is the coordinator, and only under that fence. It sees (members, disks,
what there should be, what each node holds), lets the machine decide, has nodes copy from one another at a bounded rate, and
writes down the new holders before old copies go. All that it knows is seen again by a successor.
"""

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from muskox.coordination import Check, Config, Create, Operation, Refused, Session, Set, layout, read_config, stored
from muskox.errors import MuskoxError
from muskox.store.care.collection import Collector
from muskox.store.care.kept import Change, Kept, Manifests, find_kept, write_holders
from muskox.store.home import Home
from muskox.store.objects.object_home import ObjectHome
from muskox.store.placement.repair import (
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
from muskox.store.service.client import Pace

log = logging.getLogger(__name__)

LOOK_S = 10.0  # between looks when no watch fires
BUSY_LOOK_S = 1.0  # while copies are under way or somebody is away
RETRY_S = 1.0  # after an error
INVENTORY_S = 600.0  # how long what a node holds is taken as known, unless its DiskRecord says that something was found
PAUSE_S = 0.25  # between two looks at least
COLLECT_S = 300.0  # between collections when nothing was removed
COPIES_MAX = 64  # at a time: as many threads as wait for them
LOST_MAX = 20  # units that are named in the record of how things stand
MIB = 1 << 20

Fence = Callable[[], int | None]


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a node held when it was asked, and lacked; it is asked again when `mark` changes, or it should hold what is new."""

    digests: frozenset[str]
    mark: tuple[str, int]
    seen_s: float
    clock_ns: int  # what the node's clock is ahead of our monotonic one, or less
    lacked: frozenset[str] = frozenset()


@dataclass(slots=True)
class Known:
    """What one term of a coordinator has seen."""

    repair: Repairer
    options: RepairOptions
    kept: dict[str, Kept] = field(default_factory=dict)
    inventories: dict[str, Inventory] = field(default_factory=dict)
    copying: dict[str, int] = field(default_factory=dict)  # digests under way
    seen_ns: int = 0  # when the last picture was begun, by our monotonic clock


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
        self._looked_s = -math.inf
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
        """Return what came within so many seconds, as soon as something did; all that is there by then.

        Watches that fire one after the other cause one look a PAUSE_S: a look reads a few znodes of every version.
        """
        events: list[Event | None] = []
        time.sleep(max(0.0, self._looked_s + PAUSE_S - time.monotonic()))
        try:
            events.append(self._events.get(timeout=seconds) if seconds else self._events.get_nowait())
            while True:
                events.append(self._events.get_nowait())
        except queue.Empty:
            self._is_looking.clear()
            self._looked_s = time.monotonic()
            return [event for event in events if event is not None]

    def _act(self, fence: int, events: list[Event]) -> float:
        """Tell the machine what came and what there is, and do what it says; return how long to wait if nothing changes."""
        config = read_config(self._session, self.look)
        known = self._known(fence, config)
        if isinstance(self._home, ObjectHome):
            self._collect(fence, known, config)
            return LOOK_S
        for event in events:
            self._perform(known.repair.handle(event, time.monotonic()), fence, known, config)
        seen = self._see(known)
        for event in surplus(seen, known.inventories):
            self._perform(known.repair.handle(event, time.monotonic()), fence, known, config)
        self._perform(known.repair.handle(seen, time.monotonic()), fence, known, config)
        self._tell(fence, known)
        self._collect(fence, known, config)
        return BUSY_LOOK_S if known.repair.is_waiting else LOOK_S

    def _known(self, fence: int, config: Config) -> Known:
        options = RepairOptions(
            away_s_max=config["repair_after_s"],
            copies_max_per_node=int(config["repair_copies"]),
            copies_max=COPIES_MAX,
        )
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
        known.seen_ns = time.monotonic_ns()
        members = self._home.directory.members()
        self._session.children(layout.MEMBERS, self.look)
        drained = self._session.children(layout.DRAINS, self.look)
        self._session.children(layout.DATASETS, self.look)
        known.kept = {kept.unit.key: kept for kept in find_kept(self._home, self._manifests, is_strict=False)}
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
            clock_ns = self._home.client.clock_ns(member.address) - time.monotonic_ns()  # rather too early than too late
        except MuskoxError as error:
            log.warning("node %s does not tell what it holds: %s", name, error)
            return None
        known.inventories[name] = Inventory(digests, mark, now_s, clock_ns, frozenset(should - digests))
        return known.inventories[name]

    # -- doing --

    def _perform(self, actions: list[Action], fence: int, known: Known, config: Config) -> None:
        records: dict[str, list[Record]] = {}  # by znode: the runs of a column group are written in one step
        for action in actions:
            match action:
                case Copy():
                    log.info("repair: %s to %s", action.digest[:12], action.target)
                    known.copying[action.digest] = known.copying.get(action.digest, 0) + 1
                    self._pool.submit(self._copy, known, action, Pace(fence, config["repair_mb_per_s"] * MIB))
                case Record():
                    kept = known.kept.get(action.key)
                    if kept is None:
                        self._events.put(NotRecorded(action.key, "it is gone"))
                    else:
                        records.setdefault(kept.path, []).append(action)
                case Drop():
                    self._drop(action, fence, known)
                case _:
                    assert_never(action)
        for each in records.values():
            self._record(each, fence, known)

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

    def _record(self, records: list[Record], fence: int, known: Known) -> None:
        """Write down new holders of units of one znode, once the new ones have been asked whether they hold them still."""
        changes = []
        for record in records:
            kept = known.kept[record.key]
            lacking = next((node for node in record.holders if node not in record.before and self._lacks(kept, node)), None)
            if lacking is None:
                changes.append(Change(kept, record.before, record.holders))
            else:
                self._events.put(NotRecorded(record.key, f"node {lacking} has lost it again"))
        reasons = {record.key: record.reason for record in records}
        try:
            written, revision = write_holders(self._session, fence, changes) if changes else ([], 0)
        except MuskoxError as error:
            for change in changes:
                self._events.put(NotRecorded(change.kept.unit.key, str(error)))
            return
        for change in changes:
            key = change.kept.unit.key
            if change in written:
                log.info("repair: %s lies on %s now: %s", key, ", ".join(change.nodes), reasons[key])
                self._events.put(Recorded(key, tuple(change.nodes), revision))
            else:
                self._events.put(NotRecorded(key, "it is gone, or somebody else changed it"))

    def _lacks(self, kept: Kept, node: str) -> bool:
        """Return whether the node does not hold all of the unit, or does not answer."""
        address = self._home.directory.address(node)
        try:
            return address is None or bool(self._home.client.missing(address, [digest for digest, _ in kept.unit.blobs]))
        except MuskoxError:
            return True

    def _drop(self, drop: Drop, fence: int, known: Known) -> None:
        """Delete copies that nobody needs any more; if that fails, they are collected one day."""
        log.info("repair: %s is dropped from %s", drop.key, drop.node)
        live = self._home.directory.live()
        if drop.node not in live:
            return
        try:
            inventory = known.inventories.get(drop.node)
            if inventory is None:
                return
            seen_ns = known.seen_ns + inventory.clock_ns  # nothing that came after the picture by which this was decided
            self._home.client.delete(live[drop.node], list(drop.digests), seen_ns, fence)
            digests = inventory.digests.difference(drop.digests)
            known.inventories[drop.node] = replace(inventory, digests=digests)
        except MuskoxError as error:
            log.warning("repair: what node %s need not hold any more is left there: %s", drop.node, error)

    # -- collecting --

    def _new_collector(self) -> Collector:
        return Collector(
            self._home, self._manifests, lambda: find_kept(self._home, self._manifests, is_strict=True), self._busy
        )

    def _busy(self) -> list[str]:
        return [] if self._term is None else list(self._term[1].copying)

    def _collect(self, fence: int, known: Known, config: Config) -> None:
        """Collect when something was removed, and now and then; a collection that waits for uploads goes on here."""
        trash = self._session.children(layout.TRASH, self.look)
        now_s = time.monotonic()
        pause_s = min(COLLECT_S, max(config["collect_after_s"], 1.0))
        if trash == self._trash and now_s < self._collected_s + pause_s:
            return
        collected = self._collector.step(config, fence)
        if collected is None:
            self._session.children(layout.UPLOADS, self.look)
            return
        left = self._session.children(layout.TRASH)
        self._trash = [name for name in trash if name in left]  # what came meanwhile was perhaps not looked at
        self._collected_s = now_s
        if collected.blobs:
            log.info("collected %d blobs, %d bytes; %s", collected.blobs, collected.bytes, ", ".join(collected.versions))
            known.inventories.clear()


def surplus(seen: Seen, inventories: Mapping[str, Inventory]) -> list[Event]:
    """Return the copies that are on live nodes and not written down, of units that lack one: a repair may take them as sources.

    A node that was away when its runs were given to others has such copies; a coordinator that came since knows nothing of it.
    """
    lacking: dict[str, set[str]] = {}
    for unit in seen.units:
        whole = [name for name in unit.holders if name in seen.nodes and not seen.nodes[name].missing]
        if len(whole) < min(unit.replicas, len(seen.nodes)):
            for digest, _ in unit.blobs:
                lacking.setdefault(digest, set()).update(unit.holders)
    return [
        Copied(digest, name)
        for name in seen.nodes
        if name in inventories and lacking
        for digest in sorted(inventories[name].digests & lacking.keys())
        if name not in lacking[digest]
    ]
