"""The two kinds of random forest: sums of classes' weights, or of targets as whole numbers of one unit."""

import numpy as np

from muskox.learn.columns import Floats
from muskox.learn.inputs import Target
from muskox.learn.trees.class_splits import class_splits
from muskox.learn.trees.forest import TIMES_MOST, ForestProgram, Sample, Slots
from muskox.learn.trees.growing import Splits
from muskox.learn.trees.histograms import class_histograms, number_histograms
from muskox.learn.trees.splits import gradient_splits
from muskox.learn.trees.training import TrainingRows, whole
from muskox.records import Array, Record

WEIGHT_BITS = 20  # of the greatest weight as a whole number


class ClassForestProgram(ForestProgram):
    """Grow a forest that tells classes apart; see :class:`ForestProgram`."""

    target_kind = Target.CLASSES
    model = "muskox.learn:ForestClassifierModel"
    estimator = "muskox.learn:RandomForestClassifier"

    def channels(self, prepared: Record) -> int:
        return len(prepared["classes"])

    def values(self, prepared: Record) -> int:
        return len(prepared["classes"])

    def scales(self, state: Record) -> Floats:
        return np.array([1.0, weight_scale(state)])

    def is_narrow(self, state: Record) -> bool:
        return bool(state["scales"][1] == 1.0 and state["prepared"]["rows"] * TIMES_MOST < 1 << 31)

    def weight_of(self, totals: Array) -> Floats:
        weights: Floats = np.maximum(np.add.reduce(totals, axis=1), 1).astype(np.float64)
        return weights

    def histograms(self, state: Record, slots: Slots, rows: TrainingRows, sample: Sample, out: Array) -> None:
        weights = np.zeros(0, dtype=np.int64) if state["scales"][1] == 1.0 else whole(rows.weights, state["scales"][1])
        begins, ends = sample.places.begins[slots.nodes], sample.places.ends[slots.nodes]
        class_histograms(
            rows.bins, rows.target, weights, sample.counts, sample.places.order, begins, ends, slots.trees,
            slots.features_or_first, slots.stride, out,
        )  # fmt: skip

    def splits(self, state: Record, slots: Slots, histograms: Array) -> Splits:
        found = Splits.blank(len(slots.nodes), histograms.shape[2])
        bins, least = state["bins"], least_weight(state, self.min_samples_leaf, 1)
        class_splits(
            histograms, slots.features, slots.bases, bins["widths"], len(bins["edge_ends"]) - 1, least, histograms.shape[2],
            found.feature, found.cut, found.missing_left, found.gain, found.lefts, found.sets,
        )  # fmt: skip
        return found

    def may_split(self, state: Record, totals: Array, depths: Array) -> Array:
        weights = np.add.reduce(totals, axis=1)
        is_mixed = np.max(totals, axis=1, initial=0) < weights
        enough = max(least_weight(state, self.min_samples_split, 2), 2 * least_weight(state, self.min_samples_leaf, 1))
        may: Array = is_mixed & (weights >= enough) & (depths < self.max_depth)
        return may

    def leaf_values(self, state: Record, totals: Array) -> Floats:
        weights = np.add.reduce(totals, axis=1, keepdims=True)
        counts = state["prepared"]["counts"]
        shares: Floats = np.where(weights > 0, totals / np.maximum(weights, 1), counts / np.add.reduce(counts))
        return shares

    def scored(self, rows: TrainingRows, votes: Floats, trees: Array) -> Record:
        seen = trees > 0.0
        right = np.argmax(votes[seen], axis=1) == rows.target[seen]
        weights = rows.weights[seen] if rows.weights.size else np.ones(int(np.count_nonzero(seen)))
        return {"score": np.array([np.add.reduce(weights[right]), np.add.reduce(weights)])}

    def oob(self, total: Record) -> float:
        right, weight = total["score"]
        return float(right / weight) if weight > 0.0 else 0.0


class NumberForestProgram(ForestProgram):
    """Grow a forest that predicts a number; see :class:`ForestProgram`."""

    target_kind = Target.NUMBER
    model = "muskox.learn:ForestRegressorModel"
    estimator = "muskox.learn:RandomForestRegressor"

    def channels(self, prepared: Record) -> int:  # noqa: ARG002
        return 2  # target and weight

    def values(self, prepared: Record) -> int:  # noqa: ARG002
        return 1

    def is_narrow(self, state: Record) -> bool:  # noqa: ARG002
        return False

    def scales(self, state: Record) -> Floats:
        weight, deviation = state["peaks"]
        bits = 58 - int(state["prepared"]["rows"]).bit_length()
        return np.array([power_of_two_below((1 << bits) / max(weight * deviation, 1e-300)), weight_scale(state)])

    def weight_of(self, totals: Array) -> Floats:
        weights: Floats = np.maximum(totals[:, 1], 1).astype(np.float64)
        return weights

    def histograms(self, state: Record, slots: Slots, rows: TrainingRows, sample: Sample, out: Array) -> None:
        scale, weight_scale_ = state["scales"]
        weights = rows.weights if rows.weights.size else np.ones(len(rows.target))
        targets = whole((rows.target - state["prepared"]["mean"]) * weights, scale)
        begins, ends = sample.places.begins[slots.nodes], sample.places.ends[slots.nodes]
        number_histograms(
            rows.bins, targets, whole(weights, weight_scale_), sample.counts, sample.places.order, begins, ends, slots.trees,
            slots.features_or_first, slots.stride, out,
        )  # fmt: skip

    def splits(self, state: Record, slots: Slots, histograms: Array) -> Splits:
        found = Splits.blank(len(slots.nodes), 2)
        bins, (scale, weight_scale_), (weight, deviation) = state["bins"], state["scales"], state["peaks"]
        least = least_weight(state, self.min_samples_leaf, 1) / weight_scale_
        rules = np.array([0.0, least, 1e-12 * weight * deviation * deviation, 0.0])
        gradient_splits(
            histograms, slots.features, slots.bases, bins["widths"], len(bins["edge_ends"]) - 1,
            np.array([1.0 / scale, 1.0 / weight_scale_]), rules,
            found.feature, found.cut, found.missing_left, found.gain, found.lefts, found.sets,
        )  # fmt: skip
        return found

    def may_split(self, state: Record, totals: Array, depths: Array) -> Array:
        enough = max(least_weight(state, self.min_samples_split, 2), 2 * least_weight(state, self.min_samples_leaf, 1))
        may: Array = (totals[:, 1] >= enough) & (depths < self.max_depth)
        return may

    def leaf_values(self, state: Record, totals: Array) -> Floats:
        scale, weight_scale_ = state["scales"]
        means: Floats = -(totals[:, :1] / scale) / (np.maximum(totals[:, 1:], 1) / weight_scale_)
        means += state["prepared"]["mean"]
        return means

    def scored(self, rows: TrainingRows, votes: Floats, trees: Array) -> Record:
        seen = trees > 0.0
        weights = rows.weights[seen] if rows.weights.size else np.ones(int(np.count_nonzero(seen)))
        y, error = rows.target[seen], rows.target[seen] - votes[seen, 0] / trees[seen]
        sums = (weights, weights * y, weights * y * y, weights * error * error)
        return {"score": np.array([np.add.reduce(part) for part in sums])}

    def oob(self, total: Record) -> float:
        weight, y, squares, errors = total["score"]
        spread = squares - y * y / weight if weight > 0.0 else 0.0
        return float(1.0 - errors / spread) if spread > 0.0 else 0.0


def weight_scale(state: Record) -> float:
    """Return by what weights are multiplied before they are rounded: 1 where there are none."""
    prepared = state["prepared"]
    if prepared["weight"] is None and prepared["class_weights"] is None:
        return 1.0
    return power_of_two_below((1 << WEIGHT_BITS) / max(float(state["peaks"][0]), 1e-300))


def least_weight(state: Record, rows: int, free: int) -> int:
    """Return the weight of `rows` average rows as a whole number; of `free` or fewer 1, which any row weighs."""
    if rows <= free:
        return 1
    prepared = state["prepared"]
    return max(int(np.rint(rows * prepared["weight_sum"] / prepared["rows"] * state["scales"][1])), 1)


def power_of_two_below(x: float) -> float:
    """Return the greatest power of two that is not above `x`: to multiply by it loses no bit."""
    return float(2.0 ** (np.frexp(x)[1] - 1))
