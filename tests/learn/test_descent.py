"""Gradient descent as a state machine."""

from typing import Any

import numpy as np
import pytest

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn.linear import descent
from muskox.learn.linear.lbfgs import CONVERGED, RUNNING, STALLED
from muskox.records import pack, unpack

SCALES = np.array([1.0, 10.0])


def bowl(point: np.ndarray) -> tuple[float, np.ndarray]:
    return 0.5 * float(np.sum(SCALES * (point - 1.0) ** 2)), SCALES * (point - 1.0)


def minimise(step: float, fixed: bool, tol: float = 1e-8, travel: bool = False) -> tuple[Any, int]:
    state = descent.start(np.zeros(2), step, fixed)
    for evaluations in range(1, 2000):
        state = descent.advance(state, *bowl(state["point"]), tol)
        state = unpack(pack(state)) if travel else state
        if state["status"] != RUNNING:
            return state, evaluations
    return state, 2000


@pytest.mark.parametrize(("step", "fixed"), [(0.1, True), (0.1, False), (1e-4, False), (1e3, False)])
def test_the_known_optimum_is_found(step: float, fixed: bool) -> None:
    state, _ = minimise(step, fixed)
    assert state["status"] == CONVERGED
    np.testing.assert_allclose(state["point"], 1.0, atol=1e-7)


def test_a_fixed_step_is_the_plain_iteration() -> None:
    point, (_, gradient) = np.zeros(2), bowl(np.zeros(2))
    state = descent.advance(descent.start(point, 0.05, fixed=True), *bowl(point), 1e-8)
    assert state["point"].tolist() == (point - 0.05 * gradient).tolist()


def test_a_state_that_was_packed_goes_on_with_the_same_bits() -> None:
    assert digest(minimise(1.0, fixed=False)[0]) == digest(minimise(1.0, fixed=False, travel=True)[0])


def test_a_learning_rate_that_diverges_is_refused_with_its_value() -> None:
    with pytest.raises(CallerError, match=r"learning_rate=0\.9 is too large"):
        minimise(0.9, fixed=True)


def test_backtracking_without_descent_stops_at_its_bound() -> None:
    state = descent.start(np.zeros(1), 1.0, fixed=False)
    for _ in range(60):
        state = descent.advance(state, 1.0 if state["loss"] is None else 2.0, np.array([1.0]), 1e-9)
    assert state["status"] == STALLED
    assert state["point"].tolist() == [0.0]
