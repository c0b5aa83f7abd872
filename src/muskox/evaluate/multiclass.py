"""The metrics of a classifier of more than two classes: accuracy, log loss, the confusion matrix, and what follows from it.

The confusion matrix is a count, so exact (or a sum of weights); the log loss is a sum in the fixed tree. What is merged has
8 bytes for each pair of classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muskox.evaluate.binary import log_loss_sum
from muskox.evaluate.scorer import ClassScorer
from muskox.evaluate.truth import Counts, check_counts, known_classes, merge_counts, neither
from muskox.program import Block
from muskox.records import Array, Record

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MulticlassMetrics:
    """Compare a classifier's answers with the truth.

    The result: "accuracy", "log_loss" (None without probabilities), "macro_f1" (floats), "confusion" ([true class, predicted
    class], int64, or float64 sums of weights), "precision", "recall", "f1" (float64 by class; 0 where there is nothing to
    divide by), "rows", "classes".
    """

    scorer: ClassScorer
    target: str
    weight: str | None = None

    def partial(self, blocks: Iterator[Block]) -> Record:
        classes = self.scorer.classes_.tolist()
        counts, losses = Counts(), np.zeros(1)
        cells = np.zeros(len(classes) ** 2, dtype=np.int64 if self.weight is None else np.float64)
        for block in blocks:
            known = known_classes(block, self.target, classes, self.weight, counts)
            if not known.truth.size:
                continue
            guessed, told = self.scorer.decide(known.batch)
            if self.scorer.has_probabilities:
                right = np.take_along_axis(told, known.truth[:, None], axis=1)[:, 0]
                losses += log_loss_sum(right, known.weights)
            pairs = len(classes) * known.truth + guessed
            cells += np.bincount(pairs, known.weights, minlength=cells.size).astype(cells.dtype)
        return {"counts": counts.record(), "log_loss": losses, "confusion": cells.reshape(len(classes), len(classes))}

    def result(self, total: Record) -> Record:
        classes = self.scorer.classes_.tolist()
        check_counts(total["counts"], self.target, self.weight, neither(classes))
        confusion = total["confusion"]
        whole = float(np.add.reduce(confusion, axis=None))
        by_class = of_confusion(confusion)
        return {
            "accuracy": float(np.add.reduce(np.diagonal(confusion))) / whole,
            "log_loss": float(total["log_loss"][0]) / whole if self.scorer.has_probabilities else None,
            "macro_f1": float(np.add.reduce(by_class["f1"])) / len(classes),
            "confusion": confusion,
            **by_class,
            "rows": total["counts"]["rows"],
            "classes": classes,
        }


def merge(left: Record, right: Record) -> Record:
    summed = {name: left[name] + right[name] for name in ("log_loss", "confusion")}
    return {"counts": merge_counts(left["counts"], right["counts"]), **summed}


def of_confusion(confusion: Array) -> dict[str, Floats]:
    """Return precision, recall and F1 of each class, 0 where there is nothing to divide by."""
    hits = np.diagonal(confusion).astype(np.float64)
    true = np.add.reduce(confusion, axis=1).astype(np.float64)
    guessed = np.add.reduce(confusion, axis=0).astype(np.float64)
    return {"precision": ratio(hits, guessed), "recall": ratio(hits, true), "f1": ratio(2.0 * hits, true + guessed)}


def ratio(above: Floats, below: Floats) -> Floats:
    out: Floats = np.divide(above, below, out=np.zeros_like(above), where=below > 0.0)
    return out
