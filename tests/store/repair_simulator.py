"""A cluster in virtual time around the real repair machine: nodes that come, go, lose disks, fill up and dawdle; answers that
are lost, doubled or late; coordinators that change. Everything follows from a seed.

    python tests/store/repair_simulator.py --histories 5000          # seeds 0 to 4999
    python tests/store/repair_simulator.py --seed 17 --trace         # one of them, told step by step

What must hold at every step is in `Cluster`'s methods `commit`, `delete`, `order` and `check_data`; what must hold at the end
is in `check_end`. A destructive fault (a disk gone, a blob corrupt) happens only while fewer of them are unrepaired than units
can bear: one at a time with two replicas, two with three.
"""

import argparse
import hashlib
import heapq
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

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
    Unit,
)

OPTIONS = RepairOptions(away_s_max=30, patience_s=60, refusal_s=40, copies_max_per_node=2, copies_max=8, bytes_free_min=100)
LOOK_S = 10.0
FAULTS_S = 600.0
FAULTS = ("restart", "away", "disk", "disk", "swap", "join", "drain", "undrain", "slow", "full", "corrupt", "corrupt")
FAULTS += ("coordinator", "put", "remove")
REST_S = 120.0  # without an order, after which nothing more can come: longer than any time in OPTIONS
END_S = 60_000.0  # repair that has not ended by then never will


class Broken(AssertionError):
    """A history in which something did not hold."""


@dataclass
class Disk:
    """A node as it really is. `blobs` tells for each digest on it whether its bytes are good."""

    capacity: int
    rack: str
    weight: float
    blobs: dict[str, bool] = field(default_factory=dict)
    is_up: bool = True
    is_draining: bool = False
    slowness: float = 1.0
    ballast: int = 0
    life: int = 0  # grows with each start
    put_s: dict[str, float] = field(default_factory=dict)  # when an upload brought a blob last
    lost_s: float = -1.0  # when something on it was last lost


@dataclass
class Transfer:
    """A copy under way, and of which term of a coordinator."""

    copy: Copy
    term: int
    started_s: float
    life: int
    is_written_off: bool = False


class Cluster:
    """See the head of this file. With `is_rough` messages go astray, too; otherwise every answer arrives."""

    def __init__(self, seed: int, is_rough: bool = True, trace: Callable[[str], None] | None = None) -> None:
        self.draw = random.Random(seed)
        self.is_rough = is_rough
        self.trace = trace
        self.digest = hashlib.sha256()
        self.now_s = 0.0
        self.nodes: dict[str, Disk] = {}
        self.units: dict[str, Unit] = {}
        self.sizes: dict[str, int] = {}
        self.transfers: list[Transfer] = []
        self.machine = Repairer(OPTIONS)
        self.term = 1
        self.picture_s = 0.0  # when the machine's last picture was taken
        self.has_faults = True
        self.damage = 0  # destructive faults not repaired yet
        self.bytes_moved = 0
        self.strays: list[tuple[str, str]] = []  # what was to be dropped when its node was away
        self.last_order_s = 0.0
        self.events_taken = 0
        self._soon: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._names = 0
        self._set_up()

    # -- the beginning --

    def _set_up(self) -> None:
        racks = self.draw.choice([0, 0, 3, 4])
        for index in range(self.draw.randrange(4, 11)):
            self.join(f"rack-{index % racks}" if racks else "")
        self.replicas = self.draw.choice([2, 2, 3])
        for family in range(self.draw.randrange(1, 4)):
            for index in range(self.draw.randrange(1, 14)):
                self.add_unit(f"set-{family}", index)
        for _ in range(self.draw.randrange(5)):
            self.add_unit("", 0)

    def join(self, rack: str, weight: float | None = None) -> str:
        name = f"node-{self._names}"
        self._names += 1
        self.nodes[name] = Disk(50_000, rack, weight or self.draw.choice([1.0, 1.0, 2.0]))
        return name

    def add_unit(self, family: str, index: int) -> None:
        """Make a unit that lies on whichever nodes a put would have found."""
        key = f"{family}/{index}" if family else f"blob-{self._count}-{len(self.sizes)}"
        if key in self.units:
            return
        blobs = []
        for number in range(self.draw.choice([1, 2, 4]) if family else 1):
            digest = f"{key}#{number}"
            if self.sizes and self.draw.random() < 0.05:
                digest = self.draw.choice(list(self.sizes))  # content that is somewhere already
            self.sizes.setdefault(digest, self.draw.choice([0, 100, 200, 200, 400]))
            blobs.append((digest, self.sizes[digest]))
        up = [name for name, disk in self.nodes.items() if disk.is_up and self.free(disk) > 5000 and not disk.is_draining]
        if len(up) < self.replicas:
            return
        holders = tuple(self.draw.sample(up, self.replicas))
        for name in holders:
            self.nodes[name].blobs.update({digest: True for digest, _ in blobs})
            self.nodes[name].put_s.update({digest: self.now_s for digest, _ in blobs})
        self.units[key] = Unit(key, tuple(blobs), self.replicas, holders, family, index, revision=1)

    # -- time --

    def later(self, seconds: float, happen: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._soon, (self.now_s + seconds, self._count, happen))

    def run(self, until_s: float, is_over: Callable[[], bool] = lambda: False) -> None:
        while self._soon and self._soon[0][0] <= until_s and not is_over():
            self.now_s, _, happen = heapq.heappop(self._soon)
            happen()
        if not is_over():
            self.now_s = max(self.now_s, until_s)

    def tell(self, text: str) -> None:
        self.digest.update(f"{self.now_s:.3f} {text}\n".encode())
        if self.trace:
            self.trace(f"{self.now_s:10.2f}  {text}")

    def start(self) -> None:
        def look() -> None:
            picture, term, taken_s = self.picture(), self.term, self.now_s
            delay_s = self.draw.uniform(0, 4) if self.is_rough else 0.01
            if not (self.is_rough and self.draw.random() < 0.1):
                self.later(delay_s, lambda: self.hand_in(picture, term, taken_s))
            self.later(LOOK_S * self.draw.uniform(0.4, 1.2), look)

        look()

    # -- the shell --

    def free(self, disk: Disk) -> int:
        return disk.capacity - disk.ballast - sum(self.sizes[digest] for digest in disk.blobs)

    def picture(self) -> Seen:
        should: dict[str, set[str]] = {name: set() for name in self.nodes}
        for unit in self.units.values():
            for name in unit.holders:
                should.get(name, set()).update(digest for digest, _ in unit.blobs)
        nodes = {
            name: Node(
                disk.weight, max(self.free(disk), 0), disk.rack, disk.is_draining, frozenset(should[name] - disk.blobs.keys())
            )
            for name, disk in self.nodes.items()
            if disk.is_up
        }
        return Seen(nodes, list(self.units.values()))

    def hand_in(self, event: Event, term: int, taken_s: float = 0.0) -> None:
        if term != self.term:
            return
        if isinstance(event, Seen):
            self.picture_s = taken_s
            for transfer in self.transfers:
                gone = transfer.copy.target not in event.nodes or not any(s in event.nodes for s in transfer.copy.sources)
                transfer.is_written_off |= gone
        else:
            self.tell(f"event {event}")
        self.events_taken += 1
        for action in self.machine.handle(event, self.now_s):
            self.tell(f"order {action}")
            self.last_order_s = self.now_s
            self.perform(action)

    def perform(self, action: Action) -> None:
        term = self.term
        match action:
            case Copy():
                self.order(action)
            case Record():
                self.later(self.draw.uniform(0.05, 1), lambda: self.commit(action, term))
            case Drop():
                if not (self.is_rough and self.draw.random() < 0.05):
                    seen_s = self.picture_s
                    self.later(self.draw.uniform(0.05, 20), lambda: self.delete(action, term, seen_s))

    def answer(self, event: Event, since_s: float, term: int) -> None:
        """Bring an answer to the machine: perhaps never, twice, or late; but none that is older than the patience."""
        fate = self.draw.random() if self.is_rough else 1.0
        if fate < 0.05:
            self.tell(f"lost  {event}")
            return
        for _ in range(2 if fate < 0.1 else 1):
            delay_s = self.draw.uniform(0, 40) if fate < 0.2 else 0.05
            if self.now_s + delay_s < since_s + OPTIONS.patience_s:
                self.later(delay_s, lambda: self.hand_in(event, term))
            elif isinstance(event, Copied):
                self.strays.append((event.digest, event.target))

    def order(self, copy: Copy) -> None:
        disk = self.nodes[copy.target]
        transfer = Transfer(copy, self.term, self.now_s, disk.life)
        self.transfers.append(transfer)
        self.check_limits()
        self.check(len(set(copy.sources)) == len(copy.sources) > 0 and copy.target not in copy.sources, f"odd sources: {copy}")
        seconds = 0.1 if disk.blobs.get(copy.digest) else 0.2 + copy.bytes / 50 * disk.slowness * self.draw.uniform(0.8, 1.5)
        self.later(seconds, lambda: self.end(transfer))

    def end(self, transfer: Transfer) -> None:
        self.transfers.remove(transfer)
        copy, disk = transfer.copy, self.nodes[transfer.copy.target]
        has = any(self.nodes[name].is_up and self.nodes[name].blobs.get(copy.digest) for name in copy.sources)
        if disk.life != transfer.life or not disk.is_up:
            event: Event = NotCopied(copy.digest, copy.target, "the node is away", copy.number)
        elif disk.blobs.get(copy.digest):
            event = Copied(copy.digest, copy.target, copy.number)
        elif not has:
            event = NotCopied(copy.digest, copy.target, "no source has it", copy.number)
        elif self.free(disk) < copy.bytes:
            event = NotCopied(copy.digest, copy.target, "the disk is full", copy.number)
        else:
            disk.blobs[copy.digest] = True
            self.bytes_moved += copy.bytes
            event = Copied(copy.digest, copy.target, copy.number)
        self.answer(event, transfer.started_s, transfer.term)

    def commit(self, record: Record, term: int) -> None:
        unit = self.units.get(record.key)
        refused = self.is_rough and self.draw.random() < 0.05
        if term != self.term or unit is None or unit.holders != record.before or refused:
            self.answer(NotRecorded(record.key, "refused"), self.now_s, term)
            return
        self.check(len(set(record.holders)) == len(record.holders) <= unit.replicas, f"odd holders: {record}")
        for name in record.holders:
            disk = self.nodes[name]
            lacking = [digest for digest, _ in unit.blobs if digest not in disk.blobs]
            if name not in unit.holders and (lacking or not disk.is_up):
                # The shell asks the new holders. The machine may not know what befell them since its last picture, or since
                # an answer was given that came late.
                is_new = disk.lost_s > min(self.picture_s, self.now_s - OPTIONS.patience_s) or not disk.is_up
                self.check(is_new, f"{name} was to be recorded to hold {record.key} and lacks {lacking}")
                self.answer(NotRecorded(record.key, f"{name} does not hold it"), self.now_s, term)
                return
        before, after = (self.whole(unit, names) for names in (unit.holders, record.holders))
        self.check(
            any(self.is_struck(name, unit) for name in record.holders) or after >= min(before, unit.replicas),
            f"{record}: {before} whole replicas become {after}",
        )
        self.units[record.key] = unit = replace(unit, holders=record.holders, revision=unit.revision + 1)
        self.tell(f"now   {unit.key} on {unit.holders}")
        is_told = not (self.is_rough and self.draw.random() < 0.05)
        answer = Recorded(record.key, record.holders, unit.revision) if is_told else NotRecorded(record.key, "nobody knows")
        self.answer(answer, self.now_s, term)

    def delete(self, drop: Drop, term: int, seen_s: float) -> None:
        disk = self.nodes[drop.node]
        if term != self.term or not disk.is_up:
            self.strays += [(digest, drop.node) for digest in drop.digests]  # left to the nodes' own collection
            return
        for digest in drop.digests:
            if disk.put_s.get(digest, -1.0) > seen_s:
                continue  # an upload brought it again since the picture was taken
            for unit in self.units.values():
                needed = drop.node in unit.holders and any(digest == other for other, _ in unit.blobs)
                self.check(not needed, f"{drop} takes what {unit.key} is recorded to have there")
            disk.blobs.pop(digest, None)
        self.check_data(f"{drop}")

    # -- faults --

    def is_struck(self, name: str, unit: Unit) -> bool:
        """Return whether something befell the node that the machine cannot know of yet."""
        disk = self.nodes[name]
        return disk.lost_s > self.picture_s or not disk.is_up or any(disk.blobs.get(d) is False for d, _ in unit.blobs)

    def whole(self, unit: Unit, names: tuple[str, ...]) -> int:
        return sum(
            self.nodes[name].is_up and all(self.nodes[name].blobs.get(digest) for digest, _ in unit.blobs) for name in names
        )

    def is_healed(self) -> bool:
        return all(self.whole(unit, unit.holders) >= unit.replicas for unit in self.units.values())

    def can_be_harmed(self) -> bool:
        if self.is_healed():
            self.damage = 0
        return self.damage < self.replicas - 1

    def fault(self) -> None:
        """Let something happen, now and then."""
        if not self.has_faults:
            return
        self.later(self.draw.expovariate(1 / 16), self.fault)
        up = [name for name, disk in self.nodes.items() if disk.is_up]
        kind = self.draw.choice(FAULTS)
        if not up:
            return
        name = self.draw.choice(up)
        disk = self.nodes[name]
        self.tell(f"fault {kind} {name}")
        if kind == "restart":
            self.stop(name, self.draw.uniform(1, 25))
        elif kind == "away" and len(up) > self.replicas:
            self.stop(name, self.draw.uniform(20, 300))
        elif kind in ("disk", "swap") and len(up) > self.replicas and self.can_be_harmed():
            self.damage += 1
            disk.blobs.clear()
            disk.lost_s = self.now_s
            disk.capacity = disk.capacity if kind == "swap" or len(up) < 6 else -1  # -1: the node never comes back
            self.stop(name, self.draw.uniform(1, 200))
            self.check_data(f"the disk of {name} is lost")
        elif kind == "join" and len(self.nodes) < 16:
            self.join(self.draw.choice([disk.rack for disk in self.nodes.values()]))
        elif kind == "drain":
            disk.is_draining = len([1 for name in up if not self.nodes[name].is_draining]) > self.replicas
        elif kind == "undrain":
            disk.is_draining = False
        elif kind == "slow":
            disk.slowness = self.draw.choice([1, 3, 30])
        elif kind == "full":
            disk.ballast = self.draw.choice([0, max(self.free(disk) - 150, 0), self.free(disk)])
        elif kind == "corrupt" and disk.blobs and self.can_be_harmed():
            self.corrupt(disk, self.draw.choice(list(disk.blobs)))
        elif kind == "coordinator":
            self.term += 1
            self.machine = Repairer(OPTIONS)
        elif kind == "put":
            self.add_unit(self.draw.choice(["", "set-0", "set-9"]), self.draw.randrange(20))
        elif kind == "remove" and len(self.units) > 3:
            unit = self.units.pop(self.draw.choice(list(self.units)))
            self.strays += [(digest, name) for digest, _ in unit.blobs for name in self.nodes]  # collected, not repaired

    def stop(self, name: str, seconds: float) -> None:
        disk = self.nodes[name]
        disk.is_up = False
        disk.life += 1

        def start() -> None:
            disk.is_up = disk.capacity > 0

        self.later(seconds, start)

    def corrupt(self, disk: Disk, digest: str) -> None:
        self.damage += 1
        disk.blobs[digest] = False
        self.check_data(f"{digest} is corrupt")

        def find() -> None:
            if disk.blobs.get(digest) is False:
                del disk.blobs[digest]
                disk.lost_s = self.now_s

        self.later(self.draw.uniform(1, 200), find)

    # -- what must hold --

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            raise Broken(f"at {self.now_s:.2f} s: {what}")

    def check_data(self, why: str) -> None:
        good = {digest for disk in self.nodes.values() for digest, is_good in disk.blobs.items() if is_good}
        for unit in self.units.values():
            for digest, _ in unit.blobs:
                self.check(digest in good, f"{why}: nobody has {digest} of {unit.key} any more")

    def check_limits(self) -> None:
        counted = [
            transfer.copy
            for transfer in self.transfers
            if transfer.term == self.term
            and not transfer.is_written_off
            and self.now_s < transfer.started_s + OPTIONS.patience_s
        ]
        taking = Counter(copy.target for copy in counted)
        sending = Counter(copy.sources[0] for copy in counted)
        most = OPTIONS.copies_max_per_node
        self.check(len(counted) <= OPTIONS.copies_max, f"{len(counted)} copies at a time")
        self.check(max([*taking.values(), *sending.values()], default=0) <= most, f"more than {most} copies on one node")

    def check_end(self) -> None:
        live = [name for name, disk in self.nodes.items() if disk.is_up]
        open_ = [name for name in live if not self.nodes[name].is_draining]
        racks = Counter(self.nodes[name].rack or name for name in open_)
        for unit in self.units.values():
            self.check(self.whole(unit, unit.holders) >= min(unit.replicas, len(open_)), f"{unit} is not repaired")
            if len(open_) >= unit.replicas:
                self.check(set(unit.holders) <= set(open_), f"{unit} lies on a node that drains")
            if len(racks) >= unit.replicas and len(open_) >= unit.replicas:
                used = {self.nodes[name].rack or name for name in unit.holders}
                self.check(len(used) == len(unit.holders), f"{unit} lies twice in a rack")
        summary = self.machine.summary()
        is_whole = summary.below == 0 or len(open_) < self.replicas
        self.check(is_whole and summary.copies == summary.under_way == 0 and not summary.lost, f"{summary}")
        if not self.is_rough and self.term == 1:
            self.check_surplus()

    def check_surplus(self) -> None:
        """Where no order went astray, nothing is left that belongs to a unit and lies where it need not."""
        recorded = {(digest, name) for unit in self.units.values() for digest, _ in unit.blobs for name in unit.holders}
        known = {digest for unit in self.units.values() for digest, _ in unit.blobs}
        for name, disk in self.nodes.items():
            left = [digest for digest in disk.blobs if digest in known and (digest, name) not in recorded]
            left = [digest for digest in left if (digest, name) not in self.strays]
            self.check(not left or not disk.is_up, f"{name} still has {left}")

    def rest(self) -> None:
        """Run until nothing has been ordered for long; what should come to rest and does not is an error."""
        self.last_order_s = self.now_s
        end_s = self.now_s + END_S
        self.run(end_s, lambda: not self.transfers and self.now_s - self.last_order_s > REST_S)
        self.check(self.now_s < end_s, "repair does not end")


def play(seed: int, is_rough: bool, trace: Callable[[str], None] | None = None) -> Cluster:
    """Play one history: faults for a while, then none, until repair has ended."""
    cluster = Cluster(seed, is_rough, trace)
    cluster.start()
    cluster.later(10, cluster.fault)
    cluster.run(FAULTS_S)
    cluster.tell("no more faults")
    cluster.has_faults = False
    for disk in cluster.nodes.values():
        disk.slowness, disk.ballast = 1.0, 0
    cluster.run(cluster.now_s + 320)  # whoever comes back is back
    cluster.is_rough, was_rough = False, cluster.is_rough
    cluster.rest()
    cluster.is_rough = was_rough
    cluster.check_end()
    return cluster


def play_calm(seed: int) -> tuple[int, float]:
    """Let nodes join and leave for good, one after the other, each time until repair has ended.

    Return the bytes that were moved, and the least that had to be: what those that left held, and the fair share of those that
    came.
    """
    cluster = Cluster(seed, is_rough=False)
    for index in range(40, 140):
        cluster.add_unit("set-0", index)
    cluster.start()
    cluster.rest()
    cluster.bytes_moved, least = 0, 0.0
    for _ in range(4):
        live = [name for name, disk in cluster.nodes.items() if disk.is_up]
        if len(live) < 6 or cluster.draw.random() < 0.5:
            name = cluster.join(cluster.draw.choice([disk.rack for disk in cluster.nodes.values()]))
            weights = {name: disk.weight for name, disk in cluster.nodes.items() if disk.is_up}
            held = sum(size * len(unit.holders) for unit in cluster.units.values() for _, size in unit.blobs)
            least += held * weights[name] / sum(weights.values())
        else:
            name = cluster.draw.choice(live)
            least += sum(size for unit in cluster.units.values() if name in unit.holders for _, size in unit.blobs)
            cluster.nodes[name].blobs.clear()
            cluster.nodes[name].capacity = -1
            cluster.stop(name, 1)
        cluster.last_order_s = cluster.now_s
        cluster.rest()
        cluster.check_end()
    return cluster.bytes_moved, least


def play_all(seeds: Iterator[int] | range) -> tuple[int, str]:
    """Play these histories, every other one a rough one; return the events taken in, and one digest of all."""
    events, digest = 0, hashlib.sha256()
    for seed in seeds:
        try:
            cluster = play(seed, is_rough=seed % 2 == 1)
        except Exception as error:
            error.add_note(f"replay it: python tests/store/repair_simulator.py --seed {seed} --trace")
            raise
        events += cluster.events_taken
        digest.update(cluster.digest.digest())
    return events, digest.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--histories", type=int, default=300)
    parser.add_argument("--trace", action="store_true")
    options = parser.parse_args()
    if options.seed is not None:
        cluster = play(options.seed, options.seed % 2 == 1, print if options.trace else None)
        print(cluster.digest.hexdigest())
        return
    start_s = time.perf_counter()
    events, digest = play_all(range(options.first, options.first + options.histories))
    seconds = time.perf_counter() - start_s
    print(f"{options.histories} histories, {events} events, {seconds:.1f} s, digest {digest[:16]}", file=sys.stdout)


if __name__ == "__main__":
    main()
