"""Fit random forests and boosted trees beside scikit-learn's and XGBoost's, on the same two cores, to the same held-out score.

The rows are generated, shaped like HIGGS: 28 numbers, of which some matter by their products, their signs, their sizes. Forests
run beside RandomForestClassifier(n_jobs=2), boosted trees beside HistGradientBoostingClassifier (OMP_NUM_THREADS=2) and
XGBoost's "hist" (nthread=2), with equal numbers of trees and equal depths of boosted ones. muskox is timed from the Arrow
table on; its peers get the matrix. Runs alternate, the least seconds of each count; what a process does once (compiling,
loading) was done before.

On the cluster (two nodes, one core each, twelve shards) the whole call counts. Its digest must be that of the fit in process.

    python bench/forest.py                    # 200,000 rows
    python bench/forest.py --rows 1000000 --trees 100
    python bench/forest.py --tiny             # for the tests
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")  # before scikit-learn's and XGBoost's OpenMP are loaded

import numpy as np
import pyarrow as pa
import xgboost
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import log_loss, roc_auc_score

import muskox as mx

FEATURES = 28
TEST_ROWS = 50_000
CORES = 2
CLUSTER_SHARDS = 12
SCORE_MARGIN = 0.01  # by which the area under the curve may lie below the peer's


def generated(rows: int, seed: int) -> tuple[Any, Any]:
    """Return numbers, shape (rows, FEATURES), and which rows are signal."""
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(rows, FEATURES))
    score = X[:, 0] * X[:, 1] + np.abs(X[:, 2]) - X[:, 3] * (X[:, 4] > 0.0) + np.sin(2.0 * X[:, 5])
    score += 0.25 * X[:, 6:12].sum(axis=1) + 0.7 * draw.normal(size=rows)
    return X, (score > 0.8).astype(np.int64)


def as_table(X: Any, y: Any) -> Any:
    return pa.table({**{f"x{index}": X[:, index] for index in range(FEATURES)}, "signal": y})


def race(works: dict[str, Callable[[], Any]], times: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the least seconds of each work, and what it returned last; they take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    results = {}
    for _ in range(times):
        for name, work in works.items():
            start = time.perf_counter()
            results[name] = work()
            seconds[name].append(time.perf_counter() - start)
    return {name: min(found) for name, found in seconds.items()}, results


def compared(works: dict[str, Callable[[], Any]], times: int, test: tuple[Any, Any], margin: float) -> dict[str, Any]:
    """Return seconds, scores and ratios of works, the first of which is muskox's."""
    seconds, models = race(works, times)
    probabilities = {name: model.predict_proba(test[0])[:, 1] for name, model in models.items()}
    areas = {name: float(roc_auc_score(test[1], found)) for name, found in probabilities.items()}
    ours, *peers = works
    for peer in peers:
        assert areas[ours] > areas[peer] - margin, f"muskox's area {areas[ours]:.4f} misses that of {peer}, {areas[peer]:.4f}"
    return {
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "auc": {name: round(value, 5) for name, value in areas.items()},
        "log_loss": {name: round(float(log_loss(test[1], found)), 5) for name, found in probabilities.items()},
        "ratios": {peer: round(seconds[ours] / seconds[peer], 3) for peer in peers},
        "rounds": models[ours].n_rounds_,
        "digest": models[ours].digest_,
    }


def on_the_cluster(table: Any, estimators: dict[str, Any], times: int) -> dict[str, Any]:
    """Return the seconds of fits on two workers, and their digests, which must be those of fits in process."""
    with mx.local(nodes=CORES) as cluster:
        dataset = cluster.put("signals", table, shards=CLUSTER_SHARDS, replicas=2)
        works = {name: lambda each=each: each.fit(dataset, target="signal").digest_ for name, each in estimators.items()}
        seconds, digests = race(works, times)
    for name, each in estimators.items():
        here = each.fit(table, target="signal", shards=CLUSTER_SHARDS).digest_
        assert digests[name] == here, f"two workers computed another {name} than the same shards in process"
    return {name: {"seconds": round(seconds[name], 3), "digest": digests[name]} for name in works}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="few rows and trees, one run each")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--trees", type=int, default=50)
    parser.add_argument("--shards", type=int, default=CORES, help="of the fit in process")
    parser.add_argument("--no-cluster", action="store_true")
    options = parser.parse_args(arguments)
    rows, trees, times = (4000, 5, 1) if options.tiny else (options.rows, options.trees, 3)
    margin = 10 * SCORE_MARGIN if options.tiny else SCORE_MARGIN  # of a few trees on a few rows, chance decides
    X, y = generated(rows, seed=0)
    test = generated(2000 if options.tiny else TEST_ROWS, seed=1)
    table = as_table(X, y)
    forest = mx.RandomForestClassifier(n_estimators=trees)
    boosting = mx.GradientBoostingClassifier(n_estimators=trees, max_depth=6)
    for each in (forest, boosting):
        each.fit(table.slice(0, 200), target="signal")  # whoever comes first loads the kernels
    forests = {
        "muskox": lambda: mx.RandomForestClassifier(n_estimators=trees).fit(table, target="signal", shards=options.shards),
        "scikit-learn": lambda: RandomForestClassifier(n_estimators=trees, n_jobs=CORES, random_state=0).fit(X, y),
    }
    peer_options = {"n_estimators": trees, "max_depth": 6, "learning_rate": 0.1}
    boosted = {
        "muskox": lambda: mx.GradientBoostingClassifier(n_estimators=trees, max_depth=6).fit(
            table, target="signal", shards=options.shards
        ),
        "XGBoost": lambda: xgboost.XGBClassifier(tree_method="hist", n_jobs=CORES, **peer_options).fit(X, y),
        "scikit-learn": lambda: HistGradientBoostingClassifier(
            max_iter=trees, max_depth=6, max_leaf_nodes=64, early_stopping=False
        ).fit(X, y),
    }
    report = {
        "rows": rows,
        "trees": trees,
        "shards in process": options.shards,
        "forest": compared(forests, times, test, margin),
        "boosting": compared(boosted, times, test, margin),
    }
    if not options.no_cluster:
        report["on 2 workers"] = on_the_cluster(table, {"forest": forest, "boosting": boosting}, times)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
