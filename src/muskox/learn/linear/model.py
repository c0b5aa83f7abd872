"""LogisticModel, SupportModel, LinearModel: what predicts by the records of linear models.

A record has "coef" for standardised columns and "intercept": of one output (width,) and (1,), of more (outputs, width) and
(outputs,).
"""

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import expit

from muskox.learn.columns import Column, Floats, Kind
from muskox.learn.encoder import Encoder
from muskox.learn.functions import softmax
from muskox.learn.linear.sparse import read
from muskox.learn.model import Classifier, Model, Regressor
from muskox.records import Record


def coefficients(points: Floats, prepared: Record) -> Record:
    """Return points, shape (outputs, width + 1), as a record has them, and which sparse columns they are of."""
    coef, intercept = points[:, :-1].copy(), points[:, -1].copy()
    told: Record = {"coef": coef[0] if len(points) == 1 else coef, "intercept": intercept}
    if "sparse" in prepared:
        told["sparse"] = {name: prepared["sparse"][name] for name in ("names", "kinds", "widths")}
    return told


class Linear(Model):
    """What linear models share.

    Attributes
    ----------
    encoder : how rows become numbers
    """

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self.encoder = Encoder(record["encoder"])
        self._coef = np.atleast_2d(record["coef"])
        self._sparse = record.get("sparse")
        if self._sparse is not None:
            self.columns = [*self.columns, *(Column(name, Kind.STRING, True) for name in self._sparse["names"])]
        ends = len(self.encoder.numeric) + np.cumsum([0, *self.encoder.widths])
        self._tables = [[np.append(coef[first:end], 0.0) for first, end in pairwise(ends)] for coef in self._coef]

    def feature_names_out(self) -> list[str]:
        """Return a name for each coefficient: the encoder's, then "column:index" of sparse columns."""
        names = self.encoder.feature_names_out()
        if self._sparse is not None:
            for name, width in zip(self._sparse["names"], self._sparse["widths"], strict=True):
                names += [f"{name}:{index}" for index in range(width)]
        return names

    def margins(self, batch: Any) -> Floats:
        """Return w.x + b of each output and row, shape (outputs, rows)."""
        numbers, codes = self.encoder.numbers(batch), self.encoder.codes(batch)
        out = np.empty((len(self._coef), batch.num_rows))
        for margin, intercept, coef, tables in zip(out, self.record["intercept"], self._coef, self._tables, strict=True):
            margin.fill(intercept)
            for row, weight in zip(numbers, coef, strict=False):
                np.add(margin, row * weight, out=margin)
            for code, table in zip(codes, tables, strict=True):
                np.add(margin, table[code], out=margin)
        if self._sparse is not None:
            from muskox.learn.linear.sparse_kernels import add_sparse_margins  # compiled: only sparse models wait for it

            rows = read(self._sparse, batch)
            for margin, coef in zip(out, self._coef, strict=True):
                weights = np.ascontiguousarray(coef[self.encoder.width :])
                add_sparse_margins(rows.starts, rows.indexes, rows.values, weights, margin)
        return out

    def margin(self, batch: Any) -> Floats:
        """Return w.x + b of each row, of the first output."""
        first: Floats = self.margins(batch)[0]
        return first


class LinearClassifier(Linear, Classifier):
    """A linear classifier: one margin for two classes, one a class for more."""

    def scores(self, batch: Any) -> Floats:
        margins = self.margins(batch)
        return margins[0] if len(margins) == 1 else np.ascontiguousarray(margins.T)


class LogisticModel(LinearClassifier):
    """A logistic regression, made from the record that `LogisticProgram` leaves."""

    def probabilities(self, batch: Any) -> Floats:
        scores = self.scores(batch)
        if scores.ndim == 1:
            return np.stack([expit(-scores), expit(scores)], axis=1)
        return softmax(scores)


class SupportModel(LinearClassifier):
    """A linear support vector machine, made from the record that `SupportProgram` leaves."""

    has_probabilities = False


class LinearModel(Linear, Regressor):
    """A linear regression of any loss, made from its program's record."""

    def values(self, batch: Any) -> Floats:
        return self.margin(batch)
