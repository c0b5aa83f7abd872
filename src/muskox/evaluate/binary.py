"""The metrics of a binary classifier: AUC, log loss, accuracy and the confusion matrix.

Everything that is a count is exact; the log loss is a sum in the fixed tree. Each shard contributes its distinct scores, so
what is merged grows with them: 24 bytes for each.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from muskox.evaluate import ranks
from muskox.evaluate.scorer import ClassScorer
from muskox.evaluate.truth import Counts, check_counts, known_classes, merge_counts, neither
from muskox.program import Block
from muskox.records import Record

EPSILON = float(np.finfo(np.float64).eps)  # probabilities are kept this far from 0 and 1, as scikit-learn's log_loss does

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BinaryMetrics:
    """Compare a binary classifier's answers with the truth.

    The result: "auc" (None where all rows are of one class: there is nothing to rank), "log_loss" (None without probabilities),
    "accuracy" (floats), "confusion" ([true class, predicted class], int64, or float64 sums of weights), "rows", "positives",
    "classes".
    """

    scorer: ClassScorer
    target: str
    weight: str | None = None
    is_ranked: bool = True

    def partial(self, blocks: Iterator[Block]) -> Record:
        scores, positive, weights = [np.zeros(0)], [np.zeros(0, dtype=bool)], [np.zeros(0)]
        counts, losses = Counts(), np.zeros(1)
        cells = np.zeros(4, dtype=np.int64 if self.weight is None else np.float64)
        for block in blocks:
            known = known_classes(block, self.target, self.scorer.classes_.tolist(), self.weight, counts)
            if not known.truth.size:
                continue
            answer = self.scorer.predict_batch(known.batch)
            labels = known.truth == 1
            guessed = answer["prediction"] == self.scorer.classes_[1]
            cells += np.bincount(2 * known.truth + guessed, known.weights, minlength=4).astype(cells.dtype)
            if self.scorer.has_probabilities:
                losses += log_loss_sum(np.where(labels, answer["probability"], 1.0 - answer["probability"]), known.weights)
            if self.is_ranked:
                scores.append(answer["probability" if self.scorer.has_probabilities else "score"])
                positive.append(labels)
                if known.weights is not None:
                    weights.append(known.weights)
        sums = {"counts": counts.record(), "log_loss": losses, "confusion": cells.reshape(2, 2)}
        weighed = None if self.weight is None else np.concatenate(weights)
        return {**sums, **ranks.rank(np.concatenate(scores), np.concatenate(positive), weighed)}

    def result(self, total: Record) -> Record:
        check_counts(total["counts"], self.target, self.weight, neither(self.scorer.classes_.tolist()))
        confusion = total["confusion"]
        whole, positives = np.add.reduce(confusion, axis=None), np.add.reduce(confusion[1])
        is_rankable = self.is_ranked and 0 < positives < whole
        return {
            "auc": ranks.area_under_roc(total["positives"], total["negatives"]) if is_rankable else None,
            "log_loss": float(total["log_loss"][0]) / float(whole) if self.scorer.has_probabilities else None,
            "accuracy": float(confusion[0, 0] + confusion[1, 1]) / float(whole),
            "confusion": confusion,
            "rows": total["counts"]["rows"],
            "positives": positives.item(),
            "classes": self.scorer.classes_.tolist(),
        }


def merge(left: Record, right: Record) -> Record:
    summed = {name: left[name] + right[name] for name in ("log_loss", "confusion")}
    return {"counts": merge_counts(left["counts"], right["counts"]), **summed, **ranks.merge(left, right)}


def log_loss_sum(right: Floats, weights: Floats | None = None) -> float:
    """Return the sum of the log losses of rows, whose true classes were given the probabilities `right`."""
    losses = xlogy(1.0, np.clip(right, EPSILON, 1.0 - EPSILON))
    return -float(np.add.reduce(losses if weights is None else losses * weights))
