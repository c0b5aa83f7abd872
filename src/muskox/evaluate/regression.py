"""The metrics of a regressor: R squared and the usual errors, from sums in the fixed tree.

The target's mean and sum of squared deviations are merged by the formula of Chan, Golub and LeVeque, so that a target far from
zero loses no digits. What is merged has a few numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from muskox.evaluate.scorer import Scorer
from muskox.evaluate.truth import Counts, Floats, check_counts, known_numbers, merge_counts
from muskox.program import Block
from muskox.records import Record


@dataclass(frozen=True)
class RegressionMetrics:
    """Compare a regressor's answers with the truth.

    The result: "r2" (of a constant target 1 if it is hit, else 0), "rmse", "mae", "max_error" (floats), "rows".
    """

    scorer: Scorer
    target: str
    weight: str | None = None

    def partial(self, blocks: Iterator[Block]) -> Record:
        counts = Counts()
        total = {name: np.zeros(1) for name in ("weight", "mean", "squares", "squared", "absolute", "greatest")}
        for block in blocks:
            known = known_numbers(block, self.target, self.weight, counts)
            if known.truth.size:
                told = self.scorer.predict_batch(known.batch)["prediction"]
                with np.errstate(over="ignore", invalid="ignore"):  # of a model gone wild: who reads the result says so
                    found = sums_of(known.truth, np.abs(told - known.truth), known.weights)
                    total = merge_sums(total, found)
        return {"counts": counts.record(), **total}

    def result(self, total: Record) -> Record:
        check_counts(total["counts"], self.target, self.weight, "infinite")
        told = {name: float(total[name][0]) for name in ("weight", "squares", "squared", "absolute", "greatest")}
        return {
            "r2": r_squared(told["squared"], told["squares"]),
            "rmse": float(np.sqrt(told["squared"] / told["weight"])),
            "mae": told["absolute"] / told["weight"],
            "max_error": told["greatest"],
            "rows": total["counts"]["rows"],
        }


def r_squared(squared: float, squares: float) -> float:
    """Return R squared, of the sum of squared errors and that of the target's squared deviations."""
    if squares > 0.0:
        return 1.0 - squared / squares
    return 1.0 if squared == 0.0 else 0.0


def sums_of(truth: Floats, errors: Floats, weights: Floats | None) -> Record:
    """Return what one block contributes; `truth` has a row at least."""
    w = np.ones(truth.size) if weights is None else weights
    whole = np.add.reduce(w)
    mean = np.add.reduce(w * truth) / whole
    deviations = truth - mean
    found = {
        "weight": whole,
        "mean": mean,
        "squares": np.add.reduce(w * deviations * deviations),
        "squared": np.add.reduce(w * errors * errors),
        "absolute": np.add.reduce(w * errors),
        "greatest": np.max(errors),
    }
    return {name: np.array([value]) for name, value in found.items()}


def merge_sums(left: Record, right: Record) -> Record:
    weight = left["weight"] + right["weight"]
    share = right["weight"] / np.where(weight > 0.0, weight, 1.0)
    delta = right["mean"] - left["mean"]
    return {
        "weight": weight,
        "mean": left["mean"] + delta * share,
        "squares": left["squares"] + right["squares"] + delta * delta * (left["weight"] * share),
        "squared": left["squared"] + right["squared"],
        "absolute": left["absolute"] + right["absolute"],
        "greatest": np.maximum(left["greatest"], right["greatest"]),
    }


def merge(left: Record, right: Record) -> Record:
    return {"counts": merge_counts(left["counts"], right["counts"]), **merge_sums(left, right)}
