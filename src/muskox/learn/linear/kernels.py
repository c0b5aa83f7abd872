"""The inner loops of the linear family, compiled: margins, losses, residuals and gradients of a block of rows in one pass.

A block's numbers are given as :class:`muskox.learn.lines.Lines`, and are walked in pieces that stay in a core's cache.
Every sum has a fixed order: along a row in the order of columns, along a column by quarters of a piece. There is no fast math,
and exp and log are ours (:mod:`muskox.learn.elementary`): so the bits do not depend on the CPU, its vector
extensions or its C library. The loops release the interpreter's lock.

Kernels are compiled when this file is first imported, and kept on disk; see PRELOADED in `runtime/pool.py`.
"""

# mypy: disable-error-code="untyped-decorator,no-any-return"

from typing import Any

import numpy as np
from numba import njit, types

from muskox.learn.compiled import compiled_for
from muskox.learn.elementary import LN2, SQRT2_MINUS_1, atanh_twice, exp_minus, logistic
from muskox.learn.lines import ADDRESSES, READ, TYPES, line
from muskox.learn.sums import sum_of, sum_of_products

LOGISTIC, SQUARED, SQUARED_HINGE, HINGE, INSENSITIVE, SQUARED_INSENSITIVE = range(6)

PIECE_NUMBERS = 1 << 17  # of a piece: 512 kB of float32, in a core's second cache while margins and gradient are found
PIECE_ROWS_MIN, PIECE_ROWS_MAX = 64, 4096
LANES = 8
GRAM_NUMBERS = 1 << 17  # of a piece whose products are summed: 1 MB


@njit(nogil=True)
def rows_of_piece(columns: int) -> int:
    return min(max(PIECE_NUMBERS // max(columns, 1) // LANES * LANES, PIECE_ROWS_MIN), PIECE_ROWS_MAX)


@njit(nogil=True)
def add_margins(addresses: Any, like: Any, weights: Any, first: int, count: int, margin: Any) -> None:
    """Add weights[j] times column j's row first + i to margin[i], j by j."""
    columns = addresses.size
    whole = columns - columns % 4
    for j in range(0, whole, 4):
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        x0 = line(addresses, like, j, first, count)
        x1 = line(addresses, like, j + 1, first, count)
        x2 = line(addresses, like, j + 2, first, count)
        x3 = line(addresses, like, j + 3, first, count)
        for i in range(count):
            margin[i] = (((margin[i] + w0 * x0[i]) + w1 * x1[i]) + w2 * x2[i]) + w3 * x3[i]
    for j in range(whole, columns):
        w0 = weights[j]
        x0 = line(addresses, like, j, first, count)
        for i in range(count):
            margin[i] += w0 * x0[i]


@njit(nogil=True)
def hinge(t: float, width: float) -> tuple[float, float, float]:
    """Return max(t, 0), with its corner rounded over `width` about 0: loss, slope, and the loss itself."""
    half = 0.5 * width
    inside = (t + half) / width
    slope = 0.0 if t <= -half else 1.0 if t >= half else inside
    loss = 0.0 if t <= -half else t if t >= half else 0.5 * width * inside * inside
    return loss, slope, max(t, 0.0)


@njit(nogil=True)
def lose(kind: int, settings: Any, y: Any, margin: Any, loss: Any, exact: Any, count: int) -> None:
    """Put the loss of each row into `loss` (with no corner rounded: `exact`), and its derivative in place of the margin.

    settings : epsilon, and the width over which corners are rounded
    """
    epsilon, width = settings[0], settings[1]
    if kind == LOGISTIC:
        for i in range(count):
            loss[i] = exp_minus(abs(margin[i]))
        for i in range(count):  # two loops, for in one there is too much for a core to look ahead
            m = y[i] * margin[i]
            value, above, below = logistic(loss[i])
            loss[i] = max(-m, 0.0) + value
            margin[i] = -y[i] * (below if m >= 0.0 else above)
    elif kind == SQUARED:
        for i in range(count):
            r = margin[i] - y[i]
            loss[i] = 0.5 * r * r
            margin[i] = r
    elif kind == SQUARED_HINGE:
        for i in range(count):
            t = max(1.0 - y[i] * margin[i], 0.0)
            loss[i] = t * t
            margin[i] = -2.0 * y[i] * t
    elif kind == SQUARED_INSENSITIVE:
        for i in range(count):
            r = margin[i] - y[i]
            t = max(abs(r) - epsilon, 0.0)
            loss[i] = t * t
            margin[i] = 2.0 * t if r >= 0.0 else -2.0 * t
    elif kind == HINGE:
        for i in range(count):
            value, slope, truth = hinge(1.0 - y[i] * margin[i], width)
            loss[i] = value
            exact[i] = truth
            margin[i] = -y[i] * slope
    else:
        for i in range(count):
            r = margin[i] - y[i]
            above, up, above_truth = hinge(r - epsilon, width)
            below, down, below_truth = hinge(-r - epsilon, width)
            loss[i] = above + below
            exact[i] = above_truth + below_truth
            margin[i] = up - down


def evaluate(  # noqa: PLR0913, PLR0917  # a kernel takes arrays, not records
    kind: Any, settings: Any, addresses: Any, like: Any, weights: Any, y: Any, counts: Any, margin: Any, gradient: Any
) -> Any:
    """Add up losses and gradient of a block's rows.

    Parameters
    ----------
    kind : which loss
    settings : shape (2,); see `lose`
    addresses, like : of the columns' lines
    weights : coefficients, shape (columns,)
    y : target, or -1 and 1, shape (rows,)
    counts : the rows' weights, shape (rows,), or of size 0
    margin : what the margins have beside, the intercept say; holds each row's d loss / d margin afterwards
    gradient : shape (columns,), to which the rows' is added

    Returns
    -------
    sum of the losses, of those with no corner rounded, and of d loss / d margin
    """
    columns, rows = addresses.size, margin.size
    piece = rows_of_piece(columns)
    loss, exact, scratch = np.empty(piece), np.empty(piece), np.empty(piece)
    total, total_exact, residuals = 0.0, 0.0, 0.0
    is_rounded = kind in (HINGE, INSENSITIVE)
    for first in range(0, rows, piece):
        count = min(piece, rows - first)
        part = margin[first : first + count]
        add_margins(addresses, like, weights, first, count, part)
        lose(kind, settings, y[first : first + count], part, loss, exact, count)
        if counts.size:
            factors = counts[first : first + count]
            for i in range(count):
                loss[i] *= factors[i]
                part[i] *= factors[i]
            if is_rounded:
                for i in range(count):
                    exact[i] *= factors[i]
        found = sum_of(loss, count, scratch)
        total += found
        total_exact += sum_of(exact, count, scratch) if is_rounded else found
        residuals += sum_of(part, count, scratch)
        for j in range(columns):
            gradient[j] += sum_of_products(line(addresses, like, j, first, count), part, count, scratch)
    return total, total_exact, residuals


def margins(addresses: Any, like: Any, weights: Any, margin: Any) -> None:
    """Add the margins of a block's rows to `margin`, shape (rows,)."""
    rows, piece = margin.size, rows_of_piece(addresses.size)
    for first in range(0, rows, piece):
        count = min(piece, rows - first)
        add_margins(addresses, like, weights, first, count, margin[first : first + count])


def gradients(addresses: Any, like: Any, residual: Any, gradient: Any) -> None:
    """Add column j times residual, summed over the rows, to gradient[j]."""
    columns, rows = addresses.size, residual.size
    piece = rows_of_piece(columns)
    scratch = np.empty(piece)
    for first in range(0, rows, piece):
        count = min(piece, rows - first)
        for j in range(columns):
            x = line(addresses, like, j, first, count)
            gradient[j] += sum_of_products(x, residual[first : first + count], count, scratch)


def soft_lose(  # noqa: PLR0912  # its branches are loops
    y: Any, counts: Any, margin: Any, residuals: Any
) -> float:
    """Return the sum of the multinomial losses, and put d loss / d margin in place of the margins.

    y : index of the class, shape (rows,); margin : shape (classes, rows); residuals : their sums, shape (classes,), are added
    """
    classes, rows = margin.shape
    top, total, loss = np.empty(PIECE_ROWS_MIN), np.empty(PIECE_ROWS_MIN), np.empty(PIECE_ROWS_MIN)
    scratch, whole = np.empty(PIECE_ROWS_MIN), 0.0
    for first in range(0, rows, PIECE_ROWS_MIN):
        count = min(PIECE_ROWS_MIN, rows - first)
        part = margin[:, first : first + count]
        for i in range(count):
            top[i] = part[0, i]
            total[i] = 0.0
            loss[i] = -part[y[first + i], i]
        for k in range(1, classes):
            for i in range(count):
                top[i] = max(top[i], part[k, i])
        for k in range(classes):
            for i in range(count):
                part[k, i] = exp_minus(top[i] - part[k, i])
                total[i] += part[k, i]
        for i in range(count):
            value, halvings = total[i], 0  # from 1 to the number of classes
            while value > SQRT2_MINUS_1 + 1.0:
                value *= 0.5
                halvings += 1
            loss[i] += top[i] + (halvings * LN2 + atanh_twice((value - 1.0) / (value + 1.0)))
            total[i] = 1.0 / total[i]
        for k in range(classes):
            for i in range(count):
                part[k, i] *= total[i]
        for i in range(count):
            part[y[first + i], i] -= 1.0
        if counts.size:
            for i in range(count):
                loss[i] *= counts[first + i]
            for k in range(classes):
                for i in range(count):
                    part[k, i] *= counts[first + i]
        for k in range(classes):
            residuals[k] += sum_of(part[k], count, scratch)
        whole += sum_of(loss, count, scratch)
    return whole


def add_products(addresses: Any, like: Any, mean: Any, scale: Any, y: Any, counts: Any, products: Any) -> None:
    """Add Z' W Z of a block to `products`, shape (columns + 2, columns + 2), its lower half; W are the rows' weights.

    Z : the numbers less `mean`, over `scale`, then a column of ones, then `y`
    """
    columns, rows = addresses.size, y.size
    width = columns + 2
    piece = min(max(GRAM_NUMBERS // width, PIECE_ROWS_MIN), PIECE_ROWS_MAX)
    z, weighted, scratch = np.empty((width, piece)), np.empty((width, piece)), np.empty(piece)
    for first in range(0, rows, piece):
        count = min(piece, rows - first)
        for j in range(columns):
            x, centre, unit = line(addresses, like, j, first, count), mean[j], 1.0 / scale[j]
            for i in range(count):
                z[j, i] = (x[i] - centre) * unit
        for i in range(count):
            z[columns, i] = 1.0
            z[columns + 1, i] = y[first + i]
        if counts.size:
            for j in range(width):
                for i in range(count):
                    weighted[j, i] = z[j, i] * counts[first + i]
        left = weighted if counts.size else z
        for j in range(width):
            for k in range(j + 1):
                products[j, k] += sum_of_products(left[j], z[k], count, scratch)


def narrow(wide: Any, out: Any) -> bool:
    """Put `wide` into the float32s of `out`; say whether that loses nothing (NaN loses)."""
    same = 0
    for i in range(wide.size):
        out[i] = np.float32(wide[i])
    for i in range(wide.size):
        same += np.float64(out[i]) == wide[i]
    return bool(same == wide.size)


REAL, WHOLE = types.float64, types.int64
V = types.Array(REAL, 1, "C")
CLASSES = types.Array(types.int32, 1, "C", readonly=True)
MATRIX = types.Array(REAL, 2, "C")

evaluate = compiled_for(*(types.UniTuple(REAL, 3)(WHOLE, READ, ADDRESSES, X, READ, READ, READ, V, V) for X in TYPES))(evaluate)
margins = compiled_for(*(types.void(ADDRESSES, X, READ, V) for X in TYPES))(margins)
gradients = compiled_for(*(types.void(ADDRESSES, X, READ, V) for X in TYPES))(gradients)
soft_lose = compiled_for(REAL(CLASSES, READ, MATRIX, V))(soft_lose)
add_products = compiled_for(*(types.void(ADDRESSES, X, READ, READ, READ, READ, MATRIX) for X in TYPES))(add_products)
narrow = compiled_for(types.boolean(READ, types.Array(types.float32, 1, "C")))(narrow)
