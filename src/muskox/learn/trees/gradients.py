"""Gradients: the kernels that turn scores into whole gradients and hessians, packed as histograms want them.

exp is our own (`learn/elementary.py`), so that no library and no CPU has a say.
"""

import math
from typing import Any

import numba
import numpy as np

from muskox.learn.compiled import compiled_for
from muskox.learn.elementary import exp_minus
from muskox.learn.trees.histograms import GRADIENT_MOST, HESSIAN_BITS, HESSIAN_MOST


@numba.njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def packed_of(gradient: Any, hessian: Any) -> Any:
    """Return both as one integer, in units; no hessian is 0, so that a row shows that it is there."""
    g = np.int64(math.floor(min(max(gradient, -GRADIENT_MOST), GRADIENT_MOST) + 0.5))
    h = np.int64(math.floor(min(max(hessian, 1.0), HESSIAN_MOST) + 0.5))
    return (g << HESSIAN_BITS) + h


@compiled_for("void(f8[:, ::1], i4[::1], f8[::1], f8[::1], i8[:, ::1])")
def binary_gradients(scores: Any, classes: Any, weights: Any, scales: Any, out: Any) -> None:
    """Gradients of log loss by the log odds of the second class: p - y and p (1 - p), times the row's weight."""
    for row in range(scores.shape[0]):
        z = exp_minus(abs(scores[row, 0]))
        p = (1.0 if scores[row, 0] >= 0.0 else z) / (1.0 + z)
        weight = weights[row] if weights.size else 1.0
        gradient = p if classes[row] == 0 else p - 1.0
        out[0, row] = packed_of(gradient * weight * scales[0], p * (1.0 - p) * weight * scales[1])


@compiled_for("void(f8[:, ::1], i4[::1], f8[::1], f8[::1], i8[:, ::1])")
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
            shares[k] = exp_minus(top - scores[row, k])
            total += shares[k]
        weight = weights[row] if weights.size else 1.0
        for k in range(count):
            p = shares[k] / total
            gradient = p - 1.0 if classes[row] == k else p
            out[k, row] = packed_of(gradient * weight * scales[0], p * (1.0 - p) * weight * scales[1])


@compiled_for("void(f8[:, ::1], f8[::1], f8[::1], f8[::1], i8[:, ::1])")
def number_gradients(scores: Any, targets: Any, weights: Any, scales: Any, out: Any) -> None:
    """Gradients of half the squared error: score - target and 1, times the row's weight."""
    for row in range(scores.shape[0]):
        weight = weights[row] if weights.size else 1.0
        gradient = scores[row, 0] - targets[row]
        out[0, row] = packed_of(gradient * weight * scales[0], weight * scales[1])
