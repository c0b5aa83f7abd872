"""OWL-QN as a pure state machine, with the same door as `lbfgs`: L-BFGS for a smooth loss plus absolute values.

Andrew & Gao, "Scalable training of L1-regularized log-linear models", ICML 2007. The direction is L-BFGS's for the
pseudo-gradient, kept where it descends; a step never leaves the orthant where it began: a coefficient that would change its
sign becomes 0. The step is found by backtracking (Armijo). One evaluation a call, the state a record.
"""

import math

import numpy as np

from muskox.learn.columns import Floats
from muskox.learn.linear.lbfgs import (
    CONVERGED,
    DECREASE,
    ROUNDING,
    RUNNING,
    STALLED,
    TRIALS_MAX,
    inner,
    inverse_hessian_times,
    remember,
)
from muskox.records import Record


def start(point: Floats, curvature: Record, rough: Floats) -> Record:
    """Return the state that asks for the smooth part of the objective at `point`.

    rough : factors of the absolute values, shape of `point`, 0 where there is none
    """
    nothing = np.zeros((0, point.size))
    return {
        "status": RUNNING,
        "point": point,
        "loss": None,
        "gradient": np.zeros_like(point),
        "downhill": np.zeros_like(point),
        "curvature": curvature,
        "rough": rough,
        "steps": nothing,
        "changes": nothing,
        "search": None,
    }


def advance(state: Record, loss: float, gradient: Floats, tol: float) -> Record:
    """Return the state after the smooth part at ``state["point"]`` was found to be `loss` with `gradient`.

    ``state["loss"]`` has the absolute values in it; ``state["downhill"]`` is the pseudo-gradient.
    """
    point, search = state["point"], state["search"]
    loss = loss + float(np.add.reduce(state["rough"] * np.abs(point)))
    if search is None:
        return accept(state, loss, gradient, tol)
    if falls_enough(state, loss, gradient):
        return accept(remember(state, gradient), loss, gradient, tol)
    trials = search["trials"] + 1
    if trials < TRIALS_MAX:
        search = {**search, "trials": trials, "step": 0.5 * search["step"]}
        return {**state, "search": search, "point": step_from(search, state["rough"])}
    state = {**state, "point": search["origin"], "search": None}
    if not state["steps"].shape[0]:
        return {**state, "status": STALLED}
    nothing = np.zeros((0, point.size))
    return look({**state, "steps": nothing, "changes": nothing})


def falls_enough(state: Record, loss: float, gradient: Floats) -> bool:
    """Say whether the step satisfies Armijo's condition, or within rounding of the loss makes the pseudo-gradient less."""
    search, point = state["search"], state["point"]
    if not math.isfinite(loss):
        return False
    if loss <= search["loss"] + DECREASE * inner(state["downhill"], point - search["origin"]):
        return True
    downhill = pseudo_gradient(point, gradient, state["rough"])
    return bool(loss <= search["loss"] + ROUNDING * abs(search["loss"]) and greatest(downhill) < greatest(state["downhill"]))


def accept(state: Record, loss: float, gradient: Floats, tol: float) -> Record:
    """Return the state that stands at its point and, unless it is the optimum, looks along a new direction."""
    downhill = pseudo_gradient(state["point"], gradient, state["rough"])
    state = {**state, "loss": loss, "gradient": gradient, "downhill": downhill, "search": None}
    if greatest(downhill) <= tol:
        return {**state, "status": CONVERGED}
    return look(state)


def look(state: Record) -> Record:
    """Return the state that asks for a first step along a new direction."""
    point, downhill, rough = state["point"], state["downhill"], state["rough"]
    direction = -inverse_hessian_times(state, downhill)
    direction = np.where((rough > 0.0) & (direction * downhill >= 0.0), 0.0, direction)
    if not inner(direction, downhill) < 0.0:
        direction = -downhill
    search = {
        "origin": point,
        "direction": direction,
        "orthant": np.where(point != 0.0, np.sign(point), -np.sign(downhill)),
        "loss": state["loss"],
        "step": 1.0,
        "trials": 0,
    }
    return {**state, "search": search, "point": step_from(search, rough)}


def step_from(search: Record, rough: Floats) -> Floats:
    """Return the point of the search's step, brought back into the orthant."""
    point = search["origin"] + search["step"] * search["direction"]
    there: Floats = np.where((rough > 0.0) & (point * search["orthant"] <= 0.0), 0.0, point)
    return there


def pseudo_gradient(point: Floats, gradient: Floats, rough: Floats) -> Floats:
    """Return the steepest one-sided derivative by each coordinate, 0 where neither side descends."""
    right, left = gradient + rough, gradient - rough
    at_zero = np.where(right < 0.0, right, np.where(left > 0.0, left, 0.0))
    found: Floats = np.where(point > 0.0, right, np.where(point < 0.0, left, at_zero))
    return found


def greatest(values: Floats) -> float:
    return float(np.max(np.abs(values)))
