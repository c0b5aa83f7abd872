"""What is fixed about a process that computes, before NumPy is loaded: a pin set after ``import numpy`` does nothing.

BLAS gets a core type, Numba a CPU without extensions: what it compiles then is the same code on every machine. PyTorch and the
libraries that it calls (MKL, oneDNN) get the plainest of their kernels, which every CPU of the architecture has.

The linear family needs none of it (it calls no BLAS); user programs and PyTorch's modules do. One thread a worker: a BLAS
splits its sums by threads.
"""

import os
import platform
from pathlib import Path

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
EVERYWHERE = {
    "NUMBA_CPU_NAME": "generic",
    "ATEN_CPU_CAPABILITY": "default",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # without it cuBLAS refuses to be deterministic
}
BY_MACHINE = {  # the least that current machines of the architecture have
    "x86_64": {
        "OPENBLAS_CORETYPE": "HASWELL",
        "MKL_CBWR": "COMPATIBLE",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "DNNL_MAX_CPU_ISA": "SSE41",
    },
    "aarch64": {"OPENBLAS_CORETYPE": "ARMV8"},
}
STARTED_WITH = Path("/proc/self/environ")  # the environment at exec, which no later change touches


def pinned_environment() -> dict[str, str]:
    """Return the variables that a process must be started with for its bits to be those of any other."""
    return {**dict.fromkeys(THREAD_VARIABLES, "1"), **EVERYWHERE, **BY_MACHINE.get(platform.machine(), {})}


def pin_environment() -> None:
    """Fix what this process's children compute with, whatever the user's shell exports."""
    os.environ.update(pinned_environment())


def is_pinned() -> bool:
    """Return whether this process, or that which it was forked from, was started with the pins."""
    try:
        entries = STARTED_WITH.read_bytes().split(b"\0")
    except OSError:  # no Linux: what it would have been started with if nobody has changed it
        return all(os.environ.get(name) == value for name, value in pinned_environment().items())
    return all(f"{name}={value}".encode() in entries for name, value in pinned_environment().items())
