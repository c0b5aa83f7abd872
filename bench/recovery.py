"""How long a death stops training: seconds from SIGKILL to the next finished round, as a client that follows the job sees it.

Each kill hits a running fit on a local cluster of three nodes: a worker, the tree's root, a whole node, or the coordinator.
The next finished round is the first one of a later generation. Every fit must end with the same digest; it is printed, so
that nobody speeds this up by computing something else.

    python bench/recovery.py [--kills 10] [--roles worker,root,node,coordinator] [--json] [--tiny]
"""

import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import muskox as mx
from muskox.client import up
from muskox.program import RoundReport

ROUNDS_MAX = 250
ROLES = ("worker", "root", "node", "coordinator")
SEED = 2013


def table(rows: int) -> "object":
    """Return `rows` made-up flights: numbers, text and missing values, with a target that depends on them."""
    import pyarrow as pa

    draw = random.Random(SEED)
    distance = [draw.randrange(100, 3000) for _ in range(rows)]
    hour = [draw.randrange(5, 24) for _ in range(rows)]
    carrier = [draw.choice(["AA", "B6", "DL", "EV", "MQ", "UA", "US", "WN"]) for _ in range(rows)]
    seats = [None if draw.random() < 0.1 else draw.randrange(50, 400) for _ in range(rows)]
    late = [draw.random() < 0.1 + 0.015 * h + (0.05 if c in ("EV", "MQ") else 0.0) for h, c in zip(hour, carrier, strict=True)]
    return pa.table({"distance": distance, "hour": hour, "carrier": carrier, "seats": seats, "late": late})


def estimator() -> mx.LogisticRegression:
    return mx.LogisticRegression(max_rounds=ROUNDS_MAX, solver="gd", learning_rate=0.3, tol=0.0)


class Stopwatch:
    """Kills one process of `role` when the fit has passed round `at`, and times the first round of a later generation."""

    def __init__(self, cluster: mx.Cluster, role: str, at: int) -> None:
        self.cluster, self.role, self.at = cluster, role, at
        self.generation = 0
        self.killed_s: float | None = None
        self.seconds: float | None = None

    def __call__(self, report: RoundReport) -> None:
        if self.killed_s is None:
            if report.round >= self.at:
                pid = self.find()
                self.generation = report.generation
                self.killed_s = time.monotonic()
                os.kill(pid, signal.SIGKILL)
        elif self.seconds is None and report.generation > self.generation:
            self.seconds = time.monotonic() - self.killed_s

    def find(self) -> int:
        status = self.cluster.status()
        workers = status["jobs"][0]["workers"]
        if self.role in ("worker", "root"):
            return workers[0 if self.role == "root" else -1]["pid"]
        is_coordinator = self.role == "coordinator"
        return next(node["pid"] for node in status["nodes"] if node["coordinator"] == is_coordinator)


def measure(folder: Path, roles: list[str], kills: int, rows: int) -> dict[str, object]:
    """Return for each role the seconds of every kill, and the one digest of all fits."""
    seconds: dict[str, list[float]] = {role: [] for role in roles}
    draw = random.Random(SEED)
    with mx.local(nodes=3, dir=folder) as cluster:
        dataset = cluster.put("flights", table(rows), shards=12, replicas=2)
        expected = estimator().fit(dataset, target="late").digest_
        for role in roles:
            while len(seconds[role]) < kills:
                watch = Stopwatch(cluster, role, draw.randrange(5, ROUNDS_MAX // 3))
                digest = estimator().fit(dataset, target="late", on_round=watch).digest_
                if digest != expected:
                    sys.exit(f"killed the {role} after round {watch.at}: the digest is {digest}, not {expected}")
                if watch.seconds is not None:  # the fit may have ended before the client saw the next generation
                    seconds[role].append(watch.seconds)
                up(folder, nodes=3).close()
    return {"digest": expected, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--roles", default=",".join(ROLES))
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="one kill on little data, as the tests run it")
    options = parser.parse_args()
    kills, rows = (1, 30_000) if options.tiny else (options.kills, options.rows)
    with tempfile.TemporaryDirectory(prefix="muskox-bench-", ignore_cleanup_errors=True) as folder:
        measured = measure(Path(folder), options.roles.split(","), kills, rows)
    if options.json:
        print(json.dumps(measured))
        return
    print(f"seconds from SIGKILL to the next finished round; {kills} kills each, all digests {str(measured['digest'])[:16]}...")
    print(f"{'killed':<12} {'median':>8} {'least':>8} {'most':>8}")
    for role, values in measured["seconds"].items():  # type: ignore[attr-defined]
        print(f"{role:<12} {statistics.median(values):>8.3f} {min(values):>8.3f} {max(values):>8.3f}")


if __name__ == "__main__":
    main()
