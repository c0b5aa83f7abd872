"""One digest on a cluster too, whatever environment its processes are started in: core types, threads, CPU features."""

import os
import subprocess
import sys

import pyarrow as pa
import pytest
from killing import ROUNDS_MAX, C
from numpy._core import _multiarray_umath as umath
from whole_path_data import BY, FEATURES, SHARDS, TARGET

PINS = ("OPENBLAS_", "OMP_", "NPY_", "MKL_")
PROGRAM = f"""
import sys, pyarrow as pa, muskox as mx
flights = pa.ipc.open_file(sys.argv[1]).read_all()
with mx.local(nodes=2) as cluster:
    dataset = cluster.put("flights", flights, shards={SHARDS}, by={BY!r}, replicas=2)
    parameters = dict(C={C}, max_rounds={ROUNDS_MAX}, tol=1e-13, features={FEATURES!r}, categorical=("month", "hour"))
    print(mx.LogisticRegression(**parameters).fit(dataset, target={TARGET!r}).digest_)
"""


@pytest.fixture(scope="module")
def flights_file(flights, tmp_path_factory):
    path = tmp_path_factory.mktemp("flights") / "flights.arrow"
    with pa.ipc.new_file(str(path), flights.schema) as writer:
        writer.write_table(flights)
    return path


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        {"OPENBLAS_CORETYPE": "SkylakeX", "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"},
        {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": " ".join(umath.__cpu_dispatch__)},
    ],
    ids=["unset", "haswell-1", "skylakex-2", "prescott-no-dispatch"],
)
def test_a_cluster_started_in_any_environment_gives_the_same_bits(flights_file, expected, settings: dict[str, str]) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PINS)}
    command = [sys.executable, "-c", PROGRAM, str(flights_file)]
    child = subprocess.run(command, env={**clean, **settings}, capture_output=True, text=True, timeout=120, check=False)
    assert child.returncode == 0, child.stderr
    assert child.stdout.strip() == expected
