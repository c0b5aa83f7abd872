"""The pure machine alone, without sockets or disk: microseconds a request, so that the hot path can be tuned by itself.

Eight connections with 64 requests each are handed in one after the other, then the log is said to be on disk: what the shell
does under pipelined load, without the shell. `split` is cutting the stream into frames, `machine` is `Machine.handle`, `log` is
what the log's thread computes (it holds the interpreter, so it counts); `replies` is handed out in as many joined bytes as
the shell would send. The digest of the tree goes with it: a machine that computes something else is not faster.

    python bench/load/machine.py [--only setData,...] [--nodes 50000] [--rounds 200] [--json] [--profile]
"""

import argparse
import cProfile
import gc
import json
import pstats
import statistics
import time
from collections.abc import Callable
from struct import Struct
from typing import Any

from muskox.keeper.disk.entries import frame_entries
from muskox.keeper.machine.database import Database
from muskox.keeper.machine.events import (
    AppendTransactions,
    ConnectionOpened,
    FramesArrived,
    Instant,
    Send,
    TransactionsSynced,
)
from muskox.keeper.machine.machine import Machine
from muskox.keeper.machine.settings import Settings
from muskox.keeper.machine.tree import new_tree
from muskox.keeper.wire.frames import FrameSplitter

CONNECTIONS = 8
IN_FLIGHT = 64
VALUE = bytes(range(100))
STEP = 7919  # a prime: requests jump about in memory, as real ones do
WALL_MS = 1_700_000_000_000
OPERATIONS = ("setData", "getData", "create", "exists", "delete", "getChildren")
CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_CHILDREN = 1, 2, 3, 4, 5, 8
OPEN_ACL = b"\0\0\0\1\0\0\0\x1f\0\0\0\5world\0\0\0\6anyone"
INT = Struct(">i")
HEAD = Struct(">ii")


def request(xid: int, kind: int, body: bytes) -> bytes:
    return INT.pack(8 + len(body)) + HEAD.pack(xid, kind) + body


def buffer(data: bytes) -> bytes:
    return INT.pack(len(data)) + data


def path_of(index: int) -> bytes:
    return buffer(b"/bench/n%07d" % index)


def creation(xid: int, path: bytes) -> bytes:
    return request(xid, CREATE, path + buffer(VALUE) + OPEN_ACL + bytes(4))


REQUESTS: dict[str, Callable[[int, int], bytes]] = {
    "setData": lambda xid, index: request(xid, SET_DATA, path_of(index) + buffer(VALUE) + b"\xff\xff\xff\xff"),
    "getData": lambda xid, index: request(xid, GET_DATA, path_of(index) + b"\0"),
    "create": lambda xid, index: creation(xid, path_of(index)),
    "exists": lambda xid, index: request(xid, EXISTS, path_of(index) + b"\0"),
    "delete": lambda xid, index: request(xid, DELETE, path_of(index) + b"\xff\xff\xff\xff"),
    "getChildren": lambda xid, _: request(xid, GET_CHILDREN, buffer(b"/") + b"\0"),
}


class Bench:
    """One machine with open sessions, and the seconds that each part of serving it took."""

    def __init__(self, nodes: int) -> None:
        self.now = Instant(WALL_MS, 0)
        self.machine = Machine(Database(new_tree(), {}, 0), Settings(), 1, self.now)
        self.splitters = [FrameSplitter() for _ in range(CONNECTIONS)]
        self.zxid = 0
        self.seconds = dict.fromkeys(("split", "machine", "log"), 0.0)
        self.replies_bytes = 0
        self.entries: list[bytes] = []
        self.log_end = 16
        self.nodes = nodes
        self.is_created = False
        connect = INT.pack(0) + bytes(8) + INT.pack(30_000) + bytes(8) + buffer(bytes(16)) + b"\0"
        for number in range(CONNECTIONS):
            self.tell(ConnectionOpened(number + 1, "127.0.0.1"))
            self.feed(number, buffer(connect))
            self.sync()
        self.feed(0, creation(1, buffer(b"/bench")))
        self.sync()
        for first in range(0, nodes, IN_FLIGHT):
            self.feed(0, b"".join(creation(2, path_of(index)) for index in range(first, min(first + IN_FLIGHT, nodes))))
            self.sync()

    def tell(self, event: Any) -> None:
        """Let the machine handle `event`, as the shell would, and note what it took."""
        begin = time.perf_counter()
        actions = self.machine.handle(event, self.now)
        self.seconds["machine"] += time.perf_counter() - begin
        for action in actions:
            if isinstance(action, AppendTransactions):
                self.zxid = action.zxid_last
                self.entries += action.entries
            elif isinstance(action, Send):
                self.replies_bytes += len(action.data)

    def feed(self, number: int, data: bytes) -> None:
        begin = time.perf_counter()
        frames = self.splitters[number].feed(data)
        self.seconds["split"] += time.perf_counter() - begin
        self.tell(FramesArrived(number + 1, frames))

    def sync(self) -> None:
        """Say that all is on disk."""
        if not self.entries:
            return
        begin = time.perf_counter()
        self.log_end += len(frame_entries(self.entries, self.log_end))
        self.seconds["log"] += time.perf_counter() - begin
        self.entries = []
        self.tell(TransactionsSynced(self.zxid))

    def round(self, streams: list[bytes]) -> dict[str, float]:
        """Return the microseconds a request that each part took for one stream of every connection."""
        self.seconds = dict.fromkeys(self.seconds, 0.0)
        for number, data in enumerate(streams):
            self.feed(number, data)
        self.sync()
        return {part: seconds * 1e6 / (CONNECTIONS * IN_FLIGHT) for part, seconds in self.seconds.items()}

    def measure(self, name: str, rounds: int, profile: cProfile.Profile | None = None) -> dict[str, Any]:
        """Return the median and the least of `rounds` rounds of an operation."""
        if name == "delete" and not self.is_created:
            for at in range(rounds):
                self.round(self.streams("create", at))
        self.is_created = name == "create"
        taken = []
        for at in range(rounds):
            streams = self.streams(name, at)
            if profile is not None:
                profile.enable()
            taken.append(self.round(streams))
            if profile is not None:
                profile.disable()
        parts = {part: statistics.median(each[part] for each in taken) for part in self.seconds}
        least = min(sum(each.values()) for each in taken)
        return {**parts, "all": statistics.median(sum(each.values()) for each in taken), "least": least}

    def streams(self, name: str, at: int) -> list[bytes]:
        """Return what each connection sends in round `at`: every znode in turn, by a step that jumps about.

        Only znodes that are not there are created, and deleted in the same order.
        """
        make = REQUESTS[name]
        streams = []
        for number in range(CONNECTIONS):
            first = (at * CONNECTIONS + number) * IN_FLIGHT
            indexes = range(first, first + IN_FLIGHT)
            if name in ("create", "delete"):
                streams.append(b"".join(make(index, self.nodes + index) for index in indexes))
            else:
                streams.append(b"".join(make(index, index * STEP % self.nodes) for index in indexes))
        return streams

    @property
    def digest(self) -> str:
        return f"{self.machine.database.digest & (1 << 64) - 1:016x}"


def run(names: list[str], nodes: int, rounds: int, profile: cProfile.Profile | None = None) -> dict[str, Any]:
    """Return for each operation what a request costs, and the digest of the tree after all of them."""
    bench = Bench(nodes)
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)  # as the shell has it
    measured = {name: bench.measure(name, rounds, profile) for name in names}
    return {"microseconds": measured, "digest": bench.digest, "zxid": bench.zxid}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(OPERATIONS), help="which operations, with commas between")
    parser.add_argument("--nodes", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true", help="where the time goes, function by function (this slows it)")
    options = parser.parse_args(words)
    names = options.only.split(",")
    profile = cProfile.Profile() if options.profile else None
    measured = run(names, options.nodes, options.rounds, profile)
    if options.json:
        print(json.dumps(measured))
        return
    print(f"microseconds a request, {CONNECTIONS} connections x {IN_FLIGHT} in flight; digest {measured['digest']}")
    print(f"{'':<12} {'split':>7} {'machine':>8} {'log':>7} {'all':>7} {'least':>7} {'a second':>10}")
    for name, us in measured["microseconds"].items():
        row = f"{name:<12} {us['split']:>7.2f} {us['machine']:>8.2f} {us['log']:>7.2f} {us['all']:>7.2f} {us['least']:>7.2f}"
        print(f"{row} {1e6 / us['all']:>10,.0f}")
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
