"""Spark MLlib or Dask-ML fits the rows of a Parquet file: a process of its own, started by bench/estimators.py.

Rows are in the peer's memory, in its own form, before the clock starts. Prints a line of JSON: who, seconds, coef,
intercept; {} where the peer has no such estimator.

    python bench/estimator_peers.py spark|dask logistic|svm|ridge|kmeans ROWS.parquet
"""

import json
import sys
import time
from typing import Any

CLUSTERS = 8


def spark(contest: str, path: str) -> dict[str, Any]:
    if contest == "svm":
        return {}  # its LinearSVC minimises the hinge, the contest is one of the squared hinge
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.clustering import KMeans
    from pyspark.ml.feature import VectorAssembler
    from pyspark.ml.regression import LinearRegression
    from pyspark.sql import SparkSession

    settings = {"spark.driver.memory": "8g", "spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1"}
    builder = SparkSession.builder.master("local[2]").appName("peer")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    rows = session.read.parquet(path)
    names = [name for name in rows.columns if name != "y"]
    rows = VectorAssembler(inputCols=names, outputCol="features").transform(rows).select("features", "y").cache()
    count = rows.count()
    # Spark's objective is the mean loss + regParam / 2 |w|^2, so regParam is 1 / (C n); of least squares, (1/2n) |r|^2 + ...
    makers = {
        "logistic": lambda: LogisticRegression(
            labelCol="y", regParam=1.0 / count, standardization=False, maxIter=200, tol=1e-6
        ),
        "ridge": lambda: LinearRegression(labelCol="y", regParam=1.0 / count, standardization=False, solver="normal"),
        "kmeans": lambda: KMeans(k=CLUSTERS, seed=1, maxIter=300, tol=1e-4),
    }
    estimator = makers[contest]()
    start = time.perf_counter()
    model = estimator.fit(rows)
    seconds = time.perf_counter() - start
    if contest == "kmeans":
        coef, intercept = [centre.tolist() for centre in model.clusterCenters()], 0.0
    else:
        coef, intercept = model.coefficients.toArray().tolist(), float(model.intercept)
    session.stop()
    return {"who": "Spark MLlib", "seconds": seconds, "coef": coef, "intercept": intercept}


def dask(contest: str, path: str) -> dict[str, Any]:
    if contest not in ("logistic", "kmeans"):
        return {}
    import dask
    import dask.array as da
    import pyarrow.parquet as pq
    from dask_ml.cluster import KMeans
    from dask_ml.linear_model import LogisticRegression

    table = pq.read_table(path)
    import numpy as np

    names = [name for name in table.column_names if name != "y"]
    X = np.column_stack([table.column(name).to_numpy() for name in names])
    rows = -(-len(X) // 8)
    features = da.from_array(X, chunks=(rows, len(names)))
    with dask.config.set(scheduler="threads", num_workers=2):
        if contest == "kmeans":
            start = time.perf_counter()
            found = KMeans(n_clusters=CLUSTERS, random_state=0).fit(features)
            coef, intercept = found.cluster_centers_.tolist(), 0.0
        else:
            target = da.from_array(table.column("y").to_numpy().astype(np.int64), chunks=rows)
            estimator = LogisticRegression(solver="lbfgs", C=1.0, tol=1e-5)
            start = time.perf_counter()
            found = estimator.fit(features, target)
            coef, intercept = np.ravel(found.coef_).tolist(), float(np.ravel(found.intercept_)[0])
        seconds = time.perf_counter() - start
    return {"who": "Dask-ML", "seconds": seconds, "coef": coef, "intercept": intercept}


if __name__ == "__main__":
    who, contest, path = sys.argv[1:]
    print(json.dumps(spark(contest, path) if who == "spark" else dask(contest, path)))
