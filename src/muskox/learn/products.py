"""Products of matrices whose every element is one sum in a fixed order, so that a row has the same bits in any batch."""

from typing import Any

import numpy as np

from muskox.learn.columns import Floats
from muskox.learn.compiled import compiled


def product(left: Floats, right: Floats) -> Floats:
    """Return the product of C-ordered matrices, shapes (rows, inner) and (inner, columns)."""
    out = np.empty((len(left), right.shape[1]))
    multiply(left, right, out)
    return out


@compiled
def multiply(left: Any, right: Any, out: Any) -> None:
    rows, inner = left.shape
    columns = right.shape[1]
    for row in range(rows):
        for column in range(columns):
            out[row, column] = 0.0
        for index in range(inner):
            value = left[row, index]
            for column in range(columns):
                out[row, column] += value * right[index, column]
