"""Gradients: the kernels that turn scores into whole gradients and hessians, packed as histograms want them.

Elementary functions are computed here by additions and multiplications in a fixed order, so that no library and no CPU has a
say: exp(x) = 2**k exp(r) with |r| <= ln(2) / 2, by Taylor's polynomial of degree 13, to within about two units in the last
place.
"""

import math
from typing import Any

import numba
import numpy as np

from muskox.learn.trees.histograms import GRADIENT_MOST, HESSIAN_BITS, HESSIAN_MOST
from muskox.learn.trees.kernels import kernel

LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # fdlibm's two parts of ln(2)
EXPONENT_MOST = 700.0
_POWERS = np.array([2.0**k for k in range(-1022, 1024)])
_TAYLOR = tuple(1.0 / math.factorial(k) for k in range(13, -1, -1))


@numba.njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def exp(x: Any) -> Any:
    x = min(max(x, -EXPONENT_MOST), EXPONENT_MOST)
    k = math.floor(x * LOG2_E + 0.5)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    total = 0.0
    for c in _TAYLOR:
        total = total * r + c
    return total * _POWERS[int(k) + 1022]


@numba.njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def packed_of(gradient: Any, hessian: Any) -> Any:
    """Return both as one integer, in units; no hessian is 0, so that a row shows that it is there."""
    g = np.int64(math.floor(min(max(gradient, -GRADIENT_MOST), GRADIENT_MOST) + 0.5))
    h = np.int64(math.floor(min(max(hessian, 1.0), HESSIAN_MOST) + 0.5))
    return (g << HESSIAN_BITS) + h


@kernel("void(f8[:, ::1], i4[::1], f8[::1], f8[::1], i8[:, ::1])")
def binary_gradients(scores: Any, classes: Any, weights: Any, scales: Any, out: Any) -> None:
    """Gradients of log loss by the log odds of the second class: p - y and p (1 - p), times the row's weight."""
    for row in range(scores.shape[0]):
        p = 1.0 / (1.0 + exp(-scores[row, 0]))
        weight = weights[row] if weights.size else 1.0
        gradient = p if classes[row] == 0 else p - 1.0
        out[0, row] = packed_of(gradient * weight * scales[0], p * (1.0 - p) * weight * scales[1])


@kernel("void(f8[:, ::1], i4[::1], f8[::1], f8[::1], i8[:, ::1])")
def class_gradients(scores: Any, classes: Any, weights: Any, scales: Any, out: Any) -> None:
    """Gradients of log loss by the scores of the classes, of which softmax makes probabilities."""
    count = scores.shape[1]
    shares = np.empty(count)
    for row in range(scores.shape[0]):
        top = scores[row, 0]
        for k in range(1, count):
            top = max(top, scores[row, k])
        total = 0.0
        for k in range(count):
            shares[k] = exp(scores[row, k] - top)
            total += shares[k]
        weight = weights[row] if weights.size else 1.0
        for k in range(count):
            p = shares[k] / total
            gradient = p - 1.0 if classes[row] == k else p
            out[k, row] = packed_of(gradient * weight * scales[0], p * (1.0 - p) * weight * scales[1])


@kernel("void(f8[:, ::1], f8[::1], f8[::1], f8[::1], i8[:, ::1])")
def number_gradients(scores: Any, targets: Any, weights: Any, scales: Any, out: Any) -> None:
    """Gradients of half the squared error: score - target and 1, times the row's weight."""
    for row in range(scores.shape[0]):
        weight = weights[row] if weights.size else 1.0
        gradient = scores[row, 0] - targets[row]
        out[0, row] = packed_of(gradient * weight * scales[0], weight * scales[1])
