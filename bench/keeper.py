"""The keeper beside Apache ZooKeeper: one run, one machine, one load generator, both with every transaction synced to disk.

Both servers hold 50,000 znodes of 100 bytes on the same disk, are warmed up, then are loaded in turn (ours, Apache's, ours and
so on); medians count. Ratios say how many times better ours is. In the end each server's tree is read back: its digest must be
that of what was written, and its versions must add up to the setData that were acknowledged.

    python bench/keeper.py                      # all, about ten minutes
    python bench/keeper.py --only throughput    # or some of: throughput latency watches sessions start million
    python bench/keeper.py --machine            # only the pure machine, without sockets: see load/machine.py
    python bench/keeper.py --quick --json       # tiny, as the tests run it
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from load.generator import Generator
from load.servers import Server, both, disk_folder, filesystem_of, memory_mb, memory_with_children_mb, version_of

DESCRIPTORS_SPARE = 500  # what a server opens beside its connections
SNAPSHOT_SECONDS_MAX = 120.0
POLL_SECONDS = 0.05
MEMORY_SECONDS = 0.25  # a look at all of a process's memory costs the process some milliseconds
MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything: `seconds` a phase, `rounds` of alternating servers, `watchers` sessions with a watch each."""

    nodes: int = 50_000
    seconds: float = 2.0
    rounds: int = 3
    watchers: int = 10_000
    sessions: int = 2_000
    million: int = 1_000_000
    snap_count: int = 2_000


QUICK = Sizes(nodes=500, seconds=0.1, rounds=1, watchers=100, sessions=20, million=2_000, snap_count=100)


@dataclass(slots=True)
class Figure:
    """One thing that was measured, of each server once a round.

    `goal` is what the project aims at: "3x" of Apache's, "1x" (better than it) or a bound such as "300 ms"; empty for none.
    """

    name: str
    unit: str
    goal: str = ""
    is_more_better: bool = False
    taken: dict[str, list[float]] = field(default_factory=dict)

    def median(self, server: str) -> float | None:
        return statistics.median(self.taken[server]) if self.taken.get(server) else None

    @property
    def ratio(self) -> float | None:
        """How many times better ours is; None without a peer."""
        ours, apache = self.median("muskox"), self.median("Apache")
        if not ours or not apache:
            return None
        return ours / apache if self.is_more_better else apache / ours

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None if there is none, or no peer to tell."""
        if self.goal.endswith("x"):
            return None if self.ratio is None else self.ratio >= float(self.goal[:-1])
        ours = self.median("muskox")
        return None if not self.goal or ours is None else ours <= float(self.goal.split()[0])

    def record(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "muskox": self.median("muskox"),
            "apache": self.median("Apache"),
            "ratio": self.ratio,
            "goal": self.goal,
            "is_met": self.is_met,
            "taken": self.taken,
        }


class Bench:
    """The servers, the generator, and what was measured so far."""

    def __init__(self, folder: Path, servers: list[Server], generator: Generator, sizes: Sizes) -> None:
        self.folder = folder
        self.servers = servers
        self.generator = generator
        self.sizes = sizes
        self.figures: dict[str, Figure] = {}
        self.writes = dict.fromkeys((server.name for server in servers), 0)
        self.checked: dict[str, str] = {}

    def note(self, server: Server, name: str, unit: str, value: float, goal: str = "", is_more_better: bool = False) -> None:
        figure = self.figures.setdefault(name, Figure(name, unit, goal, is_more_better))
        figure.taken.setdefault(server.name, []).append(value)

    def load(self, server: Server, *phases: str, **options: float) -> dict[str, dict[str, Any]]:
        """Run phases on the common znodes; setData are counted, to be found again in the end."""
        told = {phase["phase"]: phase for phase in self.generator.run(server.port, *phases, n=self.sizes.nodes, **options)}
        self.writes[server.name] += told.get("watch", {}).get("writes", 0)
        if "setData" in told:
            self.writes[server.name] += told["setData"]["count"] + told["setData"]["after"]
        return told

    def fill(self) -> None:
        """Let both hold the znodes and get warm: a JVM that has just started is several times slower."""
        for server in self.servers:
            self.load(server, "fill", "getData", "setData", "exists", "create", "delete", "close", s=self.sizes.seconds)

    def check(self) -> None:
        """Read all back.

        What an acknowledged write left must be there; whoever is faster because it does less ends here.
        """
        expected = f"{expected_digest(self.sizes.nodes):016x}"
        for server in self.servers:
            told = self.load(server, "check", "close")["check"]
            if told["digest"] != expected:
                sys.exit(f"{server.name} has other values than were written: digest {told['digest']}, not {expected}")
            if told["versions"] != self.writes[server.name]:
                sys.exit(f"{server.name} acknowledged {self.writes[server.name]} setData, its versions say {told['versions']}")
            self.checked[server.name] = told["digest"]

    # What is measured

    def throughput(self) -> None:
        for _ in range(self.sizes.rounds):
            for server in self.servers:
                phases = ("getData", "setData", "exists", "create", "delete", "getChildren")
                told = self.load(server, *phases, "close", s=self.sizes.seconds, p=server.pid)
                for phase in phases:
                    goal = "3x" if phase in ("getData", "setData") else ""
                    self.note(server, f"{phase}, pipelined", "a second", told[phase]["per_second"], goal, True)
                    self.note(server, f"{phase}, pipelined, processor time", "us", told[phase]["cpu_us"])

    def latency(self) -> None:
        for _ in range(self.sizes.rounds):
            for server in self.servers:
                told = self.load(server, "getData", "setData", "close", s=self.sizes.seconds, c=1, d=1)
                for phase in ("getData", "setData"):
                    self.note(server, f"{phase}, one in flight, p50", "us", told[phase]["p50_us"], "1x")
                    self.note(server, f"{phase}, one in flight, p99", "us", told[phase]["p99_us"], "1x")
                    self.note(server, f"{phase}, one in flight, longest", "us", told[phase]["max_us"])

    def watches(self) -> None:
        count = min(self.sizes.watchers, descriptors() - DESCRIPTORS_SPARE)
        for sessions, each in ((count, 1), (count // 10, 10)):
            name = f"{sessions * each:,} watches fired, {each} a session"
            for _ in range(self.sizes.rounds):
                for server in self.servers:
                    told = self.load(server, "watch", "close", c=sessions, d=each)
                    self.note(server, name, "ms", statistics.median(told["watch"]["ms"]), "1x")

    def sessions(self) -> None:
        for _ in range(self.sizes.rounds):
            for server in self.servers:
                told = self.load(server, "close", c=self.sizes.sessions)
                self.note(server, "sessions opened", "a second", told["open"]["per_second"], is_more_better=True)
                self.note(server, "sessions closed", "a second", told["close"]["per_second"], is_more_better=True)

    def start(self) -> None:
        """Start on empty folders, three times."""
        for at in range(self.sizes.rounds):
            folder = self.folder / f"start-{at}"
            folder.mkdir()
            for server in both(folder, len(self.servers) > 1):
                try:
                    self.note(server, "start to first reply", "ms", server.start() * 1e3, "300 ms")
                    self.note(server, "memory, idle", "MB", memory_mb(server.pid), "50 MB")
                finally:
                    server.stop()

    def million(self) -> None:
        """Many znodes: their memory, a restart after kill -9, and how long a client waits while a snapshot is written."""
        folder = self.folder / "million"
        folder.mkdir()
        for server in both(folder, len(self.servers) > 1):
            try:
                self.one_million(server)
            finally:
                server.stop()
            shutil.rmtree(server.folder)

    def one_million(self, server: Server) -> None:
        count = self.sizes.million
        name = f"{count:,} znodes"
        server.start()
        told = self.generator.run(server.port, "fill", "close", n=count)
        self.note(server, f"{name}, created", "a second", told[1]["per_second"], is_more_better=True)
        await_calm(server.folder)
        self.note(server, f"{name}, memory", "MB", memory_mb(server.pid), "600 MB")
        self.note(server, f"{name}, memory at most", "MB", memory_mb(server.pid, "VmHWM"))
        server.kill()
        self.note(server, f"{name}, kill -9 to first reply", "ms", server.start(self.sizes.snap_count) * 1e3)
        self.note(server, f"{name}, memory after restart", "MB", memory_mb(server.pid))
        await_calm(server.folder)
        told = self.generator.run(server.port, "getData", "close", n=count, c=1, d=1, s=self.sizes.seconds)
        self.note(server, f"{name}, longest getData without snapshot", "ms", told[1]["max_us"] / 1e3)
        snapshots = snapshots_of(server.folder)
        reader = self.generator.begin(server.port, "getData", n=count, c=1, d=1)
        writer = self.generator.begin(server.port, "setData", n=count, c=1, d=1)
        deadline = time.monotonic() + SNAPSHOT_SECONDS_MAX
        most = 0.0
        while snapshots_of(server.folder) == snapshots and time.monotonic() < deadline:
            most = max(most, memory_with_children_mb(server.pid))
            time.sleep(MEMORY_SECONDS)
        await_calm(server.folder, (snapshots_of(server.folder) - snapshots).__contains__)
        wrote, read = writer.end(), reader.end()
        if snapshots_of(server.folder) == snapshots:
            sys.exit(f"{server.name} wrote no snapshot in {SNAPSHOT_SECONDS_MAX:.0f} s")
        self.note(server, f"{name}, longest getData in a snapshot", "ms", read["max_us"] / 1e3, "50 ms")
        self.note(server, f"{name}, memory in a snapshot", "MB", most)
        self.note(server, f"{name}, p99 of getData in a snapshot", "ms", read["p99_us"] / 1e3)
        self.note(server, f"{name}, longest setData in a snapshot", "ms", wrote["max_us"] / 1e3)


# What is told by files


def snapshots_of(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("version-2/snapshot.*")}


def await_calm(folder: Path, counts: Callable[[str], bool] = lambda _: True) -> None:
    """Wait until no snapshot, of those that count, grows or comes any more: Apache writes under the last name at once."""
    before, since = None, time.monotonic()
    while time.monotonic() < since + 10 * POLL_SECONDS:
        now = {name: size for name, size in sizes_of(folder).items() if counts(name)}
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(POLL_SECONDS)


def sizes_of(folder: Path) -> dict[str, int]:
    sizes = {}
    for path in folder.glob("version-2/*"):
        if not path.name.startswith("log."):
            with contextlib.suppress(FileNotFoundError):  # a draft that has got its name, or an old one that is purged
                sizes[path.name] = path.stat().st_size
    return sizes


def expected_digest(nodes: int) -> int:
    """Return the digest of all znodes as they were written: FNV-1a, begun with the index, summed."""
    total = 0
    for index in range(nodes):
        digest = 14695981039346656037 ^ index
        for at in range(100):
            digest = digest * 1099511628211 & MASK ^ (index * 31 + at * 7 & 0xFF)
        total += digest * 1099511628211
    return total & MASK


def descriptors() -> int:
    """Raise the bound on open files as far as allowed, for this process and those it starts; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


# The run

GROUPS: dict[str, Callable[[Bench], None]] = {
    "throughput": Bench.throughput,
    "latency": Bench.latency,
    "watches": Bench.watches,
    "sessions": Bench.sessions,
    "start": Bench.start,
    "million": Bench.million,
}
ALONE = ("start", "million")  # these start servers of their own


def measure(groups: list[str], sizes: Sizes, wants_apache: bool, wants_c: bool) -> dict[str, Any]:
    """Run the groups and return all that was measured."""
    descriptors()
    with tempfile.TemporaryDirectory(prefix="muskox-bench-", dir=disk_folder(), ignore_cleanup_errors=True) as name:
        folder = Path(name)
        servers = both(folder, wants_apache)
        bench = Bench(folder, servers, Generator(folder, wants_c), sizes)
        versions = {}
        try:
            for server in servers:
                server.start()
                versions[server.name] = version_of(server.port)
            if set(groups) - set(ALONE):
                bench.fill()
                for group in groups:
                    if group not in ALONE:
                        GROUPS[group](bench)
                bench.check()
        finally:
            for server in servers:
                server.stop()
        for group in groups:
            if group in ALONE:
                GROUPS[group](bench)
        return {
            "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {filesystem_of(folder)}",
            "python": platform.python_version(),
            "apache": versions.get("Apache"),
            "generator": bench.generator.language,
            "digest": bench.checked.get("muskox"),
            "figures": [figure.record() for figure in bench.figures.values()],
        }


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def show(measured: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    peer = f"Apache {measured['apache']}" if measured["apache"] else "Apache (absent)"
    table = Table(title=f"muskox keeper beside {peer}: medians on {measured['machine']}, Python {measured['python']}")
    for heading in ("", "unit", "muskox", peer, "times better", "goal", ""):
        table.add_column(heading, justify="left" if heading in ("", "unit", "goal") else "right")
    for each in measured["figures"]:
        met = {True: "[green]reached", False: "[red]not yet", None: ""}[each["is_met"]]
        ratio = "-" if each["ratio"] is None else f"{each['ratio']:.2f}"
        table.add_row(each["name"], each["unit"], number(each["muskox"]), number(each["apache"]), ratio, each["goal"], met)
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    if measured["digest"]:
        console.print(f"digest of all values read back: {measured['digest']}")
    if measured["apache"] is None:
        console.print("Apache ZooKeeper is not installed: ours ran alone, so there are no ratios")
    if measured["generator"] != "C":
        console.print("no C compiler: the load came from Python, which takes a core for itself, so all figures are lower")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(GROUPS), help="groups, with commas between: " + " ".join(GROUPS))
    parser.add_argument("--quick", action="store_true", help="tiny, as the tests run it")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--alone", action="store_true", help="without Apache")
    parser.add_argument("--python-generator", action="store_true", help="as on a machine without a C compiler")
    parser.add_argument("--machine", action="store_true", help="the pure machine alone; see load/machine.py")
    if "--machine" in sys.argv:
        from load import machine

        machine.main([word for word in sys.argv[1:] if word != "--machine"])
        return
    options = parser.parse_args()
    groups = options.only.split(",")
    if set(groups) - set(GROUPS):
        parser.error(f"no such group in {options.only}; there are {' '.join(GROUPS)}")
    measured = measure(groups, QUICK if options.quick else Sizes(), not options.alone, not options.python_generator)
    if options.json:
        print(json.dumps(measured))
    else:
        show(measured)


if __name__ == "__main__":
    main()
