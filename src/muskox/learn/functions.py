"""Elementary functions of arrays whose bits do not depend on NumPy's vector extensions, as those of its own exp and log do.

They are SciPy's, which call the C library's scalar functions (the determinism contract, section 4 of the design). The C library
has variants of some by CPU, with fused multiplication or without: nodes that differ there have other fingerprints. Kernels take
`elementary.py`'s, which have none.
"""

import numpy as np
from scipy.special import exp2, expit, xlogy

from muskox.learn.columns import Floats

LOG2_E = 1.4426950408889634


def log(x: Floats) -> Floats:
    """Return the natural logarithm; -inf at 0."""
    with np.errstate(divide="ignore"):
        out = xlogy(1.0, x)
        return np.asarray(out, dtype=np.float64)


def exp(x: Floats) -> Floats:
    """Return e**x, to within about ``abs(x)`` units in the last place."""
    return np.asarray(exp2(x * LOG2_E), dtype=np.float64)


def tanh(x: Floats) -> Floats:
    """Return the hyperbolic tangent, to within a unit of 1's last place."""
    out: Floats = 2.0 * expit(2.0 * x) - 1.0
    return out


def softmax(scores: Floats) -> Floats:
    """Return exp(scores) over their sum in each row, shape (rows, classes). Each row is summed in the order of the classes."""
    out = exp(scores - np.max(scores, axis=1, keepdims=True))
    total = out[:, 0].copy()
    for index in range(1, out.shape[1]):
        total += out[:, index]
    out /= total[:, None]
    return out


def log_sum_exp(scores: Floats) -> Floats:
    """Return log(sum(exp(scores))) of each row, shape (rows,), summed in the order of the classes."""
    top = np.max(scores, axis=1)
    total = exp(scores[:, 0] - top)
    for index in range(1, scores.shape[1]):
        total += exp(scores[:, index] - top)
    out: Floats = top + log(total)
    return out
