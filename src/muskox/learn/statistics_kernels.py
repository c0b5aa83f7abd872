"""The inner loops of statistics: what there is to tell of each numeric column of a block, piece by piece in a core's cache."""

# mypy: disable-error-code="untyped-decorator,no-any-return"

from typing import Any

import numpy as np
from numba import njit, types

from muskox.learn.compiled import compiled_for
from muskox.learn.lines import ADDRESSES, READ, TYPES, line
from muskox.learn.sums import folded, sum_of

PIECE = 1024  # rows; a power of two
TOLD = 7  # of each column: count, mean, squared deviations, least, greatest, the row of the first infinity or -1, missing rows


@njit(nogil=True)
def extremes(x: Any, rows: int, low: Any, high: Any) -> tuple[float, float]:
    """Return the least and the greatest of x[:rows], none of them NaN: of each place in a piece first, then of all places."""
    low[:] = np.inf
    high[:] = -np.inf
    for first in range(0, rows, PIECE):
        here = min(PIECE, rows - first)
        part = x[first : first + here]
        for i in range(here):
            low[i] = min(low[i], part[i])
        for i in range(here):
            high[i] = max(high[i], part[i])
    half = PIECE
    while half > 1:
        half //= 2
        for i in range(half):
            low[i] = min(low[i], low[half + i])
            high[i] = max(high[i], high[half + i])
    return low[0], high[0]


@njit(nogil=True)
def describe_present(x: Any, weights: Any, rows: int, scratch: Any, high: Any, out: Any) -> None:
    """Describe x[:rows], none of them NaN; `weights` as many, or of size 0. Weights of 1 give the bits that no weights give."""
    count, total, squares = float(rows), 0.0, 0.0
    least, greatest = extremes(x, rows, scratch, high)
    if weights.size:
        count = 0.0
        for first in range(0, rows, PIECE):
            here = min(PIECE, rows - first)
            count += sum_of(weights[first : first + here], here, scratch)
    for first in range(0, rows, PIECE):
        here = min(PIECE, rows - first)
        part = x[first : first + here]
        for i in range(here):
            scratch[i] = part[i]
        if weights.size:
            factors = weights[first : first + here]
            for i in range(here):
                scratch[i] *= factors[i]
        total += folded(scratch, here)
    out[0], out[3], out[4] = count, least, greatest
    if rows == 0 or np.isinf(least) or np.isinf(greatest):
        return
    if not np.isfinite(total):  # numbers so great that their sum is infinite, or that of some less that of others
        out[2] = np.inf
        return
    mean = total / count
    for first in range(0, rows, PIECE):
        here = min(PIECE, rows - first)
        part = x[first : first + here]
        for i in range(here):
            deviation = part[i] - mean
            scratch[i] = deviation * deviation
        if weights.size:
            factors = weights[first : first + here]
            for i in range(here):
                scratch[i] *= factors[i]
        squares += folded(scratch, here)
    out[1], out[2] = mean, squares


def describe(addresses: Any, like: Any, rows: int, weights: Any, out: Any) -> None:
    """Describe each column: NaN is missing, and mean and squares are 0 where an infinity is.

    weights : above 0, shape (rows,), or of size 0, where each row counts once
    out : shape (columns, TOLD)
    """
    scratch, high = np.empty(PIECE), np.empty(PIECE)
    present, kept = np.empty(0), np.empty(0)
    for j in range(addresses.size):
        x, told = line(addresses, like, j, 0, rows), out[j]
        told[:] = 0.0
        known = 0
        for i in range(rows):
            known += x[i] == x[i]
        if known == rows:
            describe_present(x, weights, rows, scratch, high, told)
        else:
            if not present.size:
                present, kept = np.empty(rows), np.empty(weights.size)
            place = 0
            for i in range(rows):
                if x[i] == x[i]:
                    present[place] = x[i]
                    if weights.size:
                        kept[place] = weights[i]
                    place += 1
            describe_present(present, kept, known, scratch, high, told)
        told[6] = rows - known
        told[5] = -1.0
        if told[3] <= told[4] and (np.isinf(told[3]) or np.isinf(told[4])):
            for i in range(rows - 1, -1, -1):
                if np.isinf(x[i]):
                    told[5] = i


OUT = types.Array(types.float64, 2, "C")

describe = compiled_for(*(types.void(ADDRESSES, X, types.int64, READ, OUT) for X in TYPES))(describe)
