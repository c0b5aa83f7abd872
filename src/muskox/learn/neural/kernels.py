"""Kernels of dense layers: products of matrices whose bits depend on no BLAS, no thread and no vector width.

Each element of a result is one sum in a fixed order; the inner loops run over independent elements, so that whatever the
compiler makes of them (vectors of two or of sixteen) adds the same numbers in the same order. Without ``fastmath`` it neither
reorders nor contracts. Four terms are added at a time, one after the other, which saves loads and stores and changes no bit.
"""

from typing import Any

from numba import njit

from muskox.records import Array

compiled: Any = njit(cache=True)


@compiled  # type: ignore[untyped-decorator]
def add_product(left: Array, right: Array, out: Array) -> None:
    """Add the product of `left`, shape (rows, inner), and `right`, shape (inner, columns), to `out`; C-ordered, of one dtype.

    Terms whose left factors are 0 are left out: what ReLUs and indicators multiply is mostly that.
    """
    rows, inner = left.shape
    columns = right.shape[1]
    whole = inner - inner % 4
    for i in range(rows):
        for k in range(0, whole, 4):
            a, b, c, d = left[i, k], left[i, k + 1], left[i, k + 2], left[i, k + 3]
            if a == 0.0 and b == 0.0 and c == 0.0 and d == 0.0:
                continue
            for j in range(columns):
                out[i, j] = (((out[i, j] + a * right[k, j]) + b * right[k + 1, j]) + c * right[k + 2, j]) + d * right[k + 3, j]
        for k in range(whole, inner):
            a = left[i, k]
            if a != 0.0:
                for j in range(columns):
                    out[i, j] = out[i, j] + a * right[k, j]


@compiled  # type: ignore[untyped-decorator]
def add_outer(left: Array, right: Array, out: Array) -> None:
    """Add the sum over rows of the outer products of `left`, shape (rows, n), and `right`, shape (rows, m), to `out`."""
    rows, inner = left.shape
    columns = right.shape[1]
    whole = rows - rows % 4
    for i in range(0, whole, 4):
        for k in range(inner):
            a, b, c, d = left[i, k], left[i + 1, k], left[i + 2, k], left[i + 3, k]
            if a == 0.0 and b == 0.0 and c == 0.0 and d == 0.0:
                continue
            for j in range(columns):
                out[k, j] = (((out[k, j] + a * right[i, j]) + b * right[i + 1, j]) + c * right[i + 2, j]) + d * right[i + 3, j]
    for i in range(whole, rows):
        for k in range(inner):
            a = left[i, k]
            if a != 0.0:
                for j in range(columns):
                    out[k, j] = out[k, j] + a * right[i, j]
