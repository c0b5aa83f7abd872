"""L-BFGS as a pure state machine: one step takes the objective at the point asked for and names the next point.

Limited-memory BFGS (Nocedal & Wright, Numerical Optimization, 2nd ed., algorithms 7.4 and 7.5) with a line search for the
strong Wolfe conditions (algorithms 3.5 and 3.6, cubic interpolation 3.59) and the approximate Wolfe condition of Hager & Zhang
(SIAM J. Optim. 16, 2005, eq. 4.1), which goes on where differences of the objective drown in rounding. The initial inverse
Hessian is what the caller knows of the curvature, scaled as in N&W 7.20.

The whole state is a record: it travels, is checkpointed, and goes on elsewhere with the same bits. All sums are einsum's.
"""

import math

import numpy as np

from muskox.learn.columns import Floats
from muskox.learn.linear.curvature import divide
from muskox.records import Record

MEMORY = 10  # pairs kept
DECREASE = 1e-4  # c1 of the Wolfe conditions
CURVATURE = 0.9  # c2
ROUNDING = 1e-12  # of the loss: differences below it say nothing
CURVED = 1e-14  # cosine between a step and its change of gradient: below it the curvature is rounding
GROWTH_MAX = 10.0  # of the step while no minimum is bracketed
TRIALS_MAX = 30  # of one line search

RUNNING, CONVERGED, STALLED = "running", "converged", "stalled"


def start(point: Floats, curvature: Record) -> Record:
    """Return the state that asks for the objective at `point`."""
    return {
        "status": RUNNING,
        "point": point,
        "loss": None,
        "gradient": np.zeros_like(point),
        "curvature": curvature,
        "steps": np.zeros((0, point.size)),
        "changes": np.zeros((0, point.size)),
        "search": None,
    }


def advance(state: Record, loss: float, gradient: Floats, tol: float) -> Record:
    """Return the state after the objective at ``state["point"]`` was found to be `loss` with `gradient`."""
    search = state["search"]
    if search is None:
        return accept(state, state["point"], loss, gradient, tol)
    slope = inner(gradient, search["direction"])
    if is_enough(search, loss, slope):
        return accept(remember(state, gradient), state["point"], loss, gradient, tol)
    search = narrow(search, loss, gradient, slope)
    if search["trials"] >= TRIALS_MAX or not search["step"] > 0.0:
        return give_up(state, search, tol)
    point = search["origin"] + search["step"] * search["direction"]
    return {**state, "point": point, "search": search}


def accept(state: Record, point: Floats, loss: float, gradient: Floats, tol: float) -> Record:
    """Return the state that stands at `point` and, unless it is the optimum, looks along a new direction."""
    state = {**state, "point": point, "loss": loss, "gradient": gradient, "search": None}
    if float(np.max(np.abs(gradient))) <= tol:
        return {**state, "status": CONVERGED}
    direction = -inverse_hessian_times(state, gradient)
    slope = inner(gradient, direction)
    if not slope < 0.0:
        return {**state, "status": STALLED}
    search = {
        "origin": point,
        "direction": direction,
        "loss": loss,
        "slope": slope,
        "step": 1.0,
        "trials": 0,
        "low": [0.0, loss, slope],
        "low_gradient": gradient,
        "high": None,
    }
    return {**state, "search": search, "point": point + direction}


def give_up(state: Record, search: Record, tol: float) -> Record:
    """Return the state after a line search without end: go on from its best point, or stop where rounding hides the descent."""
    step, loss, _ = search["low"]
    if step == 0.0 and not state["steps"].shape[0]:
        return {**state, "point": search["origin"], "search": None, "status": STALLED}
    nothing = np.zeros((0, search["origin"].size))
    fresh = {**state, "steps": nothing, "changes": nothing}
    return accept(fresh, search["origin"] + step * search["direction"], loss, search["low_gradient"], tol)


def is_enough(search: Record, loss: float, slope: float) -> bool:
    """Say whether a trial satisfies the strong Wolfe conditions, or the approximate ones within rounding."""
    if not math.isfinite(loss):
        return False
    if abs(slope) > CURVATURE * abs(search["slope"]):
        return False
    if loss <= search["loss"] + DECREASE * search["step"] * search["slope"]:
        return True
    near = loss <= search["loss"] + ROUNDING * abs(search["loss"])
    return bool(near and slope <= (2.0 * DECREASE - 1.0) * search["slope"])


def narrow(search: Record, loss: float, gradient: Floats, slope: float) -> Record:
    """Return the search with the trial taken into its bracket, and the next step."""
    trial = [search["step"], loss, slope]
    low, high = search["low"], search["high"]
    search = {**search, "trials": search["trials"] + 1}
    too_high = not math.isfinite(loss) or loss > search["loss"] + DECREASE * trial[0] * search["slope"] or loss >= low[1]
    if too_high:
        high = trial if math.isfinite(loss) and math.isfinite(slope) else [trial[0], None, None]
    else:
        if (high is None and slope >= 0.0) or (high is not None and slope * (high[0] - low[0]) >= 0.0):
            high = low
        low = trial
        search["low_gradient"] = gradient
    return {**search, "low": low, "high": high, "step": next_step(low, high)}


def next_step(low: list[float], high: list[float] | None) -> float:
    """Return the next trial: the cubic's minimum, kept away from the ends of the bracket; without one, further out."""
    if high is None:
        return low[0] * GROWTH_MAX if low[0] > 0.0 else 1.0
    least, most = min(low[0], high[0]), max(low[0], high[0])
    width = most - least
    if width == 0.0:
        return 0.0  # the bracket has closed: rounding leaves nothing between its ends, and the search is given up
    if high[1] is None:
        return least + 0.1 * width
    step = cubic_minimum(low, high)
    if step is None:
        return least + 0.5 * width
    return min(max(step, least + 0.05 * width), most - 0.05 * width)


def cubic_minimum(a: list[float], b: list[float]) -> float | None:
    """Return the minimum of the cubic through two (step, loss, slope), N&W eq. 3.59, or None where it has none."""
    first = a[2] + b[2] - 3.0 * (a[1] - b[1]) / (a[0] - b[0])
    square = first * first - a[2] * b[2]
    if not square >= 0.0:
        return None
    second = math.copysign(math.sqrt(square), b[0] - a[0])
    divisor = b[2] - a[2] + 2.0 * second
    if divisor == 0.0:
        return None
    return b[0] - (b[0] - a[0]) * (b[2] + second - first) / divisor


def remember(state: Record, gradient: Floats) -> Record:
    """Return the state with the pair (step, change of gradient) kept, if it has positive curvature."""
    step = state["point"] - state["search"]["origin"]
    change = gradient - state["gradient"]
    if not inner(step, change) > CURVED * math.sqrt(inner(step, step) * inner(change, change)):
        return state
    return {
        **state,
        "steps": np.concatenate([state["steps"], step[None]])[-MEMORY:],
        "changes": np.concatenate([state["changes"], change[None]])[-MEMORY:],
    }


def inverse_hessian_times(state: Record, gradient: Floats) -> Floats:
    """Return H g by the two-loop recursion, N&W algorithm 7.4."""
    steps, changes, curvature = state["steps"], state["changes"], state["curvature"]
    pairs = steps.shape[0]
    curvatures = [inner(steps[i], changes[i]) for i in range(pairs)]
    shares = [0.0] * pairs
    out: Floats = gradient.copy()
    for i in reversed(range(pairs)):
        shares[i] = inner(steps[i], out) / curvatures[i]
        out -= shares[i] * changes[i]
    scale = curvatures[-1] / inner(changes[-1], divide(changes[-1], curvature)) if pairs else 1.0
    out = scale * divide(out, curvature)
    for i in range(pairs):
        out += (shares[i] - inner(changes[i], out) / curvatures[i]) * steps[i]
    return out


def inner(left: Floats, right: Floats) -> float:
    return float(np.einsum("i,i->", left, right, optimize=False))
