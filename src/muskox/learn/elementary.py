"""Elementary functions for kernels: exp, log and powers of additions, multiplications and divisions alone.

Those of the C library have variants by CPU (with fused multiplication or without), whose bits differ; these have one. They are
compiled into the kernels that call them.
"""

# mypy: disable-error-code="untyped-decorator,no-any-return"

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LOG2_E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
LN2 = 0.6931471805599453
ROUNDING = 6755399441055744.0  # 1.5 * 2**52: added and taken away it leaves the nearest whole number
EXP_MAX = 700.0
ONE_BITS, EXPONENT_SHIFT = 1023 << 52, 52
SQRT2_MINUS_1 = 0.41421356237309503


@intrinsic
def bits_of(typing_context: Any, x: Any) -> Any:  # noqa: ARG001  # numba's contract
    """Return the bits of a float64 as an int64."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), code


@intrinsic
def float_of(typing_context: Any, x: Any) -> Any:  # noqa: ARG001
    """Return the float64 of these bits."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), code


@njit(nogil=True)
def exp_minus(a: float) -> float:
    """Return exp(-a) of a >= 0, to 2 units in the last place; below exp(-700) it stays there."""
    a = min(a, EXP_MAX)
    shifted = a * LOG2_E + ROUNDING
    k = shifted - ROUNDING
    r = (k * LN2_HIGH - a) + k * LN2_LOW  # -(a - k ln 2), at most 0.35 either way
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * float_of(ONE_BITS - (bits_of(shifted) << EXPONENT_SHIFT))


@njit(nogil=True)
def atanh_twice(s: float) -> float:
    """Return 2 atanh(s), which is log((1 + s) / (1 - s)), of |s| <= 0.1716."""
    t = s * s
    p = 1.0 / 21.0
    p = p * t + 1.0 / 19.0
    p = p * t + 1.0 / 17.0
    p = p * t + 1.0 / 15.0
    p = p * t + 1.0 / 13.0
    p = p * t + 1.0 / 11.0
    p = p * t + 1.0 / 9.0
    p = p * t + 1.0 / 7.0
    p = p * t + 1.0 / 5.0
    p = p * t + 1.0 / 3.0
    return 2.0 * s + 2.0 * s * (t * p)


@njit(nogil=True)
def log_1_plus(z: float) -> float:
    """Return log(1 + z) of 0 <= z <= 1, right in its last digits however small z is."""
    above = z > SQRT2_MINUS_1
    s = (z - 1.0) / (z + 3.0) if above else z / (z + 2.0)
    return (LN2 if above else 0.0) + atanh_twice(s)


@njit(nogil=True)
def log_from_1(x: float) -> float:
    """Return log(x) of 1 <= x < infinity, to 2 units in the last place."""
    bits = bits_of(x)
    k = (bits >> EXPONENT_SHIFT) - 1023
    m = float_of(bits - (k << EXPONENT_SHIFT))  # from 1 to 2
    if m > SQRT2_MINUS_1 + 1.0:
        m *= 0.5
        k += 1
    return k * LN2_HIGH + (atanh_twice((m - 1.0) / (m + 1.0)) + k * LN2_LOW)


@njit(nogil=True)
def power_of(x: float, exponent: float) -> float:
    """Return x ** exponent of x >= 1, to about abs(exponent * log(x)) units in the last place, from exp(-700) to exp(700)."""
    y = exponent * log_from_1(x)
    return exp_minus(-y) if y <= 0.0 else 1.0 / exp_minus(y)
