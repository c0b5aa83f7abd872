"""The kinds of programs that meet with misfortune, each done once and told by a digest; also a client that can be killed.

python -m chaos.kinds DIR OUTPUT KIND   does one as a process of its own
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minibatch_sgd
import numpy as np
import parameter_averaging
from killing import estimator
from whole_path_data import FEATURES, TARGET

import muskox as mx
from muskox.digest import digest
from muskox.serve.output import read_output

MODEL, JUDGED = "chaos", "judged"
FLIGHTS, POINTS = "flights", "points"
TASKS = 60
parameter_averaging.EPOCHS = 60  # the example's few are over before much can happen


def lbfgs(cluster: mx.Cluster, _: Path) -> str:
    return estimator().fit(cluster.dataset(FLIGHTS), target=TARGET, name=MODEL).digest_


def gd(cluster: mx.Cluster, _: Path) -> str:
    descent = mx.LogisticRegression(solver="gd", max_rounds=100, learning_rate=0.3, tol=0.0, features=FEATURES)
    return descent.fit(cluster.dataset(FLIGHTS), target=TARGET, name=MODEL).digest_


def sgd(cluster: mx.Cluster, _: Path) -> str:
    return digest(mx.rounds(cluster.dataset(POINTS), **minibatch_sgd.PROGRAM))


def averaging(cluster: mx.Cluster, _: Path) -> str:
    return digest(mx.rounds(cluster.dataset(POINTS), **parameter_averaging.PROGRAM))


def evaluate(cluster: mx.Cluster, _: Path) -> str:
    return digest(cluster.evaluate(JUDGED, cluster.dataset(FLIGHTS)))


def predict(cluster: mx.Cluster, output: Path) -> str:
    """The rows count, not the files: their names are drawn."""
    cluster.predict(JUDGED, cluster.dataset(FLIGHTS), output, columns=["tailnum"])
    return digest_of_rows(output)


def cross_validate(cluster: mx.Cluster, _: Path) -> str:
    descent = mx.LogisticRegression(solver="gd", max_rounds=50, learning_rate=0.3, tol=0.0, features=FEATURES)
    scores = mx.cross_validate(descent, cluster.dataset(FLIGHTS), target=TARGET, folds=3)
    return digest({str(fold): score for fold, score in enumerate(scores)})


def search(task: dict[str, Any], shards: mx.Shards) -> dict[str, Any]:
    """Draw weights and keep those whose signs agree most often with the target: some hundredths of a second of work."""
    table = shards.to_arrow()
    X = np.stack([table[name].to_numpy() for name in ("x0", "x1", "x2", "x3")], axis=1)
    wanted, draw = table["y"].to_numpy(zero_copy_only=False), mx.stream(5, "search", round=task["n"])
    trials = draw.normal(size=(60, X.shape[1]))
    agreed = [int(np.count_nonzero((np.einsum("ij,j->i", X, weights) > 0) == wanted)) for weights in trials]
    return {"n": task["n"], "weights": trials[int(np.argmax(agreed))], "agreed": max(agreed)}


def tasks(cluster: mx.Cluster, _: Path) -> str:
    """Tasks that look at three shards of eight each, which lie on different nodes."""
    found = mx.tasks(
        cluster.dataset(POINTS),
        tasks=[{"n": n} for n in range(TASKS)],
        run=search,
        shards=lambda task, manifest: [(task["n"] + step) % manifest.shards for step in (0, 3, 5)],
    )
    return digest({str(number): result for number, result in enumerate(found)})


def digest_of_rows(output: Path) -> str:
    table = read_output(output)
    return digest({name: table[name].to_pylist() for name in table.column_names})


DO: dict[str, Callable[[mx.Cluster, Path], str]] = {
    "lbfgs": lbfgs,
    "gd": gd,
    "sgd": sgd,
    "averaging": averaging,
    "evaluate": evaluate,
    "predict": predict,
    "cross-validate": cross_validate,
    "tasks": tasks,
}


def put_data(cluster: mx.Cluster, flights: Any) -> None:
    """Put what the kinds work on, and train the model that is judged."""
    cluster.put(FLIGHTS, flights, shards=12, by="hash:tailnum", replicas=2)
    cluster.put(POINTS, minibatch_sgd.points(20_000)[0], shards=8, replicas=2)
    estimator().fit(cluster.dataset(FLIGHTS), target=TARGET, name=JUDGED)


def main(folder: Path, output: Path, kind: str) -> None:
    with mx.connect(dir=folder) as cluster:
        print(DO[kind](cluster, output))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
