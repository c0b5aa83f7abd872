"""What the promise costs: the same training with checkpoints and replicas beside it without. The aim: at most 5 %.

With: a checkpoint every five seconds, on two nodes, which is the default. Without: none at all, and the result on one node.
(That every worker holds the state is no extra: it computes the next one from the sum that it needs anyway.) In turn, by pairs,
and the median ratio counts: a machine that is busy for a while troubles both of a pair. Two trainings: a logistic regression,
whose state is some kB, and mini-batch steps of a linear model with a million parameters, whose state is 8 MB.

    python bench/promise.py [--pairs 5] [--seconds 12] [--json] [--tiny]
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import muskox as mx

SHARDS = 12
AIM = 1.05
ROUNDS_MIN = 50
WITH = {"checkpoint_interval_s": 5.0, "replicas": 2.0}
WITHOUT = {"checkpoint_interval_s": 3600.0, "replicas": 1.0}


def logistic(dataset: Any, rounds: int) -> str:
    estimator = mx.LogisticRegression(max_rounds=rounds, solver="gd", learning_rate=0.1, tol=0.0)
    return estimator.fit(dataset, target="y").digest_


def wide(dataset: Any, rounds: int, parameters: int) -> str:
    """Train a model of many parameters, each row of which touches a few: the state is large, a round is not."""
    from muskox.digest import digest

    def initial(_: mx.Manifest) -> dict[str, Any]:
        return {"round": 0, "weights": np.zeros(parameters)}

    def partial(state: dict[str, Any], shard: mx.Shard, blocks: Iterator[mx.Block]) -> dict[str, Any]:
        X = shard.cached("X", lambda: np.concatenate([block["x0"] for block in blocks]))
        draw = mx.stream(7, "touched", shard.index, state["round"])
        touched = draw.integers(0, parameters, 20_000)
        errors = state["weights"][touched] - X[draw.integers(0, len(X), len(touched))]
        return {"gradient": np.bincount(touched, errors, parameters)}

    def merge(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
        return {"gradient": left["gradient"] + right["gradient"]}

    def update(state: dict[str, Any], total: dict[str, Any]) -> dict[str, Any] | mx.Done:
        weights = state["weights"] - 0.1 * total["gradient"]
        done = state["round"] + 1
        return mx.Done({"weights": weights}) if done == rounds else {"round": done, "weights": weights}

    return digest(mx.rounds(dataset, initial=initial, partial=partial, merge=merge, update=update, columns=["x0"]))


def table(rows: int) -> Any:
    import pyarrow as pa

    X = mx.stream(2013, "promise").normal(size=(rows, 8))
    return pa.table({**{f"x{column}": X[:, column] for column in range(8)}, "y": X.sum(axis=1) > 0})


def timed(train: Callable[[int], str], rounds: int) -> tuple[float, str]:
    start_s = time.perf_counter()
    digest = train(rounds)
    return time.perf_counter() - start_s, digest


def compare(cluster: mx.Cluster, train: Callable[[int], str], pairs: int, seconds: float) -> dict[str, Any]:
    """Train in pairs, with and without, so many rounds that one training takes about `seconds`."""
    rounds = ROUNDS_MIN
    while (taken_s := timed(train, rounds)[0]) < seconds / 4:
        rounds *= 2
    rounds = max(int(rounds * seconds / taken_s), ROUNDS_MIN)
    taken: dict[str, list[float]] = {"with": [], "without": []}
    digests = set()
    for pair in range(pairs):
        ways = [("with", WITH), ("without", WITHOUT)]
        for name, settings in ways if pair % 2 else ways[::-1]:
            for setting, value in settings.items():
                cluster.set_config(setting, value)
            taken_s, digest = timed(train, rounds)
            taken[name].append(taken_s)
            digests.add(digest)
    if len(digests) != 1:
        sys.exit(f"the promise is broken: {digests}")
    ratios = [one / other for one, other in zip(taken["with"], taken["without"], strict=True)]
    return {"rounds": rounds, **taken, "ratio": statistics.median(ratios), "ratios": ratios, "digest": digests.pop()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=12.0, help="of one training, about")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="little data, one pair, as the tests run it")
    options = parser.parse_args()
    rows, parameters = (24_000, 10_000) if options.tiny else (240_000, 1_000_000)
    pairs, seconds = (1, 0.2) if options.tiny else (options.pairs, options.seconds)
    with mx.local(nodes=2) as cluster:
        dataset = cluster.put("rows", table(rows), shards=SHARDS, replicas=2)
        found = {
            "logistic regression, a state of kB": compare(cluster, lambda n: logistic(dataset, n), pairs, seconds),
            f"{parameters:,} parameters": compare(cluster, lambda n: wide(dataset, n, parameters), pairs, seconds),
        }
    if options.json:
        print(json.dumps(found))
        return
    for name, one in found.items():
        print(
            f"{name}: {one['rounds']} rounds, {statistics.median(one['with']):.2f} s with, "
            f"{statistics.median(one['without']):.2f} s without: {one['ratio']:.3f} (aim {AIM:.2f}), "
            f"pairs {min(one['ratios']):.3f} to {max(one['ratios']):.3f}, digest {one['digest'][:16]}..."
        )


if __name__ == "__main__":
    main()
