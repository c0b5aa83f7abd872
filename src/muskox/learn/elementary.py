"""Elementary functions for kernels: exp, log and powers of additions, multiplications and divisions alone.

Those of the C library have variants by CPU (with fused multiplication or without), whose bits differ; these have one. They are
compiled into the kernels that call them. Their polynomials interpolate at Chebyshev's nodes, which is nearly the best there is:
what they are off by is lost in the rounding of the operations.
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
    p = 2.510038549551032e-08  # of (exp(r) - 1 - r) / r**2
    p = p * r + 2.7620088445409746e-07
    p = p * r + 2.7557268459997064e-06
    p = p * r + 2.4801521295954376e-05
    p = p * r + 0.00019841269863053618
    p = p * r + 0.0013888888917213717
    p = p * r + 0.008333333333330062
    p = p * r + 0.04166666666662413
    p = p * r + 0.16666666666666669
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * float_of(ONE_BITS - (bits_of(shifted) << EXPONENT_SHIFT))


@njit(nogil=True)
def atanh_twice(s: float) -> float:
    """Return 2 atanh(s), which is log((1 + s) / (1 - s)), of |s| <= 1/3."""
    t = s * s
    p = 0.08082022805971766  # of (atanh(s) / s - 1) / s**2
    p = p * t + 0.04400369243072337
    p = p * t + 0.06000536404795356
    p = p * t + 0.06657072104827468
    p = p * t + 0.07692785032479312
    p = p * t + 0.09090894718066429
    p = p * t + 0.11111111358713932
    p = p * t + 0.1428571428355438
    p = p * t + 0.20000000000007292
    p = p * t + 0.3333333333333333
    return 2.0 * s + 2.0 * s * (t * p)


@njit(nogil=True)
def logistic(z: float) -> tuple[float, float, float]:
    """Return log(1 + z), 1 / (1 + z) and z / (1 + z) of 0 <= z <= 1, to 4 units in the last place, for normal z."""
    one, two = 1.0 + z, 2.0 + z
    over = 1.0 / (one * two)
    above = two * over
    return atanh_twice(z * one * over), above, z * above


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
