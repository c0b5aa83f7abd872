"""OWL-QN: optima that are known exactly, and a state that is a record."""

from typing import Any

import numpy as np
import pytest

from muskox.learn.linear import orthant
from muskox.learn.linear.curvature import diagonal
from muskox.learn.linear.lbfgs import CONVERGED, RUNNING, STALLED
from muskox.records import pack, unpack


def minimise(state: Any, evaluate: Any, tol: float = 1e-10, evaluations: int = 500) -> tuple[Any, int]:
    for count in range(1, evaluations + 1):
        state = unpack(pack(orthant.advance(state, *evaluate(state["point"]), tol)))
        if state["status"] != RUNNING:
            return state, count
    return state, evaluations


@pytest.mark.parametrize("seed", range(4))
def test_a_separable_quadratic_is_shrunk_exactly(seed: int) -> None:
    """min sum(a (x - c)**2 / 2 + r abs(x)) is c moved towards 0 by r / a, and 0 where it would cross."""
    rng = np.random.default_rng(seed)
    a, c, r = rng.uniform(0.5, 20.0, 12), rng.normal(size=12), rng.uniform(0.0, 3.0, 12)
    r[:3] = 0.0
    start = orthant.start(rng.normal(size=12), diagonal(np.ones(12)), r)
    state, _ = minimise(start, lambda x: (float(np.sum(a * (x - c) ** 2) / 2), a * (x - c)))
    expected = np.sign(c) * np.maximum(np.abs(c) - r / a, 0.0)
    assert state["status"] == CONVERGED
    np.testing.assert_allclose(state["point"], expected, atol=1e-9)
    np.testing.assert_array_equal(state["point"] == 0.0, expected == 0.0)


def test_at_the_optimum_it_stops_at_once() -> None:
    start = orthant.start(np.zeros(3), diagonal(np.ones(3)), np.ones(3))
    state, count = minimise(start, lambda x: (0.0, np.array([0.5, -1.0, 0.0])))
    assert (state["status"], count) == (CONVERGED, 1)


def test_a_loss_that_falls_nowhere_ends() -> None:
    start = orthant.start(np.ones(2), diagonal(np.ones(2)), np.array([0.1, 0.0]))
    state, count = minimise(start, lambda x: (float(np.abs(x - 1.0).sum()), np.array([1.0, -1.0])), tol=1e-12)
    assert state["status"] == STALLED and count < 100
    np.testing.assert_array_equal(state["point"], [1.0, 1.0])
