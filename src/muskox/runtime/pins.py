"""What is fixed about a process that computes, before NumPy is loaded: a pin set after ``import numpy`` does nothing.

BLAS gets a core type, Numba a CPU without extensions: what it compiles then is the same code on every machine.

The linear family needs none of it (it calls no BLAS); user programs and later estimators may. One thread a worker: a BLAS
splits its sums by threads.
"""

import os
import platform

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
CORE_TYPES = {"x86_64": "HASWELL", "aarch64": "ARMV8"}  # the least that current machines of the architecture have


def pin_environment() -> None:
    """Fix BLAS core type and threads for this process's children, whatever the user's shell exports."""
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"
    core_type = CORE_TYPES.get(platform.machine())
    if core_type is not None:
        os.environ["OPENBLAS_CORETYPE"] = core_type
    os.environ["NUMBA_CPU_NAME"] = "generic"
