"""Kernels of dense layers beside :func:`muskox.learn.products.add_product`: sums of outer products, and ReLUs."""

from muskox.learn.compiled import compiled
from muskox.learn.products import STRIPE_TERMS
from muskox.records import Array


@compiled
def add_outer(left: Array, right: Array, out: Array) -> None:
    """Add the sum over rows of the outer products of `left`, shape (rows, n), and `right`, shape (rows, m), to `out`.

    As in a product, four rows are added at a time, and left out where all of their left factors are 0.
    """
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
