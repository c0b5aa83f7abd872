"""Logistic regression as one program: round 1 learns the encoder, every round after it evaluates the objective once.

The objective is scikit-learn's, divided by C n: mean log loss + sum(penalty_j w_j**2) / (2 C n), the intercept unpenalised.
The optimiser always works on standardised columns; without `standardise` the penalty is what changes (w on the raw column is
w / scale), so that the minimum is the one over raw columns.

The solver starts at w = 0 and the intercept that fits the share of the second class, and knows what the encoder's counts tell
of the Hessian there.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import Target
from muskox.learn.linear import curvature, descent, lbfgs
from muskox.learn.linear.encoded import EncodedShard, encode_shard, objective_sums
from muskox.learn.parameters import require_choice, require_count, require_number
from muskox.learn.training import FIT, PREPARE, TrainingProgram
from muskox.program import Block, Done, Shard
from muskox.records import Record

SOLVERS = ("lbfgs", "gd")
ADJUSTABLE = {"max_rounds": "evaluations of the objective at most"}
ADJUSTABLE_OF_GD = {"learning_rate": "the step from the next round on, in place of one found by backtracking"}
MODEL = "muskox.learn:LogisticModel"  # what predicts by the record
BEND_MIN = 1e-12  # of the log loss where one class has no weight


@dataclass(frozen=True, kw_only=True)
class LogisticProgram(TrainingProgram):
    """Train a binary logistic regression on the columns of a dataset; the result is the model's record.

    Parameters
    ----------
    C : inverse strength of the L2 penalty, as in scikit-learn
    max_rounds : evaluations of the objective at most
    tol : stop when no component of the mean objective's gradient, over standardised columns, exceeds it
    learning_rate : of solver "gd"; None finds the step by backtracking
    """

    target_kind = Target.CLASSES

    C: float = 1.0
    solver: str = "lbfgs"
    max_rounds: int = 100
    tol: float = 1e-6
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        require_choice("solver", self.solver, SOLVERS)
        require_number("C", self.C, above=0.0)
        require_number("tol", self.tol, above=-1e-300)
        if self.learning_rate is not None:
            require_number("learning_rate", self.learning_rate, above=0.0)
        require_count("max_rounds", self.max_rounds)

    def parameters(self) -> Record:
        rate = None if self.learning_rate is None else float(self.learning_rate)
        return {**super().parameters(), "C": float(self.C), "tol": float(self.tol), "learning_rate": rate}  # C=1 is C=1.0

    def live(self) -> Record:
        return {"max_rounds": self.max_rounds, "learning_rate": self.learning_rate}

    def start(self, prepared: Record) -> Record:
        classes = prepared["classes"]
        if len(classes) > 2:
            name = prepared["target"]["names"][0]
            raise CallerError(
                f"the target {name!r} has more than two values ({', '.join(map(repr, classes[:3]))}, ...). "
                f"Only binary classification is supported. The type of the target is multiclass: "
                f"make it a yes or no first, by a threshold for example"
            )
        encoder, rows = Encoder(prepared["encoder"]), prepared["weight_sum"]
        factors = prepared["class_weights"]
        share = float((prepared["counts"] if factors is None else prepared["counts"] * factors)[1]) / rows
        point = np.zeros(encoder.width + 1)
        if 0.0 < share < 1.0:  # a class may have weight 0
            point[-1] = math.log(share / (1.0 - share))
        penalty = np.zeros(encoder.width + 1)
        penalty[:-1] = 1.0
        if not self.inputs.standardise:
            penalty[: len(encoder.numeric)] = 1.0 / (encoder.scale * encoder.scale)
        bend = max(share * (1.0 - share), BEND_MIN)
        means, moments = feature_moments(prepared)
        bent = curvature.logistic(bend, moments, means, encoder.widths, penalty / (self.C * rows))
        return {"penalty": penalty, "round": 0, "solver": self._start(point, bent)}

    def fit_partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        def encode() -> EncodedShard:
            return encode_shard(state["prepared"], shard, blocks)

        return {"sums": objective_sums(shard.cached(state["key"] + "/encoded", encode), state["solver"]["point"])}

    def fit_update(self, state: Record, total: Record) -> Record | Done:
        point, rows = state["solver"]["point"], state["prepared"]["weight_sum"]
        penalty = state["penalty"] / (self.C * rows)
        gradient = total["sums"][:-1] / rows + penalty * point
        loss = float(total["sums"][-1] / rows + 0.5 * lbfgs.inner(penalty * point, point))
        advance = lbfgs.advance if self.solver == "lbfgs" else descent.advance
        state = {**state, "round": state["round"] + 1, "solver": advance(state["solver"], loss, gradient, self.tol)}
        if state["solver"]["status"] != lbfgs.RUNNING or state["round"] >= state["max_rounds"]:
            return Done(self._model(state))
        return state

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
        if state["phase"] == PREPARE or state["solver"]["loss"] is None:
            return {}
        solver = state["solver"]
        return {"loss": float(solver["loss"]), "gradient_norm": float(np.max(np.abs(solver["gradient"])))}

    def _start(self, point: Floats, bent: Record) -> Record:
        if self.solver == "lbfgs":
            return lbfgs.start(point, bent)
        bound = float(np.add.reduce(bent["diagonal"]))  # the trace bounds the greatest eigenvalue
        step = 1.0 / bound if self.learning_rate is None else float(self.learning_rate)
        return descent.start(point, step, self.learning_rate is not None)

    def _model(self, state: Record) -> Record:
        """Return the model: the best point, which is where the solver stands, not where it would look next."""
        solver = state["solver"]
        point = standing(solver)
        return self.model_record(
            state["prepared"],
            model=MODEL,
            estimator="muskox.learn:LogisticRegression",
            kind="logistic",
            coef=point[:-1].copy(),
            intercept=point[-1:].copy(),
            rounds=state["round"],
            status=solver["status"] if solver["status"] != lbfgs.RUNNING else "max_rounds",
            loss=float(solver["loss"]),
            gradient_norm=float(np.max(np.abs(solver["gradient"]))),
        )


def standing(solver: Mapping[str, Any]) -> Floats:
    """Return the point at which the solver's `loss` and `gradient` were found."""
    if solver.get("search"):
        point: Floats = solver["search"]["origin"]
    else:
        point = solver.get("origin", solver["point"])
    return point


def feature_moments(prepared: Record) -> tuple[Floats, Floats]:
    """Return E[x] and E[x**2] of each encoded feature: 0 and 1 of a standardised column, an indicator's share of the rows."""
    total = prepared["features"]
    varies = np.where((total["squares"] > 0.0) & (total["low"] != total["high"]), 1.0, 0.0)
    counts: list[float] = []
    for present, missing in zip(total["counts"], total["missing"], strict=True):
        counts += [*present, missing] if missing else present
    shares = np.array(counts, dtype=np.float64) / float(np.add.reduce(prepared["counts"]))
    return np.concatenate([np.zeros_like(varies), shares]), np.concatenate([varies, shares])
