"""Compile the estimators' kernels ahead: for whoever installs muskox for others, or builds an image.

    python -m muskox.client.ahead

Without it the first training on a machine does so: some ten seconds, once. Small fits are run twice, as this process has it and
as workers have it (see `runtime/pins.py`): Numba keeps the code of each on disk, beside the package or in the user's cache.
"""

import os
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pyarrow as pa

import muskox as mx
from muskox import runtime

ROWS = 64


def tables() -> list[Any]:
    """Return rows whose numbers are exact in single precision, and rows whose are not."""
    number = np.arange(ROWS, dtype=np.float64)
    columns: dict[str, Any] = {"a": number % 7.0, "b": number % 3.0, "c": [("x", "y", "z")[row % 3] for row in range(ROWS)]}
    columns |= {"class": (np.arange(ROWS) * 7 % 5) > 1, "kind": np.arange(ROWS) % 3, "amount": number / 2.0}
    return [pa.table(columns), pa.table({**columns, "a": columns["a"] + 0.1})]


def estimators() -> list[tuple[Any, str | None]]:
    """Return estimators that need every kernel, each with the column that it learns to predict."""
    few: dict[str, Any] = {"n_estimators": 2, "max_depth": 2}
    return [
        (mx.LogisticRegression(max_rounds=2), "class"),
        (mx.LogisticRegression(max_rounds=2), "kind"),
        (mx.LogisticRegression(max_rounds=2, hashed=["c"]), "class"),
        (mx.LinearRegression(), "amount"),
        (mx.LinearSVC(max_rounds=2), "class"),
        (mx.LinearSVR(max_rounds=2), "amount"),
        (mx.SGDClassifier(max_rounds=2, tol=None), "class"),
        (mx.SGDClassifier(max_rounds=2, tol=None, solver="average"), "kind"),
        (mx.SGDClassifier(max_rounds=2, tol=None, early_stopping=True), "class"),
        (mx.SGDRegressor(max_rounds=2, tol=None), "amount"),
        (mx.RandomForestClassifier(**few), "kind"),
        (mx.RandomForestRegressor(**few), "amount"),
        (mx.GradientBoostingClassifier(**few), "class"),
        (mx.GradientBoostingClassifier(**few), "kind"),
        (mx.GradientBoostingRegressor(**few), "amount"),
        (mx.KMeans(n_clusters=2, max_rounds=2), None),
        (mx.PCA(n_components=2), None),
        (mx.MLPClassifier(hidden_layer_sizes=(4,), max_rounds=2), "kind"),
    ]


def compile_all() -> None:
    """Fit and predict by every estimator, on a few rows."""
    warnings.simplefilter("ignore")  # nothing here converges
    for table in tables():
        for estimator, target in estimators():
            others = [name for name in ("class", "kind", "amount") if name != target]
            features = table.drop_columns(others)
            fitted = estimator.fit(features, target=target, shards=2)
            fitted.predict_batch(features.to_batches()[0])


if __name__ == "__main__":
    compile_all()
    if not runtime.is_pinned():
        command = [sys.executable, "-m", "muskox.client.ahead"]
        sys.exit(subprocess.run(command, env={**os.environ, **runtime.pinned_environment()}, check=False).returncode)
