"""Multinomial naive Bayes: a program of two rounds, whose second counts every feature in every class.

A class draws its rows' counts with a share for each feature: (count + alpha) over their sum. Counts are sums of the features'
numbers as they are, and so exact where those are whole. Features are encoded, not standardised: an indicator counts 0 or 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from muskox.errors import CallerError
from muskox.learn.bayes.gaussian import check_priors
from muskox.learn.columns import Floats, from_record
from muskox.learn.encoder import Encoder
from muskox.learn.functions import log, softmax
from muskox.learn.inputs import Target, rows_of
from muskox.learn.model import Classifier
from muskox.learn.parameters import require_choice, require_number
from muskox.learn.training import TrainingProgram
from muskox.program import Block, Done, Shard
from muskox.records import Record


@dataclass(frozen=True, kw_only=True)
class MultinomialProgram(TrainingProgram):
    """Train a multinomial naive Bayes classifier; the result is the model's record.

    Parameters
    ----------
    alpha : added to every count
    fit_prior : whether classes are as frequent as in training; otherwise all are equally so
    class_prior : of the classes, in their order, instead; empty says nothing
    """

    target_kind = Target.CLASSES

    alpha: float = 1.0
    fit_prior: bool = True
    class_prior: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require_number("alpha", self.alpha, above=0.0)
        require_choice("fit_prior", self.fit_prior, (True, False))

    def start(self, prepared: Record) -> Record:
        check_priors(self.class_prior, len(prepared["classes"]))
        numeric = [column for column in from_record(prepared["columns"]) if not column.categorical]
        for column, low in zip(numeric, prepared["features"]["low"], strict=True):
            if low < 0.0:
                raise CallerError(
                    f"Negative values in data passed to MultinomialNB (input X): column {column.name!r} goes down to {low:g}"
                )
        return {}

    def fit_partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        prepared = state["prepared"]
        encoder, classes = Encoder(prepared["encoder"]), len(prepared["classes"])
        counts, weights = np.zeros((classes, encoder.width)), np.zeros(classes)
        for rows in rows_of(prepared, shard, blocks):
            assert rows.target is not None, "of classes there is one"
            X = encoder.transform_batch(rows.batch)
            weight = np.ones(len(X)) if rows.weights is None else rows.weights
            if rows.weights is not None:
                X *= weight[:, None]
            for index in range(classes):
                chosen = rows.target == index
                if chosen.any():
                    counts[index] += np.add.reduce(X[chosen])
                    weights[index] += np.add.reduce(weight[chosen])
        return {"counts": counts, "weights": weights}

    def fit_update(self, state: Record, total: Record) -> Done:
        prepared, weights = state["prepared"], total["weights"]
        smoothed = total["counts"] + self.alpha
        if self.class_prior:
            priors = np.array(self.class_prior)
        elif self.fit_prior:
            priors = weights / np.add.reduce(weights)
        else:
            priors = np.full(len(weights), 1.0 / len(weights))
        record = self.model_record(
            prepared,
            model="muskox.learn:MultinomialModel",
            estimator="muskox.learn:MultinomialNB",
            kind="multinomial bayes",
            counts=total["counts"],
            shares=smoothed / np.add.reduce(smoothed, axis=1)[:, None],
            class_weight_sums=weights,
            priors=priors,
            rounds=2,
        )
        return Done(record)


class MultinomialModel(Classifier):
    """A multinomial naive Bayes classifier, made from its record."""

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self.encoder = Encoder(record["encoder"])
        self.log_shares: Floats = log(record["shares"])
        self.log_priors: Floats = log(record["priors"])
        self._by_feature = np.ascontiguousarray(self.log_shares.T)

    def joint(self, batch: Any) -> Floats:
        """Return log prior + log likelihood of each class, but for what all classes share, shape (rows, classes)."""
        from muskox.learn.products import product

        return product(self.encoder.transform_batch(batch), self._by_feature) + self.log_priors

    def probabilities(self, batch: Any) -> Floats:
        return softmax(self.joint(batch))
