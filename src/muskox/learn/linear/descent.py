"""Gradient descent as a pure state machine, with the same door as `lbfgs`: a fixed step, or one found by backtracking.

Backtracking starts at 1/L for a bound L of the curvature that the caller knows, doubles the step after each success and
halves it until the loss falls enough (Armijo; Nocedal & Wright, algorithm 3.1). One evaluation a call, the state a record.
"""

import math

import numpy as np

from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.linear.lbfgs import CONVERGED, DECREASE, ROUNDING, RUNNING, STALLED, inner
from muskox.records import Record

STEP_MIN = 1e-16  # of the first step: below it no descent is left to be seen
OVERSHOOT_MAX = 0.5  # of the slope along the step: a step past the minimum that still halves the distance to it
DIVERGED = 1e6  # times the first loss


def start(point: Floats, step: float, fixed: bool) -> Record:
    """Return the state that asks for the objective at `point`."""
    return {
        "status": RUNNING,
        "point": point,
        "origin": point,
        "loss": None,
        "first_loss": None,
        "gradient": np.zeros_like(point),
        "step": step,
        "step_min": step * STEP_MIN,
        "fixed": fixed,
    }


def advance(state: Record, loss: float, gradient: Floats, tol: float) -> Record:
    """Return the state after the objective at ``state["point"]`` was found to be `loss` with `gradient`.

    Raises
    ------
    CallerError
        If a fixed learning rate makes the loss grow without bound.
    """
    first_loss = loss if state["first_loss"] is None else state["first_loss"]
    if state["fixed"]:
        if not math.isfinite(loss) or loss > DIVERGED * max(first_loss, 1.0):
            raise CallerError(
                f"gradient descent diverges: learning_rate={state['step']:g} is too large; lower it or leave it out"
            )
    elif state["loss"] is not None and not falls_enough(state, loss, gradient):
        step = 0.5 * state["step"]
        if step < state["step_min"]:
            return {**state, "point": state["origin"], "status": STALLED}
        return {**state, "step": step, "point": state["origin"] - step * state["gradient"]}
    step = state["step"] if state["fixed"] or state["loss"] is None else 2.0 * state["step"]
    state = {**state, "origin": state["point"], "loss": loss, "first_loss": first_loss, "gradient": gradient, "step": step}
    if float(np.max(np.abs(gradient))) <= tol:
        return {**state, "status": CONVERGED}
    return {**state, "point": state["origin"] - step * gradient}


def with_rate(state: Record, learning_rate: float) -> Record:
    """Return the state that goes on with this fixed step, from the point whose gradient it knows."""
    state = {**state, "step": learning_rate, "fixed": True}
    if state["loss"] is None:
        return state
    return {**state, "point": state["origin"] - learning_rate * state["gradient"]}


def falls_enough(state: Record, loss: float, gradient: Floats) -> bool:
    """Say whether the step satisfies Armijo's condition, or within rounding of the loss overshoots little."""
    square = inner(state["gradient"], state["gradient"])
    if not math.isfinite(loss):
        return False
    if loss <= state["loss"] - DECREASE * state["step"] * square:
        return True
    near = loss <= state["loss"] + ROUNDING * abs(state["loss"])
    return near and inner(gradient, state["gradient"]) >= -OVERSHOOT_MAX * square
