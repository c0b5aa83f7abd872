"""LinearProgram: what all linear models share: a round evaluates loss and gradient once, and a solver names the next point.

Minimised is the weighted mean loss plus ``l2 * sum(p_j w_j**2) / 2 + l1 * sum(sqrt(p_j) * abs(w_j))``; no intercept is
penalised. The solver always works on standardised columns, where p is 1; without `standardise` it is p that changes
(w on the raw column is w / scale, so p is 1 / scale**2), and the minimum is the one over raw columns.

Solvers are pure state machines: L-BFGS, OWL-QN where there are absolute values, gradient descent where it is asked for. A loss
with corners is minimised with its corners rounded less and less. Where rows are held out, every point is tried on them, and the
best one is the model's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import Target
from muskox.learn.linear import curvature, descent, lbfgs, orthant
from muskox.learn.linear.encoded import EncodedShard, encode_shard
from muskox.learn.linear.losses import CORNERS, Loss
from muskox.learn.linear.objective import objective_sums
from muskox.learn.linear.sparse_training import SPARSE, SparseColumns, width_of
from muskox.learn.parameters import require_choice, require_count, require_number
from muskox.learn.training import FIT, PREPARE
from muskox.program import Block, Done, Shard
from muskox.records import Record

ADJUSTABLE = {"max_rounds": "evaluations of the objective at most"}
ADJUSTABLE_OF_GD = {"learning_rate": "the step from the next round on, in place of one found by backtracking"}
ROUGH_TOL = 1e-3  # of the gradient while corners are not yet as sharp as they will be
STOPPED_EARLY = "stopped_early"


@dataclass(frozen=True, kw_only=True)
class LinearProgram(SparseColumns):
    """Train a linear model; the result is its record. A subclass says which loss, how strong the penalties are, where to begin.

    Parameters
    ----------
    solver : one of the subclass's
    max_rounds : evaluations of the objective at most
    tol : stop when no component of the mean objective's gradient, over standardised columns, exceeds it
    learning_rate : of solver "gd"; None finds the step by backtracking
    n_iter_no_change : where rows are held out: stop after so many evaluations without a lower loss on them
    begin_at : coefficients for raw columns and the raw target to begin at, "coef" (outputs, width) and "intercept" (outputs,)
    """

    solvers: ClassVar[tuple[str, ...]] = ("lbfgs",)

    solver: str = "lbfgs"
    max_rounds: int = 100
    tol: float = 1e-6
    learning_rate: float | None = None
    n_iter_no_change: int = 10
    begin_at: Record | None = None

    # -- the subclass's own --

    def loss_of(self, prepared: Record) -> Loss:
        raise NotImplementedError

    def outputs(self, prepared: Record) -> int:
        """Return how many linear functions there are: one of a number or of two classes, one for each of more."""
        classes = len(prepared.get("classes", ()))
        return classes if classes > 2 else 1

    def strengths(self, prepared: Record) -> tuple[float, float]:
        """Return the factors of the squares and of the absolute values beside the mean loss."""
        raise NotImplementedError

    def intercepts(self, prepared: Record) -> tuple[Floats, Floats]:
        """Return where the intercepts begin, and how much the mean loss bends by each there, shape (outputs,)."""
        outputs = self.outputs(prepared)
        return np.zeros(outputs), np.full(outputs, self.loss_of(prepared).bend)

    def model(self, state: Record, points: Floats, told: Record) -> Record:
        """Return the model's record: `points` of shape (outputs, width + 1), beside what is `told` of all."""
        raise NotImplementedError

    # -- the contract of TrainingProgram --

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("solver", self.solver, self.solvers)
        require_number("tol", self.tol, above=-1e-300)
        if self.learning_rate is not None:
            require_number("learning_rate", self.learning_rate, above=0.0)
        require_count("max_rounds", self.max_rounds)
        require_count("n_iter_no_change", self.n_iter_no_change)

    def live(self) -> Record:
        return {"max_rounds": self.max_rounds, "learning_rate": self.learning_rate}

    def start(self, prepared: Record) -> Record:
        encoder, outputs, width = Encoder(prepared["encoder"]), self.outputs(prepared), width_of(prepared)
        squares, absolutes = self.strengths(prepared)
        pattern = np.append(np.ones(width), 0.0)
        if not self.inputs.standardise:
            pattern[: len(encoder.numeric)] = 1.0 / (encoder.scale * encoder.scale)
        points = np.zeros((outputs, width + 1))
        points[:, -1], bends = self.intercepts(prepared)
        if self.begin_at is not None:
            points = standardised(encoder, self.begin_at, (outputs, width))
            if prepared["kind"] == Target.NUMBER:  # the solver's target is (y - mean) / scale
                points[:, -1] -= prepared["mean"]
                points /= prepared["scale"]
        means, moments = feature_moments(prepared)
        known, trailing = (moments, means, encoder.widths, squares * pattern), width - encoder.width
        bent = [curvature.of_features(float(bend), *known, trailing) for bend in bends]
        state: Record = {
            "penalty": np.tile(squares * pattern, outputs),
            "rough": np.tile(absolutes * np.sqrt(pattern), outputs),
            "curvature": curvature.stacked(bent),
            "round": 0,
            "stage": 0,
            "best": None,
        }
        return {**state, "solver": self._begin(points.ravel(), state)}

    def fit_partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        prepared, key = state["prepared"], state["key"]
        loss, points = self.loss_of(prepared), state["solver"]["point"].reshape(self.outputs(prepared), -1)

        def encode() -> EncodedShard:
            return encode_shard(prepared, shard, blocks)

        def encode_held_out() -> EncodedShard:
            return encode_shard(prepared, shard, shard.blocks, is_held_out=True)

        sums = objective_sums(shard.cached(key + "/encoded", encode), points, loss, state["stage"])
        tried = np.zeros(2)
        if self.inputs.holds_out:
            held_out = shard.cached(key + "/held out", encode_held_out)
            tried[:] = objective_sums(held_out, points, loss, state["stage"])[-1], held_out.weight_sum
        return {"sums": np.concatenate([sums, tried])}

    def fit_update(self, state: Record, total: Record) -> Record | Done:
        point, rows, sums = state["solver"]["point"], state["prepared"]["weight_sum"], total["sums"]
        penalised = state["penalty"] * point
        gradient = sums[:-4] / rows + penalised
        penalty = 0.5 * lbfgs.inner(penalised, point)
        loss, exact = (float(part / rows) + penalty for part in sums[-4:-2])
        exact += float(np.add.reduce(state["rough"] * np.abs(point)))
        has_corners = self.loss_of(state["prepared"]).has_corners
        is_last = not has_corners or state["stage"] == len(CORNERS) - 1
        tol = self.tol if is_last else max(self.tol, ROUGH_TOL)
        solver = self._advance(state, loss, gradient, tol)
        state = {**state, "round": state["round"] + 1, "solver": solver}
        if self.inputs.holds_out:
            state["best"] = better(state["best"], held_out_loss(sums), point, exact)
        elif has_corners:
            state["best"] = better(state["best"], exact, point, exact)
        if state["round"] >= state["max_rounds"]:
            return Done(self._finish(state, "max_rounds"))
        if self.inputs.holds_out and state["best"]["stale"] >= self.n_iter_no_change:
            return Done(self._finish(state, STOPPED_EARLY))
        if solver["status"] == lbfgs.RUNNING:
            return state
        if is_last:
            return Done(self._finish(state, solver["status"]))
        state["stage"] += 1
        return {**state, "solver": self._begin(standing(solver), state)}

    # -- what of it may change, and what it reports --

    def adjustable(self) -> Mapping[str, str]:
        return {**ADJUSTABLE, **(ADJUSTABLE_OF_GD if self.solver == "gd" else {})}

    def adjust(self, state: Record, changes: Mapping[str, float]) -> Record:
        for name, value in changes.items():
            if name == "max_rounds":
                whole = int(value) if float(value).is_integer() else value
                require_count(name, whole)
                state = {**state, name: whole}
            else:
                require_number(name, value, above=0.0)
                state = {**state, name: float(value)}
                if state["phase"] == FIT:
                    state["solver"] = descent.with_rate(state["solver"], float(value))
        return state

    def report(self, state: Record) -> Mapping[str, float]:
        if state["phase"] == PREPARE or "solver" not in state or state["solver"]["loss"] is None:
            return {}
        solver = state["solver"]
        told = {"loss": float(solver["loss"]), "gradient_norm": steepness(solver)}
        if self.inputs.holds_out:
            told["validation_loss"] = float(state["best"]["score"])
        return told

    # -- solvers --

    def _begin(self, point: Floats, state: Record) -> Record:
        if self.solver == "gd":
            bound = curvature.trace(state["curvature"])  # it bounds the greatest eigenvalue
            step = 1.0 / bound if self.learning_rate is None else float(self.learning_rate)
            return descent.start(point, step, self.learning_rate is not None)
        if np.any(state["rough"] > 0.0):
            return orthant.start(point, state["curvature"], state["rough"])
        return lbfgs.start(point, state["curvature"])

    def _advance(self, state: Record, loss: float, gradient: Floats, tol: float) -> Record:
        solver = state["solver"]
        if self.solver == "gd":
            return descent.advance(solver, loss, gradient, tol)
        if "rough" in solver:
            return orthant.advance(solver, loss, gradient, tol)
        return lbfgs.advance(solver, loss, gradient, tol)

    def _finish(self, state: Record, status: str) -> Record:
        """Return the model: the best point, which is where the solver stands, not where it would look next."""
        solver, best = state["solver"], state["best"]
        point, loss = (standing(solver), float(solver["loss"])) if best is None else (best["point"], float(best["loss"]))
        told: Record = {"rounds": state["round"], "status": status, "loss": loss, "gradient_norm": steepness(solver)}
        if self.inputs.holds_out:
            told["validation_loss"] = float(best["score"])
        return self.model(state, point.reshape(self.outputs(state["prepared"]), -1), told)


def better(best: Record | None, score: float, point: Floats, loss: float) -> Record:
    """Return the best point so far, with the number of points since it was found."""
    if best is not None and not score < best["score"]:
        return {**best, "stale": best["stale"] + 1}
    return {"score": score, "point": point, "loss": loss, "stale": 0}


def held_out_loss(sums: Floats) -> float:
    if not sums[-1] > 0.0:
        raise CallerError("no row is held out for validation: raise validation_fraction, or mark rows")
    return float(sums[-2] / sums[-1])


def steepness(solver: Mapping[str, Any]) -> float:
    """Return the greatest component of the gradient (of OWL-QN the pseudo-gradient) where the solver stands."""
    return float(np.max(np.abs(solver.get("downhill", solver["gradient"]))))


def standing(solver: Mapping[str, Any]) -> Floats:
    """Return the point at which the solver's `loss` and `gradient` were found."""
    if solver.get("search"):
        point: Floats = solver["search"]["origin"]
    else:
        point = solver.get("origin", solver["point"])
    return point


def feature_moments(prepared: Record) -> tuple[Floats, Floats]:
    """Return E[x] and E[x**2] of each encoded feature: 0 and 1 of a standardised column, an indicator's share of the rows;
    of a sparse feature 0 and the mean square of its column.
    """
    total = prepared["features"]
    varies = np.where((total["squares"] > 0.0) & (total["low"] != total["high"]), 1.0, 0.0)
    counts: list[float] = []
    for present, missing in zip(total["counts"], total["missing"], strict=True):
        counts += [*present, missing] if missing else present
    whole = float(np.add.reduce(prepared["counts"])) if "counts" in prepared else prepared["weight_sum"]
    shares = np.array(counts, dtype=np.float64) / whole
    extra = prepared.get(SPARSE, {"widths": [], "squares": []})
    tails = [np.full(width, square) for width, square in zip(extra["widths"], extra["squares"], strict=True)]
    means = np.concatenate([np.zeros_like(varies), shares, *(np.zeros_like(tail) for tail in tails)])
    return means, np.concatenate([varies, shares, *tails])


def standardised(encoder: Encoder, raw: Record, shape: tuple[int, int]) -> Floats:
    """Return coefficients of raw columns as those of standardised ones, shape (outputs, width + 1)."""
    coef = np.asarray(raw["coef"], dtype=np.float64)
    if coef.shape != shape:
        raise CallerError(
            f"warm_start: the coefficients of the last fit have shape {coef.shape}, this one's are {shape}: "
            f"fit the same columns and classes, or begin anew with warm_start=False"
        )
    numeric = len(encoder.numeric)
    points = np.empty((shape[0], shape[1] + 1))
    points[:, :-1] = coef
    points[:, :numeric] *= encoder.scale
    points[:, -1] = raw["intercept"] + np.add.reduce(coef[:, :numeric] * encoder.mean, axis=1)
    return points
