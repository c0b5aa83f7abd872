"""A fitted logistic model: what predicts, without scikit-learn, whose import would cost each worker a second and 90 MB.

A model is its record. Every row is computed by itself, added in the order of the columns, so one row gives the same bits as in
any batch.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import expit

from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.encoder import Encoder
from muskox.records import Array, Record


class LogisticModel:
    """A binary classifier, made from the record that `LogisticProgram` leaves.

    Attributes
    ----------
    record : the model; its digest is the model's identity
    classes_ : shape (2,); the second is the one whose probability is told
    target : the column it was trained to predict
    encoder : how rows become numbers
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.encoder = Encoder(record["encoder"])
        self.classes_: Array = np.array(record["classes"])
        self.target = str(record["target"]["names"][0])
        ends = len(self.encoder.numeric) + np.cumsum([0, *self.encoder.widths])
        coef = record["coef"]
        self._tables = [np.append(coef[first:end], 0.0) for first, end in pairwise(ends)]

    @property
    def features(self) -> list[str]:
        return [column.name for column in self.encoder.columns]

    @classmethod
    def from_record(cls, record: Record) -> "LogisticModel":
        return cls(record)

    def predict_batch(self, batch: Any) -> dict[str, Array]:
        """Return "probability" (of the second class, float64) and "prediction" for each row of an Arrow record batch.

        Raises
        ------
        CallerError
            If a feature is missing in the batch, of another kind, or infinite.
        """
        margin = self.margin(batch)
        return {"probability": expit(margin), "prediction": self.decide(margin)}

    def margin(self, batch: Any) -> Floats:
        """Return w.x + b of each row: the log odds of the second class."""
        margin = np.full(batch.num_rows, self.record["intercept"][0])
        for row, weight in zip(self.encoder.numbers(batch), self.record["coef"], strict=False):
            margin += row * weight
        for codes, table in zip(self.encoder.codes(batch), self._tables, strict=True):
            margin += table[codes]
        return margin

    def decide(self, margin: Floats) -> Array:
        classes: Array = self.classes_[(margin > 0.0).astype(np.intp)]
        return classes


def load_predictor(record: Record) -> LogisticModel:
    """Return what predicts by the model that `record` describes, by its kind.

    Raises
    ------
    CallerError
        If this version of muskox knows no such model.
    """
    if record.get("kind") != "logistic":
        raise CallerError(f"this version of muskox knows no model of kind {record.get('kind')!r}")
    return LogisticModel(record)
