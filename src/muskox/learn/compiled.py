"""Compiled: how kernels are compiled by Numba: no fast arithmetic, one thread, without the interpreter's lock, kept on disk.

Without ``fastmath`` LLVM neither reorders nor contracts, so a kernel's bits are those of its loops as written, on any CPU. Only
files of kernels import this one, and only programs that need a kernel import those: importing Numba and loading its compiler
take half a second. Workers are forked from a process that has done both.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(kernel: Kernel) -> Kernel:
    """Return `kernel` compiled when first called; machine code is kept where Numba finds a place that it may write to."""
    return _made(kernel, None, {})


def compiled_for(*signatures: Any) -> Callable[[Kernel], Kernel]:
    """Return what compiles a kernel for these types at once, and keeps it likewise. A division by 0 is no error there."""
    return lambda kernel: _made(kernel, list(signatures), {"error_model": "numpy"})


def _made(kernel: Kernel, signatures: list[Any] | None, options: dict[str, Any]) -> Kernel:
    try:
        made: Kernel = numba.njit(signatures, nogil=True, cache=True, **options)(kernel)
    except RuntimeError:  # no place where it may be kept: each process compiles anew
        made = numba.njit(signatures, nogil=True, **options)(kernel)
    return made


@compiled
def is_even(number: int) -> bool:
    """Return whether `number` is even: the first kernel, which loads the compiler."""
    return number % 2 == 0


is_even(0)
