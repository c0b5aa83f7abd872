"""Kernels of dense layers: products of matrices whose bits depend on no BLAS, no thread and no vector width.

Each element of a result is one sum in a fixed order; the inner loops run over independent elements, so that whatever the
compiler makes of them (vectors of two or of sixteen) adds the same numbers in the same order. Four terms are added at a time,
one after the other, which saves loads and stores, and the terms come in stripes that stay in a cache while all rows pass them:
neither changes a bit.
"""

from muskox.learn.compiled import compiled
from muskox.records import Array

STRIPE_TERMS = 64  # of 256 float64 columns 128 KB; a multiple of four


@compiled
def add_product(left: Array, right: Array, out: Array) -> None:
    """Add the product of `left`, shape (rows, inner), and `right`, shape (inner, columns), to `out`; C-ordered, of one dtype.

    Four terms whose left factors are all 0 are left out: what ReLUs and indicators multiply is mostly that.
    """
    rows, inner = left.shape
    columns = right.shape[1]
    for first in range(0, inner, STRIPE_TERMS):
        end = min(first + STRIPE_TERMS, inner)
        whole = end - (end - first) % 4
        for i in range(rows):
            for k in range(first, whole, 4):
                a, b, c, d = left[i, k], left[i, k + 1], left[i, k + 2], left[i, k + 3]
                if a == 0.0 and b == 0.0 and c == 0.0 and d == 0.0:
                    continue
                for j in range(columns):
                    near = (out[i, j] + a * right[k, j]) + b * right[k + 1, j]
                    out[i, j] = (near + c * right[k + 2, j]) + d * right[k + 3, j]
            for k in range(whole, end):
                a = left[i, k]
                if a != 0.0:
                    for j in range(columns):
                        out[i, j] = out[i, j] + a * right[k, j]


@compiled
def add_outer(left: Array, right: Array, out: Array) -> None:
    """Add the sum over rows of the outer products of `left`, shape (rows, n), and `right`, shape (rows, m), to `out`."""
    rows, inner = left.shape
    columns = right.shape[1]
    whole = rows - rows % 4
    for first in range(0, inner, STRIPE_TERMS):
        end = min(first + STRIPE_TERMS, inner)
        for i in range(0, whole, 4):
            for k in range(first, end):
                a, b, c, d = left[i, k], left[i + 1, k], left[i + 2, k], left[i + 3, k]
                if a == 0.0 and b == 0.0 and c == 0.0 and d == 0.0:
                    continue
                for j in range(columns):
                    near = (out[k, j] + a * right[i, j]) + b * right[i + 1, j]
                    out[k, j] = (near + c * right[i + 2, j]) + d * right[i + 3, j]
        for i in range(whole, rows):
            for k in range(first, end):
                a = left[i, k]
                if a != 0.0:
                    for j in range(columns):
                        out[k, j] = out[k, j] + a * right[i, j]


@compiled
def rectify(values: Array) -> None:
    """Put 0 in the place of what is 0 or less, shape (rows, columns); what is no number stays, so that it shows in the loss."""
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            value = values[i, j]
            values[i, j] = 0.0 if value <= 0.0 else value


@compiled
def rectify_slopes(values: Array, slopes: Array) -> None:
    """Put 0 in the place of each slope whose rectified value is 0."""
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            if values[i, j] == 0.0:
                slopes[i, j] = 0.0
