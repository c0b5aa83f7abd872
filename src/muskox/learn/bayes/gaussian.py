"""Gaussian naive Bayes: a program of two rounds, whose second tells what each class looks like.

The features of a class are taken as normal and independent. Per class and feature: weight, mean and sum of squared deviations,
merged by the formula of Chan, Golub and LeVeque; every variance gets ``var_smoothing`` times the greatest variance of any
feature added (scikit-learn's rule). Features are encoded, not standardised.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.encoder import Encoder
from muskox.learn.functions import log, softmax
from muskox.learn.inputs import Target, rows_of
from muskox.learn.model import Classifier
from muskox.learn.parameters import require_number
from muskox.learn.training import TrainingProgram
from muskox.program import Block, Done, Shard
from muskox.records import Array, Record


@dataclass(frozen=True, kw_only=True)
class GaussianProgram(TrainingProgram):
    """Train a Gaussian naive Bayes classifier; the result is the model's record.

    Parameters
    ----------
    priors : of the classes, in their order; empty takes their shares of the rows
    var_smoothing : times the greatest variance, added to every variance
    """

    target_kind = Target.CLASSES
    sums = False

    priors: tuple[float, ...] = ()
    var_smoothing: float = 1e-9

    def __post_init__(self) -> None:
        require_number("var_smoothing", self.var_smoothing, above=-1e-300)

    def start(self, prepared: Record) -> Record:
        check_priors(self.priors, len(prepared["classes"]))
        return {}

    def fit_partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        prepared = state["prepared"]
        encoder, classes = Encoder(prepared["encoder"]), len(prepared["classes"])
        shape = (classes, encoder.width)
        total: Record = {"weight": np.zeros((classes, 1)), "mean": np.zeros(shape), "squares": np.zeros(shape)}
        for rows in rows_of(prepared, shard, blocks):
            assert rows.target is not None, "of classes there is one"
            X = encoder.transform_batch(rows.batch)
            total = self.fit_merge(total, class_moments(X, rows.target, rows.weights, classes))
        return total

    def fit_merge(self, left: Record, right: Record) -> Record:
        weight = left["weight"] + right["weight"]
        share = right["weight"] / np.where(weight > 0.0, weight, 1.0)
        delta = right["mean"] - left["mean"]
        squares = left["squares"] + right["squares"] + delta * delta * (left["weight"] * share)
        return {"weight": weight, "mean": left["mean"] + delta * share, "squares": squares}

    def fit_update(self, state: Record, total: Record) -> Done:
        prepared = state["prepared"]
        variance = total["squares"] / total["weight"]
        weight = total["weight"][:, 0]
        priors = np.array(self.priors) if self.priors else weight / np.add.reduce(weight)
        smoothing = self.var_smoothing * float(np.max(pooled_variance(total)))
        record = self.model_record(
            prepared,
            model="muskox.learn:GaussianModel",
            estimator="muskox.learn:GaussianNB",
            kind="gaussian bayes",
            mean=total["mean"],
            variance=variance + smoothing,
            smoothing=smoothing,
            class_weight_sums=weight,
            priors=priors,
            rounds=2,
        )
        return Done(record)


def pooled_variance(total: Record) -> Floats:
    """Return the variance of each feature over the rows of all classes, shape (features,)."""
    weight = total["weight"]
    whole = np.add.reduce(weight)
    mean = np.add.reduce(weight * total["mean"]) / whole
    between = np.add.reduce(weight * (total["mean"] - mean) * (total["mean"] - mean))
    variance: Floats = (np.add.reduce(total["squares"]) + between) / whole
    return variance


def check_priors(priors: tuple[float, ...], classes: int) -> None:
    if not priors:
        return
    if len(priors) != classes:
        raise CallerError(f"priors has {len(priors)} entries: Number of priors must match number of classes, {classes}")
    if not all(prior >= 0.0 for prior in priors):
        raise CallerError("priors must be non-negative")
    if abs(sum(priors) - 1.0) > 1e-8:
        raise CallerError(f"The sum of the priors should be 1: it is {sum(priors):g}")


def class_moments(X: Floats, classes_of_rows: Array, weights: Floats | None, classes: int) -> Record:
    """Return weight, mean and squared deviations of the rows of each class; X has shape (rows, features)."""
    shape = (classes, X.shape[1])
    out: Record = {"weight": np.zeros((classes, 1)), "mean": np.zeros(shape), "squares": np.zeros(shape)}
    for index in range(classes):
        chosen = classes_of_rows == index
        if not chosen.any():
            continue
        part = X[chosen]
        weight = np.ones(len(part)) if weights is None else weights[chosen]
        whole = np.add.reduce(weight)
        mean = np.einsum("ij,i->j", part, weight, optimize=False) / whole
        deviations = part - mean
        out["weight"][index] = whole
        out["mean"][index] = mean
        out["squares"][index] = np.einsum("ij,i->j", deviations * deviations, weight, optimize=False)
    return out


class GaussianModel(Classifier):
    """A Gaussian naive Bayes classifier, made from its record."""

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self.encoder = Encoder(record["encoder"])
        self._half_precision = 0.5 / record["variance"]
        self._base = log(record["priors"]) - 0.5 * np.add.reduce(log(2.0 * np.pi * record["variance"]), axis=1)

    def joint(self, batch: Any) -> Floats:
        """Return log prior + log likelihood of each class, shape (rows, classes)."""
        X = self.encoder.transform_batch(batch)
        out = np.empty((len(X), len(self.classes_)))
        for index, mean in enumerate(self.record["mean"]):
            deviations = X - mean
            squared = np.einsum("ij,j->i", deviations * deviations, self._half_precision[index], optimize=False)
            out[:, index] = self._base[index] - squared
        return out

    def probabilities(self, batch: Any) -> Floats:
        return softmax(self.joint(batch))
