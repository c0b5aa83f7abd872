"""Sums for kernels: each in a fixed order that vectors can follow, quarter by quarter; compiled into kernels that call them."""

# mypy: disable-error-code="untyped-decorator,no-any-return"

from typing import Any

from numba import njit


@njit(nogil=True)
def folded(values: Any, count: int) -> float:
    """Return the sum of values[:count], which it spoils: its first quarter plus the next quarters, again and again."""
    tail = 0.0
    while count >= 16:
        part = count // 4
        for i in range(4 * part, count):
            tail += values[i]
        v1, v2, v3 = values[part:], values[2 * part :], values[3 * part :]
        for i in range(part):
            values[i] = (values[i] + v1[i]) + (v2[i] + v3[i])
        count = part
    for i in range(count):
        tail += values[i]
    return tail


@njit(nogil=True)
def sum_of(values: Any, count: int, scratch: Any) -> float:
    """Return the sum of values[:count]."""
    for i in range(count):
        scratch[i] = values[i]
    return folded(scratch, count)


@njit(nogil=True)
def sum_of_products(x: Any, r: Any, count: int, scratch: Any) -> float:
    """Return the sum of x[i] * r[i]."""
    part = count // 4
    x1, x2, x3 = x[part:], x[2 * part :], x[3 * part :]
    r1, r2, r3 = r[part:], r[2 * part :], r[3 * part :]
    for i in range(part):
        scratch[i] = (x[i] * r[i] + x1[i] * r1[i]) + (x2[i] * r2[i] + x3[i] * r3[i])
    tail = 0.0
    for i in range(4 * part, count):
        tail += x[i] * r[i]
    return folded(scratch, part) + tail
