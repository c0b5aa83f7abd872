"""What is compiled ahead is all that there is to compile."""

import subprocess
import sys

TOLD = """
import importlib, pkgutil, sys
from numba.core.dispatcher import Dispatcher
import muskox.learn
from muskox.client.ahead import compile_all

compile_all()
kernels = set()
for module in pkgutil.walk_packages(muskox.learn.__path__, "muskox.learn."):
    kernels |= {each for each in vars(importlib.import_module(module.name)).values() if isinstance(each, Dispatcher)}
called = {each.py_func.__globals__.get(name) for each in kernels for name in each.py_func.__code__.co_names}
print(len(kernels - called))
print(*sorted(f"{each.__module__}.{each.__name__}" for each in kernels - called if not each.signatures), sep="\\n")
"""


def test_every_kernel_that_is_called_from_python_is_compiled_ahead() -> None:
    """In a process of its own: others' fits would compile what is left out here. What other kernels call goes with them."""
    done = subprocess.run([sys.executable, "-c", TOLD], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    count, *missing = done.stdout.split()
    assert int(count) > 30 and missing == []
