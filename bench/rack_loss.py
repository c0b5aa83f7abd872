"""What losing a rack costs: the real placement and the real repair machine, over a simulated network.

1,000 nodes in 25 racks hold 100,000 shards of 64 MB, two replicas each. One rack of 40 nodes goes and stays away. Printed are
what is lost (nothing, thanks to racks; and what would be without them), how much is copied, how long that takes at so many MB/s
a node, how evenly the nodes take part, and what the coordinator's decisions cost, in time and memory. A digest tells where
everything lies in the end.

    python bench/rack_loss.py [--nodes 1000] [--racks 25] [--shards 100000] [--mb-per-s 50] [--json] [--tiny]
"""

import argparse
import hashlib
import heapq
import json
import resource
import statistics
import sys
import time
from collections import Counter

from muskox.store.placement.repair import Action, Copied, Copy, Node, Record, Recorded, Repairer, RepairOptions, Seen, Unit
from muskox.store.placement.runs import NodeView, place, run_level

SHARD_BYTES = 64_000_000
DISK_BYTES = 4_000_000_000_000
REPLICAS = 2
LOOK_S = 10.0
OPTIONS = RepairOptions(copies_max=2000)


class Rehearsal:
    """The repair of a cluster in virtual time; every node sends and takes its copies at a fixed rate."""

    def __init__(self, nodes: int, racks: int, shards: int, bytes_per_s: float) -> None:
        self.names = [f"node-{index:04d}" for index in range(nodes)]
        self.racks = {name: f"rack-{index * racks // nodes:02d}" for index, name in enumerate(self.names)}
        self.copy_bytes_per_s = bytes_per_s / OPTIONS.copies_max_per_node
        start_s = time.perf_counter()
        placed = place(shards, {name: NodeView(DISK_BYTES, rack) for name, rack in self.racks.items()}, REPLICAS, "flights")
        self.place_s = time.perf_counter() - start_s
        self.level = run_level(shards, nodes)
        self.units = {}
        for run, first in enumerate(range(0, shards, 1 << self.level)):
            blobs = tuple(
                (hashlib.sha256(f"shard {shard}".encode()).hexdigest(), SHARD_BYTES)
                for shard in range(first, min(first + (1 << self.level), shards))
            )
            key = f"shards/flights/{run}"
            self.units[key] = Unit(key, blobs, REPLICAS, tuple(placed[first]), "flights", run, 1)
        self.machine = Repairer(OPTIONS)
        self.live = dict.fromkeys(self.names)
        self.taken: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.decision_s: dict[str, list[float]] = {"picture": [], "answer": []}
        self.soon: list[tuple[float, int, object]] = []
        self.count = 0

    def load(self) -> dict[str, int]:
        held = dict.fromkeys(self.live, 0)
        for unit in self.units.values():
            for name in unit.holders:
                held[name] = held.get(name, 0) + sum(size for _, size in unit.blobs)
        return {name: held[name] for name in self.live}

    def lost(self) -> int:
        return sum(not any(name in self.live for name in unit.holders) for unit in self.units.values())

    def look(self, now_s: float) -> None:
        nodes = {name: Node(DISK_BYTES, DISK_BYTES // 2, self.racks[name]) for name in self.live}
        self.tell(Seen(nodes, list(self.units.values())), "picture", now_s)

    def tell(self, event: object, kind: str, now_s: float) -> None:
        start_s = time.perf_counter()
        actions = self.machine.handle(event, now_s)  # type: ignore[arg-type]
        self.decision_s[kind].append(time.perf_counter() - start_s)
        for action in actions:
            self.perform(action, now_s)

    def perform(self, action: Action, now_s: float) -> None:
        match action:
            case Copy(digest, size, sources, target, number):
                self.taken[target] += size
                self.sent[sources[0]] += size
                self.later(now_s + size / self.copy_bytes_per_s, Copied(digest, target, number))
            case Record(key, _, holders):
                unit = self.units[key]
                self.units[key] = Unit(key, unit.blobs, unit.replicas, holders, unit.family, unit.index, unit.revision + 1)
                self.later(now_s + 0.05, Recorded(key, holders, unit.revision + 1))

    def later(self, at_s: float, event: object) -> None:
        self.count += 1
        heapq.heappush(self.soon, (at_s, self.count, event))

    def repair(self, now_s: float) -> float:
        """Run until every unit has its replicas again; return when that is."""
        look_s = now_s
        while True:
            if self.soon and self.soon[0][0] <= look_s:
                now_s, _, event = heapq.heappop(self.soon)
                self.tell(event, "answer", now_s)
                continue
            self.look(look_s)
            if not self.soon and not self.machine.summary().below:
                return now_s
            look_s += LOOK_S


def spread(values: list[int]) -> dict[str, float]:
    """Return least, median and most, in GB."""
    return {"least": min(values) / 1e9, "median": statistics.median(values) / 1e9, "most": max(values) / 1e9}


def measure(nodes: int, racks: int, shards: int, bytes_per_s: float) -> dict[str, object]:
    memory_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rehearsal = Rehearsal(nodes, racks, shards, bytes_per_s)
    rackless = place(shards, rehearsal.names, REPLICAS, "flights")
    rehearsal.look(0.0)
    rehearsal.look(LOOK_S)
    before = spread(list(rehearsal.load().values()))
    gone = {name for name in rehearsal.names if rehearsal.racks[name] == "rack-00"}
    rehearsal.live = dict.fromkeys(name for name in rehearsal.names if name not in gone)
    rehearsal.look(2 * LOOK_S)
    below = rehearsal.machine.summary().below
    lost = rehearsal.lost()
    begin_s = 2 * LOOK_S + OPTIONS.away_s_max
    end_s = rehearsal.repair(begin_s)
    pictures = rehearsal.decision_s["picture"]
    answers = rehearsal.decision_s["answer"] or [0.0]
    where = json.dumps([[unit.key, *unit.holders] for unit in rehearsal.units.values()])
    return {
        "nodes": nodes,
        "runs": len(rehearsal.units),
        "shards_a_run": 1 << rehearsal.level,
        "nodes_gone": len(gone),
        "below": below,
        "lost": lost,
        "lost_without_racks": sum(set(rackless[first]) <= gone for first in range(0, shards, 1 << rehearsal.level)),
        "still_below": rehearsal.machine.summary().below,
        "copied_gb": sum(rehearsal.taken.values()) / 1e9,
        "repair_s": end_s - begin_s,
        "ideal_s": sum(rehearsal.taken.values()) / bytes_per_s / len(rehearsal.live),
        "held_before_gb": before,
        "held_after_gb": spread(list(rehearsal.load().values())),
        "taken_gb": spread([rehearsal.taken[name] for name in rehearsal.live]),
        "sent_gb": spread([rehearsal.sent[name] for name in rehearsal.live]),
        "place_s": rehearsal.place_s,
        "first_picture_s": pictures[0],
        "calm_picture_s": pictures[1],
        "busiest_picture_s": max(pictures[2:]),
        "answer_ms": statistics.fmean(answers) * 1e3,
        "decisions_s": sum(pictures) + sum(answers),
        "memory_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_kb) / 1024,
        "digest": hashlib.sha256(where.encode()).hexdigest(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--racks", type=int, default=25)
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--mb-per-s", type=float, default=50.0, help="that one node sends, and takes, for repair")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="a small cluster, as the tests run it")
    options = parser.parse_args()
    nodes, racks, shards = (40, 8, 1000) if options.tiny else (options.nodes, options.racks, options.shards)
    measured = measure(nodes, racks, shards, options.mb_per_s * 1e6)
    if measured["lost"] or measured["still_below"]:
        sys.exit(f"{measured['lost']} runs are lost and {measured['still_below']} are not repaired")
    if options.json:
        print(json.dumps(measured))
        return
    for name, value in measured.items():
        told = value if not isinstance(value, dict) else "  ".join(f"{k} {v:.2f}" for k, v in value.items())
        print(f"{name:<20} {told:.3f}" if isinstance(told, float) else f"{name:<20} {told}")


if __name__ == "__main__":
    main()
