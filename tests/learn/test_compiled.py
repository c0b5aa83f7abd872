"""Compiled kernels: what is kept on disk is used only for the very code that it was made from."""

import os
import subprocess
import sys
from pathlib import Path

KERNEL = """
from muskox.learn.compiled import compiled_for
from helping import twice

def kernel(x):
    return twice(x)

kernel = compiled_for("f8(f8)")(kernel)
print(kernel(3.0), sum(kernel.stats.cache_hits.values()))
"""
HELPER = """
from numba import njit
FACTOR = {factor}

@njit
def twice(x):
    return FACTOR * x
"""


def told(folder: Path) -> str:
    command = [sys.executable, "-c", "import kernel"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_a_kernel_is_compiled_anew_when_what_it_calls_in_another_file_has_changed(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    (tmp_path / "helping.py").write_text(HELPER.format(factor=2.0))
    assert (told(tmp_path), told(tmp_path)) == ("6.0 0", "6.0 1")
    (tmp_path / "helping.py").write_text(HELPER.format(factor=5.0))
    assert told(tmp_path) == "15.0 0"
