"""The determinism contract: one digest whatever BLAS, threads and CPU features a process is given.

Each case is a child process, because these settings count only before NumPy is imported. The data are made without
transcendental functions, for those of NumPy differ by CPU.
"""

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest
from numpy._core import _multiarray_umath as umath

PINS = ("OPENBLAS_", "OMP_", "NPY_", "MKL_", "NUMBA_CPU", "GLIBC_TUNABLES")
DISPATCHED = list(umath.__cpu_dispatch__)  # of this NumPy on this architecture: what can be switched off
PROGRAM = """
import hashlib
import numpy as np, pyarrow as pa
from muskox.digest import digest
from muskox.evaluate import CheckedEvaluation, EvaluateProgram
from muskox.learn import LinearSVC, LinearSVR, LogisticRegression, Ridge, SGDClassifier, SGDRegressor
from muskox.learn import distributed_gradient_descent
from muskox.program import ArrayPartition, RunOptions, in_process

rng = np.random.Generator(np.random.Philox(7))
rows = 20_000
x = rng.random((5, rows)) * [[1.0], [10.0], [1e4], [1e-3], [3.0]] - 0.4
x[1, ::7] = np.nan
city = [None if i % 11 == 0 else ("a", "bb", "ccc", "é", "")[i * i % 5] for i in range(rows)]
month = rng.integers(1, 13, rows)
late = x[0] + 0.1 * (month % 3) + 0.3 * rng.random(rows) > 0.5
columns = {f"x{i}": pa.array(x[i], from_pandas=True) for i in range(5)}
table = pa.table({**columns, "city": city, "month": month, "late": late})
digests = []
for parameters in ({}, {"solver": "gd", "max_rounds": 15}, {"standardise": False}, {"categorical": ("month",), "C": 0.1}):
    for shards in (1, 5):
        model = LogisticRegression(**parameters).fit(table, target="late", shards=shards)
        digests.append(model.digest_)
for solver in ("sgd", "adam", "average"):
    for loss in ("hinge", "log_loss"):
        model = SGDClassifier(solver=solver, loss=loss, max_epochs=2).fit(table, target="late", shards=3)
        digests.append(model.digest_)
digests.append(SGDRegressor(max_epochs=2).fit(table, target="x4", shards=3).digest_)
narrow = np.round(x[[0, 2, 4]] * 64).T.astype(np.float32)  # kept as float32
for fitted in (
    LogisticRegression(max_rounds=15).fit(narrow, month, shards=2),
    LogisticRegression(max_rounds=15, penalty="l1", C=0.01).fit(narrow, late, month, shards=2),
    LogisticRegression(max_rounds=15, hashed=["city"], hash_features=32).fit(table, target="late", shards=2),
    LinearSVC(loss="hinge", max_rounds=20).fit(narrow, late),
    LinearSVC(max_rounds=20).fit(table, target="late", shards=2),
    LinearSVR(epsilon=0.1, max_rounds=20).fit(narrow, x[0]),
    LinearSVR(loss="squared_epsilon_insensitive", max_rounds=20).fit(table, target="x0"),
    Ridge().fit(narrow, x[4], month, shards=2),
    Ridge(solver="lbfgs").fit(table, target="x2"),
):
    digests.append(fitted.digest_)
evaluation = in_process(table, ArrayPartition(3)).run(EvaluateProgram(model.model_record_, "late"), RunOptions())
judged = [digest(evaluation.result)]
months = LogisticRegression(max_rounds=5).fit(table, target="month")
scored = [(model, "late"), (Ridge().fit(table, target="x4"), "x4"), (months, "month")]
for fitted, target in scored:
    looked = in_process(table, ArrayPartition(3)).run(CheckedEvaluation(fitted.model_record_, target), RunOptions())
    judged.append(digest(looked.result))
weights = distributed_gradient_descent(x[[0, 4]].T, x[0] - x[4], 3, 0.2)
print(digest({"X": model.encoder_.transform(table), "w": weights, "digests": digests}))
print(digest({"p": model.predict_proba(table), "judged": judged}))
"""


def run(settings: Mapping[str, str]) -> list[str]:
    """The digest of all that was learned, and that of predictions and evaluations."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PINS)}
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**clean, **settings}, capture_output=True, text=True, timeout=120, check=False
    )
    assert child.returncode == 0, child.stderr
    return child.stdout.split()


@pytest.fixture(scope="module")
def unpinned() -> list[str]:
    return run({})


@pytest.mark.parametrize(
    "settings",
    [
        {"OPENBLAS_CORETYPE": "Haswell"},
        {"OPENBLAS_CORETYPE": "SkylakeX"},
        {"OPENBLAS_CORETYPE": "Prescott"},
        {"NUMBA_CPU_NAME": "generic"},
        {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"},
        *({"NPY_DISABLE_CPU_FEATURES": " ".join(DISPATCHED[first:])} for first in range(len(DISPATCHED))),
    ],
    ids=lambda settings: ",".join(f"{name}={value}" for name, value in settings.items()),
)
def test_one_digest_whatever_the_process_is_given(settings: dict[str, str], unpinned: list[str]) -> None:
    assert [len(each) for each in unpinned] == [64, 64]
    assert run(settings) == unpinned


def test_models_have_one_digest_whichever_variants_of_exp_log_and_pow_the_c_library_takes(unpinned: list[str]) -> None:
    """Those for CPUs without fused multiplication have other bits, and so may probabilities, which are by SciPy's expit."""
    assert run({"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F"})[0] == unpinned[0]
