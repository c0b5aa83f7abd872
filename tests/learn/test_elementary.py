"""Elementary functions for kernels: as right as they say, over the whole range that they take."""

from math import exp, inf, log, log1p

import pytest

from muskox.learn import elementary as e
from muskox.streams import stream

EPSILON = 2.0**-52


def test_exp_of_numbers_below_zero() -> None:
    for a in (0.0, 1e-300, 0.3, 0.35, 700.0, *stream(0, "exp").uniform(0.0, 700.0, 300).tolist()):
        assert e.exp_minus(a) == pytest.approx(exp(-a), rel=2 * EPSILON, abs=0.0)
    assert e.exp_minus(0.0) == 1.0
    assert e.exp_minus(inf) == e.exp_minus(700.0) > 0.0


def test_logarithms() -> None:
    draw = stream(0, "log")
    for z in (0.0, 1e-300, 0.41, 0.42, 1.0, *draw.random(300).tolist()):
        expected = (log1p(z), 1.0 / (1.0 + z), z / (1.0 + z))
        assert e.logistic(z) == pytest.approx(expected, rel=4 * EPSILON, abs=0.0)
    for x in (1.0 + EPSILON, 1.41, 1.42, 2.0, 1e300, *(10.0 ** draw.uniform(0.0, 300.0, 300)).tolist()):
        assert e.log_from_1(x) == pytest.approx(log(x), rel=2 * EPSILON, abs=0.0)
    assert e.log_from_1(1.0) == 0.0


def test_powers_of_steps() -> None:
    for exponent in (0.25, 0.5, 1.0, 3.0, -0.5):
        for t in (1.0, 2.0, 3.0, 16.0, 1e6, 123456789.0, 1e15):
            near = (1.0 + abs(exponent * log(t))) * 2 * EPSILON
            assert e.power_of(t, exponent) == pytest.approx(t**exponent, rel=near, abs=0.0)
    assert e.power_of(1.0, 0.25) == 1.0
    assert e.power_of(1e300, 2.0) == e.power_of(1e300, 3.0) < inf
