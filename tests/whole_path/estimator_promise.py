"""What every estimator must show on a real cluster: 1, 2, 3 and 5 workers, a kill in the middle, and in process: one digest."""

import os
import random
import signal
from typing import Any

import pyarrow as pa

import muskox as mx
from muskox.program import Runs

ATTEMPTS = 8  # at a kill that lands: a short job may be over before
WORKERS = (1, 2, 3, 5)


def check_one_digest(
    cluster: mx.Cluster, dataset: Runs, table: pa.Table, estimator: Any, target: str | None, **fit: Any
) -> None:
    """Train `estimator` in process on `table`, cut as `dataset` is (which holds the same rows), and in all other ways; compare.

    fit : what else to say to every fit, the `shards` and `by` of the dataset among it
    """
    cut = {name: fit.pop(name) for name in ("shards", "by") if name in fit}
    whole = estimator.fit(table, target=target, **cut, **fit).digest_
    for workers in WORKERS:
        assert estimator.fit(dataset, target=target, workers=workers, **fit).digest_ == whole, f"{workers} workers"
    name = f"killed-{type(estimator).__name__.lower()}"
    assert killed(cluster, dataset, estimator, target, name, **fit) == whole, "a worker was killed in the middle"


def killed(cluster: mx.Cluster, dataset: Runs, estimator: Any, target: str | None, name: str, **fit: Any) -> str:
    """Return the digest of the model of a training one of whose workers was killed while it ran.

    The blow falls when the job has workers, or after a drawn round. It counts if the job went on in another generation.
    """
    draw = random.Random(f"kill/{name}")
    for attempt in range(ATTEMPTS):
        job = cluster.submit(estimator, dataset, target, name=f"{name}-{attempt}", **fit)
        after = draw.randrange(3) if attempt < ATTEMPTS // 2 else 0
        for report in cluster.follow(job):
            if report.round >= after:
                break
        workers = cluster.job(job)["workers"]
        if workers:
            try:
                os.kill(draw.choice(workers)["pid"], signal.SIGKILL)
            except ProcessLookupError:
                continue
        if cluster.wait(job)["state"] == "done" and cluster.job(job)["generation"] > 1:
            return str(cluster.model_info(f"{name}-{attempt}")["digest"])
    raise AssertionError(f"no kill landed in {ATTEMPTS} trainings: they are over too soon")
