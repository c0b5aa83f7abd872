"""LogisticModel: what predicts by the record of a logistic regression."""

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import expit

from muskox.learn.columns import Floats
from muskox.learn.encoder import Encoder
from muskox.learn.model import Classifier
from muskox.records import Record


class LogisticModel(Classifier):
    """A binary classifier, made from the record that `LogisticProgram` leaves.

    Attributes
    ----------
    encoder : how rows become numbers
    """

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self.encoder = Encoder(record["encoder"])
        ends = len(self.encoder.numeric) + np.cumsum([0, *self.encoder.widths])
        coef = record["coef"]
        self._tables = [np.append(coef[first:end], 0.0) for first, end in pairwise(ends)]

    def margin(self, batch: Any) -> Floats:
        """Return w.x + b of each row: the log odds of the second class."""
        margin = np.full(batch.num_rows, self.record["intercept"][0])
        for row, weight in zip(self.encoder.numbers(batch), self.record["coef"], strict=False):
            margin += row * weight
        for codes, table in zip(self.encoder.codes(batch), self._tables, strict=True):
            margin += table[codes]
        return margin

    def scores(self, batch: Any) -> Floats:
        return self.margin(batch)

    def probabilities(self, batch: Any) -> Floats:
        margin = self.margin(batch)
        return np.stack([expit(-margin), expit(margin)], axis=1)
