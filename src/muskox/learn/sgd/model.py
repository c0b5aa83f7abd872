"""What predicts by the record of a linear model learned by stochastic gradient descent; it needs no compiler."""

from typing import Any

import numpy as np
from scipy.special import expit

from muskox.learn.columns import Floats
from muskox.learn.encoder import Encoder
from muskox.learn.model import Classifier, Regressor, choose
from muskox.learn.sgd.rows import encode_batch
from muskox.records import Array, Record

WITH_PROBABILITIES = ("log_loss", "modified_huber")


class LinearMargins:
    """Coefficients and intercepts of each output, shapes (outputs, encoded features) and (outputs,)."""

    def __init__(self, record: Record) -> None:
        self.encoder = Encoder(record["encoder"])
        coef: Floats = record["coef"]
        self._coef = np.concatenate([coef.T, np.zeros((1, coef.shape[0]))])  # the last, of place -1: a category never seen
        self._intercept: Floats = record["intercept"]

    def __call__(self, batch: Any) -> Floats:
        """Return w.x + b of each row and output, shape (rows, outputs): column after column, so that rows do not mix."""
        numbers, places = encode_batch(self.encoder, batch)
        out = np.zeros((batch.num_rows, self._intercept.size))
        for column, coef in zip(numbers.T, self._coef, strict=False):
            out += column[:, None] * coef
        for column in places.T:
            out += self._coef[column]
        out += self._intercept
        return out


class SGDClassifierModel(Classifier):
    """A linear classifier, one output of two classes and one each of more; probabilities if its loss has them."""

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self.loss = str(record["parameters"]["loss"])
        self._margins = LinearMargins(record)
        self.encoder = self._margins.encoder

    @property
    def has_probabilities(self) -> bool:  # type: ignore[override]  # here it depends on the loss
        return self.loss in WITH_PROBABILITIES

    def scores(self, batch: Any) -> Floats:
        margins = self._margins(batch)
        return margins[:, 0] if margins.shape[1] == 1 else margins

    def probabilities(self, batch: Any) -> Floats:
        """Return each class's probability, one class against the others, scaled to a sum of 1 where there are more than two."""
        return probabilities(self.loss, self.scores(batch))

    def decide(self, batch: Any) -> tuple[Array, Floats]:
        """As of all classifiers, but the margins decide: of clipped probabilities two may be equal."""
        scores = self.scores(batch)
        return choose(scores), probabilities(self.loss, scores) if self.has_probabilities else scores


class SGDRegressorModel(Regressor):
    """A linear regressor."""

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self._margins = LinearMargins(record)
        self.encoder = self._margins.encoder

    def values(self, batch: Any) -> Floats:
        return self._margins(batch)[:, 0]


def probabilities(loss: str, scores: Floats) -> Floats:
    """Return probabilities, shape (rows, classes), from margins: by the logistic function, or clipped (Zhang, 2004)."""
    of = expit(scores) if loss == "log_loss" else (np.clip(scores, -1.0, 1.0) + 1.0) / 2.0
    if of.ndim == 1:
        negative = expit(-scores) if loss == "log_loss" else 1.0 - of
        return np.stack([negative, of], axis=1)
    total = np.zeros(len(of))
    for column in of.T:
        total += column
    none = total == 0.0  # no class at all: each is as likely
    of = np.where(none[:, None], 1.0 / of.shape[1], of)
    out: Floats = of / np.where(none, 1.0, total)[:, None]
    return out
