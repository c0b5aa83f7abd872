"""Products of matrices whose bits depend on no BLAS, no thread and no vector width, nor a row's on the batch that it is in.

Each element of a result is one sum in a fixed order; the inner loops run over independent elements, so that whatever the
compiler makes of them (vectors of two or of sixteen) adds the same numbers in the same order. Four terms are added at a time,
one after the other, which saves loads and stores, and the terms come in stripes that stay in a cache while all rows pass them:
neither changes a bit.
"""

import numpy as np

from muskox.learn.columns import Floats
from muskox.learn.compiled import compiled
from muskox.records import Array

STRIPE_TERMS = 64  # of 256 float64 columns 128 KB; a multiple of four


def product(left: Floats, right: Floats) -> Floats:
    """Return the product of C-ordered matrices, shapes (rows, inner) and (inner, columns)."""
    out = np.zeros((len(left), right.shape[1]))
    add_product(left, right, out)
    return out


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
