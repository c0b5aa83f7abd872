"""L-BFGS as a state machine: known optima, its bounds, and that a state which travelled goes on with the same bits."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from muskox.digest import digest
from muskox.learn.linear import lbfgs
from muskox.learn.linear.curvature import diagonal
from muskox.records import pack, unpack

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]


def quadratic(point: np.ndarray) -> tuple[float, np.ndarray]:
    scales = np.logspace(0, 2, point.size)
    return 0.5 * float(np.sum(scales * (point - 1.0) ** 2)), scales * (point - 1.0)


def rosenbrock(point: np.ndarray) -> tuple[float, np.ndarray]:
    x, y = point
    gradient = [-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x)]
    return float(100 * (y - x * x) ** 2 + (1 - x) ** 2), np.array(gradient)


def walled(point: np.ndarray) -> tuple[float, np.ndarray]:
    """Infinite where x <= 0: the least of x - log x is at 1."""
    (x,) = point
    return (math.inf, np.array([math.nan])) if x <= 0 else (x - math.log(x), np.array([1 - 1 / x]))


def minimise(objective: Objective, start: list[float], tol: float, evaluations_max: int = 500, travel: bool = False) -> Any:
    point = np.array(start)
    state = lbfgs.start(point, diagonal(np.ones_like(point)))
    evaluations = 0
    while state["status"] == lbfgs.RUNNING and evaluations < evaluations_max:
        loss, gradient = objective(state["point"])
        state = lbfgs.advance(state, loss, gradient, tol)
        state = unpack(pack(state)) if travel else state
        evaluations += 1
    return state, evaluations


@pytest.mark.parametrize(
    ("objective", "start", "evaluations_max"),
    [(quadratic, [0.0] * 20, 200), (rosenbrock, [-1.2, 1.0], 80), (walled, [30.0], 30), (walled, [1e-6], 60)],
)
def test_the_known_optimum_is_found(objective: Objective, start: list[float], evaluations_max: int) -> None:
    state, _ = minimise(objective, start, 1e-9, evaluations_max)
    assert state["status"] == lbfgs.CONVERGED
    np.testing.assert_allclose(state["point"], 1.0, atol=1e-7)


@pytest.mark.parametrize(("objective", "start"), [(quadratic, [0.0] * 20), (rosenbrock, [-1.2, 1.0]), (walled, [30.0])])
def test_a_state_that_was_packed_goes_on_with_the_same_bits(objective: Objective, start: list[float]) -> None:
    stayed, travelled = minimise(objective, start, 1e-9), minimise(objective, start, 1e-9, travel=True)
    assert digest(stayed[0]) == digest(travelled[0])
    assert stayed[1] == travelled[1]


def test_advance_changes_no_state_it_was_given() -> None:
    state = lbfgs.start(np.array([-1.2, 1.0]), diagonal(np.ones(2)))
    for _ in range(10):
        before = digest(state)
        after = lbfgs.advance(state, *rosenbrock(state["point"]), 1e-9)
        assert digest(state) == before
        state = after


def test_memory_is_bounded() -> None:
    state, evaluations = minimise(quadratic, [0.0] * 20, 1e-9)
    assert evaluations > lbfgs.MEMORY + 5
    assert state["steps"].shape == (lbfgs.MEMORY, 20)


def test_the_loss_of_accepted_points_never_rises() -> None:
    state, losses = lbfgs.start(np.array([-1.2, 1.0]), diagonal(np.ones(2))), []
    while state["status"] == lbfgs.RUNNING:
        state = lbfgs.advance(state, *rosenbrock(state["point"]), 1e-8)
        losses.append(state["loss"])
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(losses))


def test_a_line_search_without_end_stops_at_its_bound() -> None:
    def lies(point: np.ndarray) -> tuple[float, np.ndarray]:
        """A slope that no step ever confirms."""
        return 1.0 + abs(float(point[0])), np.array([1.0])

    state, evaluations = minimise(lies, [0.0], 1e-9)
    assert state["status"] == lbfgs.STALLED
    assert evaluations <= lbfgs.TRIALS_MAX + 2
    assert state["point"].tolist() == [0.0]


def test_a_slope_without_bottom_ends_in_a_finite_number_of_trials() -> None:
    state, evaluations = minimise(lambda point: (-float(point[0]), np.array([-1.0])), [0.0], 1e-9, evaluations_max=100)
    assert evaluations <= 100
    assert np.isfinite(state["loss"])


def test_tolerance_zero_ends_where_rounding_hides_the_descent() -> None:
    state, evaluations = minimise(rosenbrock, [-1.2, 1.0], 0.0)
    assert state["status"] != lbfgs.RUNNING
    assert evaluations < 300
    np.testing.assert_allclose(state["point"], 1.0, atol=1e-6)


def test_a_bracket_that_has_closed_ends_the_search() -> None:
    """Found by a fit whose last rounds lie within rounding: the cubic of two equal steps divides by zero."""
    assert lbfgs.next_step([0.5, 1.0, -1e-20], [0.5, 1.0, 1e-20]) == 0.0
