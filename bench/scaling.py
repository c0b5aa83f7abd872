"""Two workers beside one on compute-bound work, and the cluster beside the engine in process. The aims: 1.8x, and 10 % slower.

Logistic regression by gradient descent over made-up rows, twelve shards, a fixed number of rounds. In turn, so that a busy
machine troubles all alike: in process, on one worker, on two workers; the least time of each counts. A whole fit is timed from
the call to the fitted model: workers start, read and encode their shards anew. All models must have one digest. Printed too:
where the time of a round goes, by the root's own account, and what a fit spends before its first and after its last round.

    python bench/scaling.py [--rows 600000] [--rounds 120] [--times 3] [--json] [--tiny]
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import muskox as mx

SHARDS, FEATURES = 12, 28
SPEEDUP_AIM, SLOWER_AIM = 1.8, 1.10
PHASES = ("compute", "wait", "reduce", "update")


def table(rows: int) -> Any:
    import pyarrow as pa

    draw = mx.stream(2013, "scaling")
    X = draw.normal(size=(rows, FEATURES))
    y = np.einsum("ij,j->i", X, np.linspace(-1.0, 1.0, FEATURES)) + draw.normal(size=rows) > 0
    return pa.table({**{f"x{column}": X[:, column] for column in range(FEATURES)}, "y": y})


class Fit:
    """One fit, timed: in all, before its first round, after its last, and its rounds by phase."""

    def __init__(self, fit: Callable[[Callable[[mx.RoundReport], None]], Any]) -> None:
        reports: list[tuple[float, mx.RoundReport]] = []
        start_s = time.perf_counter()
        self.digest = fit(lambda report: reports.append((time.perf_counter(), report))).digest_
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
    data, fits = table(rows), {}
    estimator = mx.LogisticRegression(max_rounds=rounds, solver="gd", learning_rate=0.1, tol=0.0)
    with mx.local(nodes=2) as cluster:
        dataset = cluster.put("rows", data, shards=SHARDS, replicas=2)
        ways: dict[str, Callable[[Any], Any]] = {
            "in process": lambda tell: estimator.fit(data, target="y", shards=SHARDS, on_round=tell),
            "1 worker": lambda tell: estimator.fit(dataset, target="y", workers=1, on_round=tell),
            "2 workers": lambda tell: estimator.fit(dataset, target="y", workers=2, on_round=tell),
        }
        for _ in range(times):
            for name, fit in ways.items():
                fits.setdefault(name, []).append(Fit(fit))
    digests = {fit.digest for found in fits.values() for fit in found}
    if len(digests) != 1:
        sys.exit(f"the fits computed {len(digests)} models: {digests}")
    best = {name: min(found, key=lambda fit: fit.seconds) for name, found in fits.items()}
    rounds_s = {name: min(fit.round_s for fit in found) for name, found in fits.items()}
    return {
        "rows": rows,
        "rounds": rounds,
        "cores": os.cpu_count(),
        "digest": digests.pop(),
        "fits": {name: fit.as_dict() for name, fit in best.items()},
        "speedup": best["1 worker"].seconds / best["2 workers"].seconds,
        "speedup of a round": rounds_s["1 worker"] / rounds_s["2 workers"],
        "cluster beside in process": best["1 worker"].seconds / best["in process"].seconds,
        "round beside in process": rounds_s["1 worker"] / rounds_s["in process"],
    }


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
    print(f"{found['rows']:,} rows, {found['rounds']} rounds, {found['cores']} cores, digest {found['digest'][:16]}...")
    print(f"{'':<12} {'fit s':>8} {'first s':>8} {'last s':>8} {'round ms':>9}" + "".join(f"{name:>10}" for name in PHASES))
    for name, fit in found["fits"].items():
        phases = "".join(f"{fit[phase] * 1e3:>10.2f}" for phase in PHASES)
        print(f"{name:<12} {fit['s']:>8.2f} {fit['first_s']:>8.2f} {fit['last_s']:>8.2f} {fit['round_s'] * 1e3:>9.2f}{phases}")
    print(f"2 workers beside 1: {found['speedup']:.2f}x a fit, {found['speedup of a round']:.2f}x a round (aim {SPEEDUP_AIM}x)")
    slower, round_slower = found["cluster beside in process"], found["round beside in process"]
    print(f"1 worker beside in process: {slower:.2f} of a fit's time, {round_slower:.2f} of a round's (aim {SLOWER_AIM:.2f})")


if __name__ == "__main__":
    main()
