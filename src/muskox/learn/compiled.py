"""Compiled: how kernels are compiled by Numba: no fast arithmetic, one thread, without the interpreter's lock, kept on disk.

Without ``fastmath`` LLVM neither reorders nor contracts, so a kernel's bits are those of its loops as written, on any CPU. What
is kept is told apart by the code that it was made from, which may lie in several files. Only files of kernels import this one,
and only programs that need a kernel import those: importing Numba and loading its compiler take half a second. Workers are
forked from a process that has done both.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import CodeType
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher
from numba.extending import _Intrinsic

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(kernel: Kernel) -> Kernel:
    """Return `kernel` compiled when first called; machine code is kept where Numba finds a place that it may write to."""
    return _made(kernel, None, {})


def compiled_for(*signatures: Any) -> Callable[[Kernel], Kernel]:
    """Return what compiles a kernel for these types at once, and keeps it likewise. A division by 0 is no error there."""
    return lambda kernel: _made(kernel, signatures, {"error_model": "numpy"})


def _made(kernel: Kernel, signatures: tuple[Any, ...] | None, options: dict[str, Any]) -> Kernel:
    made = numba.njit(nogil=True, **options)(kernel)
    with suppress(RuntimeError):  # there is no place where it may be kept: each process compiles anew
        made._cache = _Cache(kernel)
    if signatures is not None:
        for signature in signatures:
            made.compile(signature)
        made.disable_compile()
    return cast(Kernel, made)


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's, with what a kernel calls in its keys: that may lie in other files, whose changes Numba does not see."""

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        called = hashlib.sha256()
        for part in parts_of(self._py_func, set()):
            called.update(part)
        return (*super()._index_key(sig, codegen), called.hexdigest())


def parts_of(function: Any, seen: set[Any]) -> Iterator[bytes]:
    """Yield what a function's machine code is made from: bytecode and constants, its own and of compiled ones that it calls."""
    if function in seen:
        return
    seen.add(function)
    yield from code_of(function.__code__)
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, Dispatcher):
            yield from parts_of(value.py_func, seen)
        elif isinstance(value, _Intrinsic):
            yield from parts_of(value._defn, seen)
        elif isinstance(value, bool | int | float | str):
            yield repr((name, value)).encode()


def code_of(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from code_of(constant)
        else:
            yield repr(constant).encode()


@compiled
def is_even(number: int) -> bool:
    """Return whether `number` is even: the first kernel, which loads the compiler."""
    return number % 2 == 0


is_even(0)
