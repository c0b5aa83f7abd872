"""Two workers beside one, and the cluster beside the engine in process. The aims: 1.8x on compute-bound work, and 10 % slower.

Two trainings over made-up rows, twelve shards, a fixed number of rounds. Logistic regression by gradient descent reads its
whole matrix every round: as soon as that is larger than the caches, memory bounds it, and two cores share one memory. Local
steps (parameter averaging: each shard takes many steps over a few thousand rows of its own) stay in the caches, and are bound
by the cores. In turn, so that a busy machine troubles all alike: in process, on one worker, on two workers; the least time of
each counts. A whole fit is timed from the call to the fitted model: workers start, read and encode their shards anew. All
models of a training must have one digest. Printed too: where the time of a round goes, by the root's own account, and what a
fit spends before its first and after its last round.

    python bench/scaling.py [--rows 600000] [--rounds 120] [--times 3] [--json] [--tiny]
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import muskox as mx
from muskox.digest import digest
from muskox.program import ArrayPartition, RunOptions, in_process

SHARDS, FEATURES = 12, 28
SPEEDUP_AIM, SLOWER_AIM = 1.8, 1.10
PHASES = ("compute", "wait", "reduce", "update")
LOCAL_ROWS, LOCAL_STEPS = 4096, 60  # a shard's own: 0.9 MB, which lies in a core's cache
WAYS = ("in process", "1 worker", "2 workers")

Tell = Callable[[mx.RoundReport], None]
Train = Callable[[str, Tell], str]  # in which way; returns the digest


def table(rows: int) -> Any:
    import pyarrow as pa

    draw = mx.stream(2013, "scaling")
    X = draw.normal(size=(rows, FEATURES))
    y = np.einsum("ij,j->i", X, np.linspace(-1.0, 1.0, FEATURES)) + draw.normal(size=rows) > 0
    return pa.table({**{f"x{column}": X[:, column] for column in range(FEATURES)}, "y": y})


def regression(data: Any, dataset: Any, rounds: int) -> Train:
    estimator = mx.LogisticRegression(max_rounds=rounds, solver="gd", learning_rate=0.1, tol=0.0)

    def train(way: str, tell: Tell) -> str:
        if way == "in process":
            return estimator.fit(data, target="y", shards=SHARDS, on_round=tell).digest_
        return estimator.fit(dataset, target="y", workers=int(way[0]), on_round=tell).digest_

    return train


def local_steps(data: Any, dataset: Any, rounds: int) -> Train:
    columns = [f"x{column}" for column in range(FEATURES)]

    def initial(_: mx.Manifest) -> dict[str, Any]:
        return {"round": 0, "weights": np.zeros(FEATURES)}

    def partial(state: dict[str, Any], shard: mx.Shard, blocks: Iterator[mx.Block]) -> dict[str, Any]:
        def read() -> tuple[Any, Any]:
            block = next(blocks)
            X = np.stack([block[name][:LOCAL_ROWS] for name in columns], axis=1)
            return X, block["y"][: len(X)].astype(np.float64)

        X, y = shard.cached("rows", read)
        weights = state["weights"].copy()
        for _ in range(LOCAL_STEPS):
            errors = np.einsum("ij,j->i", X, weights) - y
            weights -= 0.01 / len(X) * np.einsum("ij,i->j", X, errors)
        return {"weights": weights}

    def merge(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
        return {"weights": left["weights"] + right["weights"]}

    def update(state: dict[str, Any], total: dict[str, Any]) -> dict[str, Any] | mx.Done:
        after = {"round": state["round"] + 1, "weights": total["weights"] / SHARDS}
        return mx.Done(after) if after["round"] == rounds else after

    program = {"initial": initial, "partial": partial, "merge": merge, "update": update, "columns": [*columns, "y"]}

    def train(way: str, tell: Tell) -> str:
        if way == "in process":
            here = in_process(data, ArrayPartition(SHARDS))
            return digest(mx.rounds(here, **program, options=RunOptions(on_round=tell)))
        return digest(mx.rounds(dataset, **program, options=RunOptions(workers=int(way[0]), on_round=tell)))

    return train


class Fit:
    """One fit, timed: in all, before its first round, after its last, and its rounds by phase."""

    def __init__(self, train: Train, way: str) -> None:
        reports: list[tuple[float, mx.RoundReport]] = []
        start_s = time.perf_counter()
        self.digest = train(way, lambda report: reports.append((time.perf_counter(), report)))
        end_s = time.perf_counter()
        self.seconds = end_s - start_s
        self.first_s = reports[0][0] - start_s  # round 1 reads and encodes the shards
        self.last_s = end_s - reports[-1][0]
        later = [report.phases for _, report in reports[1:]]
        self.round_s = statistics.median(phases["round"] for phases in later)
        self.phases_s = {name: statistics.median(phases.get(name, 0.0) for phases in later) for name in PHASES}

    def as_dict(self) -> dict[str, Any]:
        return {"s": self.seconds, "first_s": self.first_s, "last_s": self.last_s, "round_s": self.round_s, **self.phases_s}


def measure(rows: int, rounds: int, times: int) -> dict[str, Any]:
    data = table(rows)
    with mx.local(nodes=2) as cluster:
        dataset = cluster.put("rows", data, shards=SHARDS, replicas=2)
        found = {
            "logistic regression, bound by memory": compare(regression(data, dataset, rounds), times),
            "local steps, bound by the cores": compare(local_steps(data, dataset, rounds), times),
        }
    return {"rows": rows, "rounds": rounds, "cores": os.cpu_count(), "trainings": found}


def compare(train: Train, times: int) -> dict[str, Any]:
    fits: dict[str, list[Fit]] = {way: [] for way in WAYS}
    for _ in range(times):
        for way, found in fits.items():
            found.append(Fit(train, way))
    digests = {fit.digest for found in fits.values() for fit in found}
    if len(digests) != 1:
        sys.exit(f"the fits computed {len(digests)} models: {digests}")
    best = {way: min(found, key=lambda fit: fit.seconds) for way, found in fits.items()}
    rounds_s = {way: min(fit.round_s for fit in found) for way, found in fits.items()}
    return {
        "digest": digests.pop(),
        "fits": {way: fit.as_dict() for way, fit in best.items()},
        "speedup": best["1 worker"].seconds / best["2 workers"].seconds,
        "speedup of a round": rounds_s["1 worker"] / rounds_s["2 workers"],
        "cluster beside in process": best["1 worker"].seconds / best["in process"].seconds,
        "round beside in process": rounds_s["1 worker"] / rounds_s["in process"],
    }


def show(name: str, found: dict[str, Any]) -> None:
    print(f"\n{name}; digest {found['digest'][:16]}...")
    print(f"{'':<12} {'fit s':>8} {'first s':>8} {'last s':>8} {'round ms':>9}" + "".join(f"{name:>10}" for name in PHASES))
    for way, fit in found["fits"].items():
        phases = "".join(f"{fit[phase] * 1e3:>10.2f}" for phase in PHASES)
        print(f"{way:<12} {fit['s']:>8.2f} {fit['first_s']:>8.2f} {fit['last_s']:>8.2f} {fit['round_s'] * 1e3:>9.2f}{phases}")
    print(f"2 workers beside 1: {found['speedup']:.2f}x a fit, {found['speedup of a round']:.2f}x a round (aim {SPEEDUP_AIM}x)")
    slower, round_slower = found["cluster beside in process"], found["round beside in process"]
    print(f"1 worker beside in process: {slower:.2f} of a fit's time, {round_slower:.2f} of a round's (aim {SLOWER_AIM:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=120)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="little data, once, as the tests run it")
    options = parser.parse_args()
    shape = (24_000, 20, 1) if options.tiny else (options.rows, options.rounds, options.times)
    found = measure(*shape)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{found['rows']:,} rows, {found['rounds']} rounds, {found['cores']} cores")
    for name, one in found["trainings"].items():
        show(name, one)


if __name__ == "__main__":
    main()
