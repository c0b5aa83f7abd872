"""SGDProgram: stochastic gradient descent as a program.

Round 1 learns the encoder and the classes; round 2 counts the rows of each shard, which fixes the batches; in every round after
it there is one global step, or several (:mod:`muskox.learn.sgd.batches`), or each shard learns alone and the models are
averaged (:mod:`muskox.learn.sgd.averaging`). When an epoch has ended, its loss tells whether another is worth while; or, where
rows are held out, theirs does, and the best epoch's coefficients are the model. A training may begin with the record of a
model: encoder and classes stay as they were learned, and round 1 is left out.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

import numpy as np

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import Inputs, Target
from muskox.learn.parameters import require_count, require_number
from muskox.learn.sgd import averaging, batches, census, progress
from muskox.learn.sgd.options import LOSSES_OF_CLASSES, LOSSES_OF_NUMBERS, Descent, standing, zeros
from muskox.learn.sgd.rows import EncodedRows, Ints, encode_rows, order_of
from muskox.learn.training import FIT, PREPARE, TrainingProgram, declared
from muskox.program import Block, Done, Manifest, Shard
from muskox.records import Record

CENSUS, TRAIN, CLOSE = "census", "train", "close"
ADJUSTABLE = {
    "learning_rate": "the rate of every step from the next round on, in place of the schedule",
    "max_rounds": "rounds of steps at most",
}


@dataclass(frozen=True, kw_only=True)
class SGDProgram(TrainingProgram):
    """What classes and numbers share.

    Parameters
    ----------
    descent : how to descend
    classes : of a first part of the data, the classes that there may be in all of it
    begin_with : the record of a model to go on from
    resume : whether the clock goes on, too, and with it the learning rate: more of the same training, not a new one
    """

    sums = False
    losses: ClassVar[tuple[str, ...]]
    model: ClassVar[str]
    estimator: ClassVar[str]

    descent: Descent = field(default_factory=Descent)
    classes: tuple[Any, ...] | None = None
    begin_with: Record | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        self.descent.check(self.losses)
        if self.begin_with is not None and self.inputs.class_weight == "balanced":
            raise CallerError(
                "class_weight='balanced' needs all rows at once: to go on from a model, give the factor of each class"
            )

    # -- how it travels --

    def parameters(self) -> Record:
        own = {"classes": None if self.classes is None else list(self.classes), "resume": self.resume}
        return {**self.inputs.parameters(), **declared(self.descent), **own, "begin_with": self.begin_with}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Self:
        begin_with, classes = parameters["begin_with"], parameters["classes"]
        if begin_with is not None and "point" not in begin_with:
            raise CallerError("this training went on from another model, which is not recorded: it cannot be repeated alone")
        return cls(
            inputs=Inputs.from_parameters(parameters),
            descent=Descent(**{each.name: parameters[each.name] for each in fields(Descent)}),
            classes=None if classes is None else tuple(classes),
            begin_with=begin_with,
            resume=bool(parameters["resume"]),
        )

    def live(self) -> Record:
        return {"max_rounds": self.descent.max_rounds, "learning_rate": None}

    def adjustable(self) -> Mapping[str, str]:
        return ADJUSTABLE

    def adjust(self, state: Record, changes: Mapping[str, float]) -> Record:
        for name, value in changes.items():
            changed: float = value
            if name == "max_rounds":
                changed = int(value) if float(value).is_integer() else value
                require_count(name, changed)
            else:
                require_number(name, value, above=0.0)
            state = {**state, name: changed}
        return state

    def report(self, state: Record) -> Mapping[str, float]:
        if state["phase"] == PREPARE or state["stage"] == CENSUS:
            return {}
        told = {"epoch": float(state["epochs"]), "rate": float(state["progress"]["rate"])}
        named = {"loss": state["loss"], "held_out_loss": state["held_out_loss"]}
        return {**told, **{name: float(value) for name, value in named.items() if value is not None}}

    # -- the rounds before the first step --

    def initial(self, manifest: Manifest) -> Record:
        if self.begin_with is None:
            return super().initial(manifest)
        prepared = census.resumed(manifest, self.inputs, self.target_kind, self.begin_with)
        return {"phase": FIT, "prepared": prepared, "key": digest(prepared), **self.live(), "stage": CENSUS, "round": 0}

    def start(self, prepared: Record) -> Record:  # noqa: ARG002  # the rows are counted first
        return {"stage": CENSUS, "round": 1}

    def update(self, state: Record, total: Record) -> Record | Done:
        if state["phase"] == PREPARE and self.classes is not None:
            total = {PREPARE: census.with_classes(total[PREPARE], self.classes)}
        return super().update(state, total)

    def adds(self, state: Record) -> bool:
        return bool(state["phase"] == FIT and state["stage"] != CENSUS and not state["plan"]["rows_travel"])

    def fit_partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        prepared, key = state["prepared"], state["key"]
        if state["stage"] == CENSUS:
            is_checked = self.begin_with is None
            return census.count(prepared, shard, lambda: self._rows(state, shard, blocks), is_checked=is_checked)
        out: Record = {}
        if state["look"]:
            held = shard.cached(f"{key}/sgd held out", lambda: encode_rows(prepared, shard, shard.blocks, is_held_out=True))
            out["held"] = self._held_out(state, held)
        if state["stage"] == CLOSE:
            return out
        rows, options = self._rows(state, shard, blocks), self._options(state)
        if self.descent.solver == "average":
            epochs = range(state["epochs"], state["epochs"] + self.descent.local_epochs)
            orders = [self._drawn(shard, epoch, rows) for epoch in epochs]
            return {**out, **averaging.local_model(state, rows, orders, options)}
        order = self._order(state, shard, rows)
        if state["plan"]["rows_travel"]:
            return {**out, "rows": batches.travellers(state, rows, order, shard.index)}
        return {**out, **batches.gradients(state, rows, order, shard.index, options)}

    def fit_merge(self, left: Record, right: Record) -> Record:
        if "census" in left:
            return census.merge(left, right)
        out = super().fit_merge(*({name: part[name] for name in part if name != "rows"} for part in (left, right)))
        return {**out, "rows": batches.joined(left["rows"], right["rows"])} if "rows" in left else out

    def fit_update(self, state: Record, total: Record) -> Record | Done:
        if state["stage"] == CENSUS:
            return self._planned(state, total)
        state = {**state, "round": state["round"] + 1}
        if "held" in total:
            state = self._judged(state, total)
            if state["stage"] == CLOSE or state["progress"]["finished"]:
                return Done(self._model(state))
        state, is_still = self._advanced(state, total)
        if state["step"] < state["plan"]["steps"]:
            return self._ended(state, "max_rounds") if state["rounds"] >= state["max_rounds"] else state
        loss, weight = (float(value) for value in state["sums"])
        epochs = self.descent.local_epochs if self.descent.solver == "average" else 1
        state = {**state, "step": 0, "sums": np.zeros(2), "loss": loss / weight, "epochs": state["epochs"] + epochs}
        if self.inputs.holds_out:
            state["look"] = True
        else:
            state["progress"] = progress.judge(state["progress"], state["loss"], self._patience, is_still=is_still)
            if state["progress"]["finished"]:
                return Done(self._model(state))
        if state["epochs"] - state["began"] >= self.descent.max_epochs:
            return self._ended(state, "max_epochs")
        return self._ended(state, "max_rounds") if state["rounds"] >= state["max_rounds"] else state

    # -- pieces --

    @property
    def _patience(self) -> progress.Patience:
        is_adaptive = self.descent.learning_rate == "adaptive"
        return progress.Patience(self.descent.tol, self.descent.n_iter_no_change, is_adaptive)

    def _rows(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> EncodedRows:
        return shard.cached(f"{state['key']}/sgd rows", lambda: encode_rows(state["prepared"], shard, blocks))

    def _order(self, state: Record, shard: Shard, rows: EncodedRows) -> Ints:
        """Return the epoch's order of a shard's rows, kept until the epoch ends.

        The key names all that it depends on beside the epoch: other programs may run over the same shard.
        """
        key, epoch = f"{state['key']}/sgd order/{self.inputs.seed}/{self.descent.shuffle}", state["epochs"]

        def make() -> tuple[int, Ints]:
            return epoch, self._drawn(shard, epoch, rows)

        kept = shard.cached(key, make)
        if kept[0] != epoch:
            shard.forget(key)
            kept = shard.cached(key, make)
        return kept[1]

    def _drawn(self, shard: Shard, epoch: int, rows: EncodedRows) -> Ints:
        return order_of(self.inputs.seed, shard.index, epoch, rows.rows, shuffle=self.descent.shuffle)

    def _options(self, state: Record) -> Floats:
        plan = state["plan"]
        rate = state["progress"]["rate"]
        return self.descent.vector(rate, plan["first_rate"], plan["mean_weight"], state["learning_rate"])

    def _held_out(self, state: Record, held: EncodedRows) -> Floats:
        """Return the loss by output of held-out rows, and their weight, shape (2,)."""
        from muskox.learn.sgd import kernels

        W = np.array(standing(state["point"]))
        loss = kernels.losses(*held.arrays, W, self._options(state))
        return np.array([loss / len(W), np.add.reduce(held.weights)])

    def _planned(self, state: Record, total: Record) -> Record:
        """Return the state before the first step: what the rows of each shard make of batches and rates."""
        found = census.checked(total)
        encoder = Encoder(state["prepared"]["encoder"])
        rows, descent = int(np.add.reduce(found["rows"])), self.descent
        steps = -(-rows // descent.batch_size)
        per_round = 1
        if descent.solver != "average":
            row_bytes = 8 * len(encoder.numeric) + 4 * len(encoder.categorical) + 20
            per_round = batches.steps_of_round(row_bytes * descent.batch_size, descent.steps_per_round, steps)
        plan = {
            "ends": np.append(0, np.cumsum(found["rows"])).astype(np.int64),
            "batch_size": descent.batch_size,
            "steps": steps,
            "steps_per_round": per_round,
            "rows_travel": per_round > 1,
            "mean_weight": float(found["weight"][0]) / rows,
            "scale": state["prepared"].get("scale", 1.0),
        }
        plan["first_rate"] = descent.first_rate(float(found["length"][0] / found["weight"][0]), plan["scale"])
        begun, began = self.begin_with, 0
        point = zeros(descent, census.shape(state["prepared"], encoder))
        if begun is not None and self.resume:
            began, kept = int(begun["epochs"]), begun["point"]
            point |= {name: kept[name] for name in point if name in kept}
            if descent.eta0 is None:
                plan["first_rate"] = float(begun["first_rate"])
        elif begun is not None:
            point["W"] = np.column_stack([begun["coef"], begun["intercept"]])
        return {
            **state,
            "stage": TRAIN,
            "plan": plan,
            "point": point,
            "best": point if self.inputs.holds_out else None,
            "progress": progress.begin(plan["first_rate"]),
            "round": state["round"] + 1,
            "rounds": 0,
            "began": began,
            "epochs": began,
            "step": 0,
            "sums": np.zeros(2),
            "loss": None,
            "held_out_loss": None,
            "look": False,
            "status": "converged",
        }

    def _advanced(self, state: Record, total: Record) -> tuple[Record, bool]:
        """Return the state after the steps of a round, and whether an average of models moved by less than `tol`."""
        is_still = False
        if self.descent.solver == "average":
            state, moved = averaging.advance(state, total)
            is_still = self.descent.tol is not None and moved <= self.descent.tol
        else:
            state = batches.advance(state, total, self._options(state))
        if not (np.isfinite(state["point"]["W"]).all() and np.isfinite(state["sums"]).all()):
            raise CallerError(
                f"the coefficients grew beyond all numbers in epoch {state['epochs'] + 1}: the steps are too long, "
                f"take a smaller eta0, standardise=True, or larger batches"
            )
        return {**state, "rounds": state["rounds"] + 1, "look": False}, is_still

    def _judged(self, state: Record, total: Record) -> Record:
        """Return the state after held-out rows have told of the epoch before."""
        loss, weight = (float(value) for value in total["held"])
        if weight == 0.0:
            raise CallerError("no row is held out to tell when to stop: raise validation_fraction, or mark some rows")
        told = progress.judge(state["progress"], loss / weight, self._patience)
        best = state["point"] if told["improved"] else state["best"]
        return {**state, "progress": told, "best": best, "held_out_loss": told["best"]}

    def _ended(self, state: Record, status: str) -> Record | Done:
        """Return the state of the last look at held-out rows, or the result if there are none."""
        state = {**state, "status": status}
        return {**state, "stage": CLOSE, "look": True} if self.inputs.holds_out else Done(self._model(state))

    def _model(self, state: Record) -> Record:
        point = state["best"] if self.inputs.holds_out else state["point"]
        W = standing(point)
        loss = state["loss"]
        if loss is None and state["sums"][1] > 0.0:
            loss = float(state["sums"][0] / state["sums"][1])
        parameters = self.parameters()
        if self.begin_with is not None:
            parameters["begin_with"] = {"digest": digest(self.begin_with)}
            for name in ("features", "categorical"):  # those that the model has learned
                parameters[name] = parameters[name] or self.begin_with["parameters"][name]
        record = self.model_record(
            state["prepared"],
            model=self.model,
            estimator=self.estimator,
            kind="sgd",
            coef=np.array(W[:, :-1]),
            intercept=np.array(W[:, -1]),
            point=point,
            first_rate=state["plan"]["first_rate"],
            scale=state["plan"]["scale"],
            epochs=state["epochs"],
            rounds=state["round"],
            status=state["status"],
            loss=loss if loss is not None and math.isfinite(loss) else None,
            held_out_loss=state["held_out_loss"],
        )
        return {**record, "parameters": parameters}


@dataclass(frozen=True, kw_only=True)
class SGDClassifierProgram(SGDProgram):
    """Learn a linear classifier, one class against the others; the result is the model's record."""

    target_kind = Target.CLASSES
    losses = LOSSES_OF_CLASSES
    model = "muskox.learn:SGDClassifierModel"
    estimator = "muskox.learn:SGDClassifier"


@dataclass(frozen=True, kw_only=True)
class SGDRegressorProgram(SGDProgram):
    """Learn a linear regressor; the result is the model's record."""

    target_kind = Target.NUMBER
    losses = LOSSES_OF_NUMBERS
    model = "muskox.learn:SGDRegressorModel"
    estimator = "muskox.learn:SGDRegressor"
