"""Logistic regression as one program: round 1 learns the encoder, every round after it evaluates the objective once.

The objective is scikit-learn's, divided by C n: mean log loss + sum(penalty_j w_j**2) / (2 C n), the intercept unpenalised.
The optimiser always works on standardised columns; without `standardise` the penalty is what changes (w on the raw column is
w / scale), so that the minimum is the one over raw columns.

The solver starts at w = 0 and the intercept that fits the share of the second class, and knows what the encoder's counts tell
of the Hessian there.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn import curvature, descent, lbfgs
from muskox.learn.columns import Column, Floats, Kind, choose, from_record, target_column, to_record
from muskox.learn.encoded import EncodedShard, encode_shard, objective_sums
from muskox.learn.encoder import CATEGORIES_MAX, Encoder, encoder_record
from muskox.learn.parameters import require_count, require_number
from muskox.learn.statistics import merge as merge_statistics
from muskox.learn.statistics import shard_statistics
from muskox.program import Block, Done, Manifest, Program, Shard
from muskox.records import Record

SOLVERS = ("lbfgs", "gd")
ADJUSTABLE = {"max_rounds": "evaluations of the objective at most"}
ADJUSTABLE_OF_GD = {"learning_rate": "the step from the next round on, in place of one found by backtracking"}
MODEL = "muskox.learn:LogisticModel"  # what predicts by the record


@dataclass(frozen=True, slots=True)
class LogisticProgram:
    """Train a binary logistic regression on the columns of a dataset; the result is the model's record.

    Parameters
    ----------
    target : column with two values: bool, int or string
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories
    C : inverse strength of the L2 penalty, as in scikit-learn
    max_rounds : evaluations of the objective at most
    tol : stop when no component of the mean objective's gradient, over standardised columns, exceeds it
    learning_rate : of solver "gd"; None finds the step by backtracking
    """

    kind: ClassVar[str] = "train"

    target: str
    features: tuple[str, ...] | None = None
    categorical: tuple[str, ...] = ()
    C: float = 1.0
    solver: str = "lbfgs"
    max_rounds: int = 100
    tol: float = 1e-6
    learning_rate: float | None = None
    standardise: bool = True
    categories_max: int = CATEGORIES_MAX

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise CallerError(f"solver={self.solver!r}: it is one of {', '.join(SOLVERS)}")
        require_number("C", self.C, above=0.0)
        require_number("tol", self.tol, above=-1e-300)
        if self.learning_rate is not None:
            require_number("learning_rate", self.learning_rate, above=0.0)
        if not isinstance(self.standardise, bool):
            raise CallerError(f"standardise={self.standardise!r}: it is true or false")
        require_count("max_rounds", self.max_rounds)
        require_count("categories_max", self.categories_max)

    def parameters(self) -> Record:
        lists = {"features": None if self.features is None else list(self.features), "categorical": list(self.categorical)}
        rate = None if self.learning_rate is None else float(self.learning_rate)
        return {**asdict(self), **lists, "C": float(self.C), "tol": float(self.tol), "learning_rate": rate}  # C=1 is C=1.0

    def reads(self) -> list[str]:
        return [] if self.features is None else [*self.features, self.target]

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        features = parameters["features"]
        tuples = {
            "features": None if features is None else tuple(features),
            "categorical": tuple(parameters["categorical"]),
        }
        return cls(**{**parameters, **tuples})

    def initial(self, manifest: Manifest) -> Record:
        target = target_column(manifest, self.target)
        columns = choose(manifest, self.target, self.features, self.categorical)
        own = {"max_rounds": self.max_rounds, "learning_rate": self.learning_rate}  # from here on the state's: they may change
        return {"phase": "encode", "columns": to_record(columns), "target": to_record([target]), **own}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        target = from_record(state["target"])
        if state["phase"] == "encode":
            columns = from_record(state["columns"]) + target
            limits = [self.categories_max for column in columns[:-1] if column.categorical]
            return shard_statistics(columns, [*limits, 2], shard.index, blocks)

        def encode() -> EncodedShard:
            return encode_shard(Encoder(state["encoder"]), target[0], state["classes"][1], shard, blocks)

        return {"sums": objective_sums(shard.cached(state["key"], encode), state["solver"]["point"])}

    def merge(self, left: Record, right: Record) -> Record:
        if "sums" in left:
            return {"sums": left["sums"] + right["sums"]}
        return merge_statistics(left, right)

    def adds(self, state: Record) -> bool:
        return bool(state["phase"] == "fit")

    def update(self, state: Record, total: Record) -> Record | Done:
        if state["phase"] == "encode":
            return self._begin(state, total)
        point, rows = state["solver"]["point"], state["rows"]
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
                if state["phase"] == "fit":
                    state["solver"] = descent.with_rate(state["solver"], float(value))
        return state

    def report(self, state: Record) -> Mapping[str, float]:
        if state["phase"] == "encode" or state["solver"]["loss"] is None:
            return {}
        solver = state["solver"]
        return {"loss": float(solver["loss"]), "gradient_norm": float(np.max(np.abs(solver["gradient"])))}

    def _begin(self, state: Record, total: Record) -> Record:
        columns, target = from_record(state["columns"]), from_record(state["target"])[0]
        record = encoder_record(columns, total, self.standardise)
        classes = classes_of(target, total)
        encoder, rows, positive = Encoder(record), total["rows"], total["counts"][-1][1]
        point = np.zeros(encoder.width + 1)
        point[-1] = math.log(positive / (rows - positive))
        penalty = np.zeros(encoder.width + 1)
        penalty[:-1] = 1.0
        if not self.standardise:
            penalty[: len(encoder.numeric)] = 1.0 / (encoder.scale * encoder.scale)
        bend = positive / rows * (1.0 - positive / rows)
        means, moments = feature_moments(encoder, total)
        bent = curvature.logistic(bend, moments, means, encoder.widths, penalty / (self.C * rows))
        return {
            "phase": "fit",
            "encoder": record,
            "target": state["target"],
            "classes": classes,
            "key": "logistic/" + digest({"encoder": record, "target": state["target"], "classes": classes}),
            "rows": rows,
            "penalty": penalty,
            "round": 0,
            "max_rounds": state["max_rounds"],
            "learning_rate": state["learning_rate"],
            "solver": self._start(point, bent, state["learning_rate"]),
        }

    def _start(self, point: Floats, bent: Record, learning_rate: float | None) -> Record:
        if self.solver == "lbfgs":
            return lbfgs.start(point, bent)
        bound = float(np.add.reduce(bent["diagonal"]))  # the trace bounds the greatest eigenvalue
        step = 1.0 / bound if learning_rate is None else float(learning_rate)
        return descent.start(point, step, learning_rate is not None)

    def _model(self, state: Record) -> Record:
        """Return the model: the best point, which is where the solver stands, not where it would look next."""
        solver = state["solver"]
        point = standing(solver)
        return {
            "model": MODEL,
            "estimator": "muskox.learn:LogisticRegression",
            "kind": "logistic",
            "parameters": self.parameters(),
            "encoder": state["encoder"],
            "target": state["target"],
            "classes": state["classes"],
            "coef": point[:-1].copy(),
            "intercept": point[-1:].copy(),
            "rounds": state["round"],
            "status": solver["status"] if solver["status"] != lbfgs.RUNNING else "max_rounds",
            "loss": float(solver["loss"]),
            "gradient_norm": float(np.max(np.abs(solver["gradient"]))),
        }


def standing(solver: Mapping[str, Any]) -> Floats:
    """Return the point at which the solver's `loss` and `gradient` were found."""
    if solver.get("search"):
        point: Floats = solver["search"]["origin"]
    else:
        point = solver.get("origin", solver["point"])
    return point


def classes_of(target: Column, total: Mapping[str, Any]) -> list[Any]:
    """Return the two classes, sorted.

    Raises
    ------
    CallerError
        If the target has missing values, or not exactly two distinct ones.
    """
    values, missing = total["values"][-1], total["missing"][-1]
    if missing:
        raise CallerError(f"the target {target.name!r} is missing in {missing} of {total['rows']} rows: drop those rows first")
    if len(values) == 1:
        raise CallerError(f"the target {target.name!r} has one class only, {values[0]!r}: a classifier needs rows of two")
    if len(values) > 2:
        what = "continuous" if target.kind is Kind.FLOAT else "multiclass"
        raise CallerError(
            f"the target {target.name!r} has more than two values ({', '.join(map(repr, values))}, ...). "
            f"Only binary classification is supported. The type of the target is {what}: "
            f"make it a yes or no first, by a threshold for example"
        )
    return list(values)


def feature_moments(encoder: Encoder, total: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """Return E[x] and E[x**2] of each encoded feature: 0 and 1 of a standardised column, an indicator's share of the rows."""
    varies = np.where((total["squares"] > 0.0) & (total["low"] != total["high"]), 1.0, 0.0)
    counts: list[int] = []
    for _, present, missing in zip(encoder.categorical, total["counts"], total["missing"], strict=False):
        counts += [*present, missing] if missing else present
    shares = np.array(counts, dtype=np.float64) / total["rows"]
    return np.concatenate([np.zeros_like(varies), shares]), np.concatenate([varies, shares])
