"""What a round costs a cluster of any size: the real machines and the real planning, over a counted network.

Every worker is a real round machine; what they send each other is framed as it would be and counted; only the numbers are not
there, just their sizes. Printed for each number of workers, shards and parameters: the form of the reduction, messages and
bytes of one round in all and at the worker that has most, beside those of a ring; and the seconds that the round's messages
take on a network of so many Gbit/s, where whoever sends or receives does one thing at a time. Then what a job writes to
ZooKeeper: when it begins, while it runs, and when one worker dies, with the bytes that the real records have.

    python bench/thousand_workers.py [--workers 10,100,1000] [--shards-each 32] [--parameters 100,1000000] [--json] [--tiny]
"""

import argparse
import hashlib
import heapq
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from muskox.coordination import count_runs, format_runs, layout, parse_runs
from muskox.runtime import round_events as rounds
from muskox.runtime.collective.reduction import WHOLE
from muskox.runtime.collective.values import Part
from muskox.runtime.messages import Collective, Partial, Total, frame_head
from muskox.runtime.planning.picture import Assign, Form, JobView, Picture, Replicas
from muskox.runtime.planning.plan import plan
from muskox.runtime.round_events import Holding
from muskox.runtime.rounds import RoundMachine
from muskox.store.placement.runs import NodeView, place
from muskox.tree import Node, cover, tops

NUMBER_BYTES = 8  # of a parameter, float64
HEADER_BYTES = 256  # of a packed record with one array
LATENCY_S = 50e-6  # of one message on a data centre's network
MESSAGE_S = 30e-6  # of a core, to send or to take one message: measured by bench/collective.py for small ones
ADD_BYTES_S = 4e9  # that one core adds up
ROUNDS = 2  # the last is counted: links that only slices need are made in the first
STATE = "0" * 64  # a digest


class Sized:
    """A body of so many bytes, without them."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


@dataclass
class Counted:
    """What one round cost, by worker."""

    messages: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    began_s: float = 0.0
    ended_s: float = 0.0


@dataclass
class Worker:
    """A machine and what its worker owns; its two directions and its core are free again at these times."""

    machine: RoundMachine
    owned: list[int]
    sends_s: float = 0.0
    takes_s: float = 0.0
    thinks_s: float = 0.0


class Network:
    """One generation of `shares` (the shards of each worker), for `ROUNDS` rounds of a sum of `size` bytes."""

    def __init__(self, shares: Sequence[Sequence[int]], shards: int, size: int, bytes_per_s: float) -> None:
        self.shards, self.size, self.bytes_per_s = shards, size, bytes_per_s
        self.names = tuple(f"node-{rank:04d}.a1b2c3.1" for rank in range(len(shares)))
        self.workers = {
            name: Worker(RoundMachine(name, checkpoint_interval_s=1e9, rounds_max=1000), list(owned))
            for name, owned in zip(self.names, shares, strict=True)
        }
        self.soon: list[tuple[float, int, str, rounds.Event]] = []
        self.ticket = itertools.count()
        self.rounds: dict[int, Counted] = {}
        self.joining = Counted()  # from the generation's being told until the last begins its first round
        self.form = ""

    def run(self) -> Counted:
        runs = tuple(format_runs(worker.owned) for worker in self.workers.values())
        for rank, name in enumerate(self.names):
            self.at(0.0, name, rounds.GenerationFormed(1, self.names, rank, runs))
        while self.soon:
            now, _, name, event = heapq.heappop(self.soon)
            for action in self.workers[name].machine.handle(event, now):
                self.perform(name, action, now)
        return self.rounds[ROUNDS - 1]

    def at(self, when: float, name: str, event: rounds.Event) -> None:
        heapq.heappush(self.soon, (when, next(self.ticket), name, event))

    def think(self, name: str, now: float, seconds: float, event: rounds.Event) -> None:
        worker = self.workers[name]
        worker.thinks_s = max(worker.thinks_s, now) + seconds
        self.at(worker.thinks_s, name, event)

    def perform(self, name: str, action: rounds.Action, now: float) -> None:
        match action:
            case rounds.Send(peer, message, body):
                self.send(name, peer, message, body, now)
            case rounds.RestoreState():
                self.at(now, name, rounds.StateLoaded(Holding(0, STATE, False), True, self.size))
            case rounds.SendState(peer, message):
                self.send(name, peer, message, Sized(self.size), now)
            case rounds.LoadState(round_, is_done, _):
                self.at(now, name, rounds.StateLoaded(Holding(round_, STATE, is_done), True, self.size))
            case rounds.Compute(generation, round_, slices):
                counted = self.rounds.setdefault(round_, Counted(began_s=now))
                counted.began_s = max(counted.began_s, now)  # the last to begin: computing itself is no message
                if round_ == 0:
                    self.joining.ended_s = max(self.joining.ended_s, now)
                self.form = "slices" if slices > 1 else "whole" if slices == WHOLE else "sums"
                nodes = cover(self.workers[name].owned, self.shards)
                parts = tuple(self.part(nodes, slice_, max(slices, 1)) for slice_ in range(max(slices, 1)))
                self.at(now, name, rounds.PartComputed(generation, round_, parts, 0.01))
            case rounds.Reduce(slice_, slices, parts, _):
                nodes = tops([node for part in parts for node in part.nodes], self.shards)
                added = sum(len(part.body) for part in parts)
                event = rounds.PartsMerged(slice_, self.part(nodes, slice_, max(slices, 1)))
                self.think(name, now, added / ADD_BYTES_S, event)
            case rounds.Update():
                round_ = self.workers[name].machine.holding.round
                self.rounds[round_].ended_s = max(self.rounds[round_].ended_s, now)
                self.at(now, name, rounds.StateUpdated(Holding(round_ + 1, STATE, round_ + 1 == ROUNDS), True, self.size))
            case rounds.Suspect(peer, reason):
                raise AssertionError(f"{name} reports {peer}: {reason}")
            case _:
                pass

    def part(self, nodes: Sequence[Node], slice_: int, slices: int) -> Part:
        size = self.size * (slice_ + 1) // slices - self.size * slice_ // slices
        body: Any = Sized(size * len(nodes))
        return Part(tuple(nodes), (size,) * len(nodes), body, "x" * HEADER_BYTES)

    def send(self, name: str, peer: str, message: Collective, body: Any, now: float) -> None:
        size = len(frame_head(message, len(body))) + len(body)
        sender, receiver = self.workers[name], self.workers[peer]
        seconds = MESSAGE_S + size / self.bytes_per_s
        sender.sends_s = max(sender.sends_s, now) + seconds
        receiver.takes_s = max(receiver.takes_s, sender.sends_s + LATENCY_S - size / self.bytes_per_s) + seconds
        counted = self.rounds[message.round] if isinstance(message, Partial | Total) else self.joining
        for end in (name, peer):
            counted.messages[end] += 1
            counted.bytes[end] += size
        self.at(receiver.takes_s, peer, rounds.MessageArrived(peer=name, message=message, body=body))


class Cluster:
    """The coordinator's side: who gets which shards, and what ZooKeeper is told."""

    def __init__(self, workers: int, shards: int) -> None:
        self.names = [f"node-{index:04d}" for index in range(workers)]
        views = {name: NodeView(1 << 42, f"rack-{index // 40:02d}") for index, name in enumerate(self.names)}
        self.replicas = Replicas.count(place(shards, views, min(2, workers), "flights"))
        self.members = {
            name: layout.MemberRecord(
                name=name,
                folder_id="f",
                incarnation="i",
                address=f"{name}.example.org:7461",
                pid=4242,
                cores=8,
                fingerprint="x",
            )
            for name in self.names
        }
        self.workers = {
            f"{name}.a1b2c3.1": layout.WorkerRecord(node=name, address=f"{name}.example.org:31234", pid=4243)
            for name in self.names
        }
        self.generation = layout.GenerationRecord(number=0)
        self.assignments: dict[str, dict[str, int]] = {}
        self.writes: dict[str, Counter[str]] = {}

    def view(self, assignments: dict[str, dict[str, int]], suspects: Sequence[str]) -> Picture:
        record = layout.JobRecord(
            kind="train", program="p", program_nodes=[], dataset="flights@1", fingerprint="x", workers_min=1, submitted_ms=1
        )
        state = layout.JobState(phase=layout.JobPhase.RUNNING)
        live = {name: worker for name, worker in self.workers.items() if assignments}
        job = JobView("train-1", record, state, self.replicas, self.generation, live, suspects)
        return Picture(self.members, assignments, [job])

    def begin(self) -> None:
        """Count what is written when the job begins."""
        told = Counter({"job": 1, "assignment": 0, "worker": len(self.workers), "generation": 0, "state": 2})
        assignments: dict[str, dict[str, int]] = {}
        for order in plan(self.view({}, [])):
            if isinstance(order, Assign):
                assignments[order.node] = dict(order.jobs)
                told["assignment"] += 1
        told["generation"] += self.form(assignments, [])
        self.writes["a job begins"] = told
        self.assignments = assignments

    def lose_one(self) -> None:
        """Count what is written when one worker dies."""
        victim = next(iter(reversed(self.workers)))
        told = Counter({"suspect": 1, "worker": 2, "generation": self.form(self.assignments, [victim]), "state": 1})
        self.writes["a worker dies"] = told

    def form(self, assignments: dict[str, dict[str, int]], suspects: Sequence[str]) -> int:
        forms = [order for order in plan(self.view(assignments, suspects)) if isinstance(order, Form)]
        for order in forms:
            self.generation = order.generation
        return len(forms)


def measure(workers: int, shards: int, parameters: Sequence[int], gbit_per_s: float) -> dict[str, Any]:
    cluster = Cluster(workers, shards)
    cluster.begin()
    members = cluster.generation.members
    near = [parse_runs(member.shards) for member in members]
    generation_bytes = len(layout.encode(cluster.generation))
    cluster.lose_one()
    found: list[dict[str, Any]] = []
    joining: list[dict[str, Any]] = []
    for count, (where, shares) in itertools.product(
        parameters, {"near": near, "in a row": in_a_row(len(near), shards)}.items()
    ):
        size = count * NUMBER_BYTES
        network = Network(shares, shards, size, gbit_per_s * 1e9 / 8)
        counted = network.run()
        joining.append({"messages": sum(network.joining.messages.values()) // 2, "seconds": network.joining.ended_s})
        found.append(
            {
                "parameters": count,
                "where": where,
                "form": network.form,
                "vectors": sum(len(cover(owned, shards)) for owned in shares),
                "messages": sum(counted.messages.values()) // 2,
                "messages_most": max(counted.messages.values(), default=0),
                "bytes": sum(counted.bytes.values()) // 2,
                "bytes_most": max(counted.bytes.values(), default=0),
                "bytes_of_a_ring": 4 * (len(shares) - 1) * size // len(shares),  # sent and received, by each
                "seconds": counted.ended_s - counted.began_s,
            }
        )
    return {
        "workers": len(near),
        "shards": shards,
        "shards_most": max(count_runs(member.shards) for member in members),
        "generation_bytes": generation_bytes,
        "joining": joining[0],
        "writes": {event: dict(told) for event, told in cluster.writes.items()},
        "rounds": found,
    }


def in_a_row(workers: int, shards: int) -> list[list[int]]:
    """Return shares of shards that lie side by side, wherever their bytes are: what can merge does before it travels."""
    ends = [shards * worker // workers for worker in range(workers + 1)]
    return [list(range(begin, end)) for begin, end in itertools.pairwise(ends)]


def show(measured: Sequence[dict[str, Any]], gbit_per_s: float) -> None:
    print(f"one round; the busiest worker beside a ring; seconds of its messages at {gbit_per_s:g} Gbit/s")
    print("shards: near = those whose bytes lie on the worker's node; in a row = side by side, wherever their bytes lie\n")
    head = ("workers", "parameters", "shards", "vectors", "form", "messages", "most", "MB in all", "MB most", "MB, ring", "ms")
    print(" ".join(f"{word:>11}" for word in head))
    for cluster in measured:
        for row in cluster["rounds"]:
            megabytes = [row[key] / 1e6 for key in ("bytes", "bytes_most", "bytes_of_a_ring")]
            cells = [f"{cluster['workers']:,}", f"{row['parameters']:,}", row["where"], f"{row['vectors']:,}", row["form"]]
            cells += [f"{row['messages']:,}", f"{row['messages_most']:,}"]
            cells += [f"{size:,.2f}" for size in megabytes] + [f"{row['seconds'] * 1e3:,.2f}"]
            print(" ".join(f"{cell:>11}" for cell in cells))
    print("\na generation begins, and the root's small state goes to all")
    for cluster in measured:
        told = cluster["joining"]
        print(f"{cluster['workers']:>11,} workers: {told['messages']:,} messages, {told['seconds'] * 1e3:.1f} ms")
    print("\nwrites to ZooKeeper; while it runs: its progress once a second and a checkpoint every 5 s, whatever its rounds")
    for cluster in measured:
        for event, told in cluster["writes"].items():
            parts = ", ".join(f"{count:,} {kind}" for kind, count in told.items())
            print(
                f"{cluster['workers']:>11,} workers, {event}: {parts}; the generation is {cluster['generation_bytes']:,} bytes"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="2,10,100,1000")
    parser.add_argument("--shards-each", type=int, default=32)
    parser.add_argument("--parameters", default="100,10000,1000000")
    parser.add_argument("--gbit-per-s", type=float, default=25.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="a few workers, as the tests run it")
    options = parser.parse_args()
    workers = [2, 20] if options.tiny else [int(count) for count in options.workers.split(",")]
    parameters = [10, 100_000] if options.tiny else [int(count) for count in options.parameters.split(",")]
    measured = [measure(count, count * options.shards_each, parameters, options.gbit_per_s) for count in workers]
    digest = hashlib.sha256(json.dumps(measured, sort_keys=True).encode()).hexdigest()
    if options.json:
        print(json.dumps({"clusters": measured, "digest": digest}))
        return
    show(measured, options.gbit_per_s)
    print(f"\ndigest of all counts {digest[:16]}")


if __name__ == "__main__":
    main()
