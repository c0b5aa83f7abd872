"""Evaluation of a binary classifier as a program of one round: AUC, log loss, accuracy and the confusion matrix.

Everything that is a count is exact; the log loss is a sum in the fixed tree. Each shard contributes its distinct scores, so
what is merged grows with them: 24 bytes for each.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import xlogy

from muskox.errors import CallerError
from muskox.evaluate import ranks
from muskox.evaluate.scorer import Scorer, load_scorer
from muskox.program import Block, Done, Manifest, Program, Shard
from muskox.records import Record

EPSILON = float(np.finfo(np.float64).eps)  # probabilities are kept this far from 0 and 1, as scikit-learn's log_loss does


@dataclass(frozen=True, eq=False)  # the model holds arrays, which do not compare to one bool
class EvaluateProgram:
    """Score a dataset by a model and compare with its column `target`.

    The result: "auc" (None where all rows are of one class: there is nothing to rank), "log_loss", "accuracy" (floats),
    "confusion" (int64, [true class, predicted class]), "rows", "positives", "classes".
    """

    kind: ClassVar[str] = "evaluate"

    model: Mapping[str, Any]
    target: str

    def parameters(self) -> Record:
        return {"model": dict(self.model), "target": self.target}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        return cls(parameters["model"], str(parameters["target"]))

    def reads(self) -> list[str]:
        return [*self.scorer.features, self.target]

    @cached_property
    def scorer(self) -> Scorer:
        return load_scorer(self.model)

    def initial(self, manifest: Manifest) -> Record:
        if self.target not in manifest.columns:
            raise CallerError(f"no column {self.target!r} to compare with: this dataset has {', '.join(manifest.columns)}")
        return {"rows": manifest.rows}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:  # noqa: ARG002  # the contract's
        scores, truth, predicted = [np.zeros(0)], [np.zeros(0, dtype=bool)], [np.zeros(0, dtype=bool)]
        losses, rows_missing, rows_strange = np.zeros(1), 0, 0
        for block in blocks:
            labels, missing, strange = self._labels(block)
            rows_missing += missing
            rows_strange += strange
            answer = self.scorer.predict_batch(block.batch)
            scores.append(answer["probability"])
            truth.append(labels)
            predicted.append(answer["prediction"] == self.scorer.classes_[1])
            losses += log_loss_sum(answer["probability"], labels)
        positive, guessed = np.concatenate(truth), np.concatenate(predicted)
        cells = np.bincount(2 * positive.astype(np.int64) + guessed, minlength=4)
        sums = {"log_loss": losses, "missing": rows_missing, "strange": rows_strange, "confusion": cells.reshape(2, 2)}
        return {**sums, **ranks.rank(np.concatenate(scores), positive)}

    def merge(self, left: Record, right: Record) -> Record:
        summed = {name: left[name] + right[name] for name in ("log_loss", "missing", "strange", "confusion")}
        return {**summed, **ranks.merge(left, right)}

    def update(self, state: Record, total: Record) -> Record | Done:  # noqa: ARG002  # the contract's
        confusion = total["confusion"]
        rows, positives = int(confusion.sum()), int(confusion[1].sum())
        self._check(total, rows)
        result = {
            "auc": ranks.area_under_roc(total["positives"], total["negatives"]) if 0 < positives < rows else None,
            "log_loss": float(total["log_loss"][0]) / rows,
            "accuracy": int(confusion[0, 0] + confusion[1, 1]) / rows,
            "confusion": confusion,
            "rows": rows,
            "positives": positives,
            "classes": self.scorer.classes_.tolist(),
        }
        return Done(result)

    def _labels(self, block: Block) -> tuple[NDArray[np.bool_], int, int]:
        """Return which rows are of the second class, how many labels are missing, and how many are of neither class."""
        column = block.batch.column(block.batch.schema.get_field_index(self.target))
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), None, column)
        values = np.array(column.to_pylist(), dtype=object)
        negative, positive = self.scorer.classes_.tolist()
        second = np.array(values == positive, dtype=bool)
        missing = int(column.null_count)
        return second, missing, int(values.size - missing - second.sum() - np.sum(values == negative))

    def _check(self, total: Record, rows: int) -> None:
        classes = " or ".join(repr(value) for value in self.scorer.classes_.tolist())
        if not rows:
            raise CallerError("this dataset has no rows: there is nothing to evaluate")
        if total["missing"]:
            raise CallerError(
                f"the target {self.target!r} is missing in {total['missing']} of {rows} rows: drop those rows first"
            )
        if total["strange"]:
            raise CallerError(f"the target {self.target!r} is neither {classes} in {total['strange']} of {rows} rows")


def log_loss_sum(probability: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    right = np.where(positive, probability, 1.0 - probability)
    return -float(np.add.reduce(xlogy(1.0, np.clip(right, EPSILON, 1.0 - EPSILON))))
