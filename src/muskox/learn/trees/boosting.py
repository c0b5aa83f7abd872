"""Gradient boosting as programs: a tree (of several classes, one of each) after the other, a round for each level.

Each tree takes a Newton step on the loss (Friedman, "Greedy function approximation", 2001; Chen and Guestrin, "XGBoost", 2016).
Gradients and hessians are rounded to whole numbers of a unit that depends on the data alone, so that a histogram is the same
however its rows were spread and added. Of two children the histogram of the lighter one is counted, that of the other is what
remains of their parent's. A row's score is the sum of its leaves in the order of the trees, in float64, and so a function of
the row and the trees.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.functions import log, log_sum_exp
from muskox.learn.inputs import Target
from muskox.learn.parameters import require_count, require_number
from muskox.learn.trees.gradients import binary_gradients, class_gradients, number_gradients
from muskox.learn.trees.growing import Splits, branch, first, joined, landed, no_trees, take_off
from muskox.learn.trees.histograms import GRADIENT_MOST, HESSIAN_MOST, gradient_histograms
from muskox.learn.trees.splits import gradient_splits
from muskox.learn.trees.training import Places, TrainingRows, TreeProgram, training_rows, walk
from muskox.program import Done, Shard
from muskox.records import Array, Record
from muskox.streams import stream

CATEGORY_SMOOTHING = 1.0  # added to a category's hessian when categories are ordered
ADJUSTABLE = {
    "learning_rate": "the factor of each tree from the next one on",
    "n_estimators": "trees at most (of several classes: of each)",
}


@dataclass(frozen=True, kw_only=True)
class BoostingProgram(TreeProgram):
    """Boost trees; the result is the model's record.

    Parameters
    ----------
    n_estimators : trees at most (of several classes: of each)
    learning_rate : the factor of each tree
    l2_regularization : added to each leaf's hessian
    min_child_weight : the least hessian of a leaf: of squared error the weight of its rows
    min_split_gain : the least gain of a split
    subsample : the share of the rows that a tree sees
    colsample_bytree : the share of the features that a tree looks at
    n_iter_no_change : trees without a better loss on the held-out rows after which to stop; 0: never
    tol : by how much a loss must be better to count
    """

    n_estimators: int = 100
    learning_rate: float = 0.1
    l2_regularization: float = 1.0
    min_child_weight: float = 1.0
    min_split_gain: float = 0.0
    subsample: float = 1.0
    colsample_bytree: float = 1.0
    n_iter_no_change: int = 10
    tol: float = 1e-7

    model: ClassVar[str]
    estimator: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("n_estimators", self.n_estimators)
        require_number("learning_rate", self.learning_rate, above=0.0)
        for name in ("l2_regularization", "min_child_weight", "min_split_gain", "tol"):
            require_number(name, getattr(self, name), above=-1e-300)
        for name in ("subsample", "colsample_bytree"):
            require_number(name, getattr(self, name), above=0.0, most=1.0)
        require_count("n_iter_no_change", self.n_iter_no_change, 0)

    # -- a kind's own --

    def base(self, prepared: Record) -> Floats:
        """Return the score of every row before the first tree, shape (trees at a time,)."""
        raise NotImplementedError

    def most(self, state: Record) -> tuple[float, float]:
        """Return what no gradient and no hessian can exceed."""
        raise NotImplementedError

    def gradients(self, scores: Floats, rows: TrainingRows, scales: Floats, out: Array) -> None:
        raise NotImplementedError

    def losses(self, scores: Floats, rows: TrainingRows) -> Floats:
        """Return the loss of each row, unweighted."""
        raise NotImplementedError

    # -- rounds --

    def live(self) -> Record:
        return {"learning_rate": float(self.learning_rate), "n_estimators": self.n_estimators}

    def adjustable(self) -> dict[str, str]:
        return ADJUSTABLE

    def adjust(self, state: Record, changes: dict[str, float]) -> Record:
        for name, value in changes.items():
            if name == "n_estimators":
                settled: Any = int(value) if float(value).is_integer() else value
                require_count(name, settled)
            else:
                require_number(name, value, above=0.0)
                settled = float(value)
            state = {**state, name: settled}
        return state

    def begin(self, state: Record) -> Record:
        gradient, hessian = self.most(state)
        base = self.base(state["prepared"])
        state = {
            **state,
            "base": base,
            "scales": np.array([GRADIENT_MOST / max(gradient, 1e-300), HESSIAN_MOST / max(hessian, 1e-300)]),
            "trees": no_trees(1),
            "gains": np.zeros(len(state["bins"]["widths"])),
            "losses": [],
            "best": 0,
            "stamp": digest({"base": base}),
            "before": "",
        }
        return self._next_flight(state)

    def _next_flight(self, state: Record) -> Record:
        done, widths = len(state["trees"]["roots"]), state["bins"]["widths"]
        features = np.arange(len(widths), dtype=np.int32)
        if self.colsample_bytree < 1.0:
            count = max(int(np.rint(self.colsample_bytree * len(widths))), 1)
            features = np.sort(stream(self.inputs.seed, "features of a tree", 0, done).permutation(features)[:count])
        flight = take_off(done, state["base"].size, 2)
        positions = int(np.add.reduce(widths[features] + 1))
        nothing = np.zeros((0, positions, 2), dtype=np.int64)
        return {**state, "flight": flight, "features": features, "above": nothing, "parents": np.zeros(0, dtype=np.int32)}

    def grow_partial(self, state: Record, shard: Shard, rows: TrainingRows) -> Record:
        held = shard.cached(state["run_key"], Boosted)
        flight, bins = state["flight"], state["bins"]
        numeric = len(bins["edge_ends"]) - 1
        if held.stamp != state["stamp"] or held.places is None or held.places.known > len(flight["left"]):
            held.score(state, rows.bins)
            packed = np.empty((state["base"].size, len(rows.bins)), dtype=np.int64)
            self.gradients(held.scores, rows, state["scales"], packed)
            held.places_of(packed, self._chosen(state, shard, len(rows.bins)))
        assert held.places is not None
        held.places.follow(flight, rows.bins, bins["widths"], numeric)
        nodes = counted(flight)
        out = np.zeros((len(nodes), state["above"].shape[1], 2), dtype=np.int64)
        order, bases = held.places.order, self._bases(state)
        trees = flight["tree"][nodes] - flight["tree"][0]
        for tree in range(state["base"].size):
            own = trees == tree
            begins, ends = held.places.begins[nodes[own]], held.places.ends[nodes[own]]
            part = out if len(held.packed) == 1 else np.zeros((len(begins), *out.shape[1:]), dtype=np.int64)
            gradient_histograms(rows.bins, held.packed[tree], order, begins, ends, state["features"], bases, part)
            if part is not out:
                out[own] = part
        return {"histograms": out, **(self._validated(state, shard) if is_first(flight) else {})}

    def _validated(self, state: Record, shard: Shard) -> Record:
        """Return the sums of held-out losses and weights: before the first level of a tree, of all trees before it."""
        if not self.inputs.holds_out:
            return {}
        aside = shard.cached(state["rows_key"] + "/aside", lambda: training_rows(state, shard, shard.blocks, is_held_out=True))
        held = shard.cached(state["run_key"] + "/aside", Boosted)
        held.score(state, aside.bins)
        losses = self.losses(held.scores, aside)
        weights = aside.weights if aside.weights.size else np.ones(len(losses))
        return {"validation": np.array([np.add.reduce(losses * weights), np.add.reduce(weights)])}

    def _chosen(self, state: Record, shard: Shard, rows: int) -> list[Array]:
        """Return the rows that each tree of the flight sees."""
        if self.subsample == 1.0:
            return [np.arange(rows, dtype=np.int32)] * state["base"].size
        done = len(state["trees"]["roots"])
        drawn = stream(self.inputs.seed, "rows of a tree", shard.index, done).random(rows)
        return [np.flatnonzero(drawn < self.subsample).astype(np.int32)] * state["base"].size

    def _bases(self, state: Record) -> Array:
        widths = state["bins"]["widths"][state["features"]]
        return np.concatenate([[0], np.cumsum(widths[:-1] + 1)]).astype(np.int64)

    def grow_update(self, state: Record, total: Record) -> Record | Done:
        flight, histograms = state["flight"], total["histograms"]
        if is_first(flight):
            if "validation" in total:
                state = watched(state, total["validation"], self.tol)
                if self._is_over(state):
                    return Done(self._model(state))
            flight = {**flight, "totals": np.add.reduce(histograms[:, : int(self._width(state)), :], axis=1)}
        else:
            histograms = with_siblings(flight, histograms, state["above"], state["parents"])
        nodes = flight["open"]
        splits = Splits.blank(len(nodes), 2)
        rules = np.array([self.l2_regularization, self.min_child_weight, self.min_split_gain, CATEGORY_SMOOTHING])
        looked_at = np.ascontiguousarray(np.tile(state["features"], (len(nodes), 1)))
        gradient_splits(
            histograms, looked_at, self._bases(state), state["bins"]["widths"], len(state["bins"]["edge_ends"]) - 1,
            1.0 / state["scales"], rules,
            splits.feature, splits.cut, splits.missing_left, splits.gain, splits.lefts, splits.sets,
        )  # fmt: skip
        gains, split = state["gains"].copy(), splits.feature >= 0
        np.add.at(gains, splits.feature[split], splits.gain[split])
        least = 2 * self.min_child_weight * state["scales"][1]
        flight = branch(flight, nodes, splits, lambda totals, depths: (totals[:, 1] >= least) & (depths < self.max_depth))
        state = {**state, "flight": flight, "gains": gains}
        if len(flight["open"]):
            is_parent = np.isin(flight["left"][nodes], np.concatenate([flight["open"], flight["open"] - 1])) & split
            return {**state, "above": histograms[is_parent], "parents": nodes[is_parent]}
        return self._landed(state)

    def _landed(self, state: Record) -> Record | Done:
        """Return the state after the trees of the flight are done."""
        unit_g, unit_h = 1.0 / state["scales"]
        rate, l2 = state["learning_rate"], self.l2_regularization

        def leaf_values(totals: Array, _: Array) -> Floats:
            bend = totals[:, 1] * unit_h + l2
            steps: Floats = -rate * (totals[:, 0] * unit_g) / np.where(bend > 0.0, bend, 1.0)
            return steps[:, None]

        grown = landed(state["flight"], leaf_values)
        trees = joined(state["trees"], grown, len(state["bins"]["edge_ends"]) - 1)
        stamp = digest({"before": state["stamp"], "trees": grown})
        state = {**state, "trees": trees, "before": state["stamp"], "stamp": stamp}
        if (
            len(trees["roots"]) < state["n_estimators"] * state["base"].size or self.inputs.holds_out
        ):  # the last trees' loss is told by one more round
            return self._next_flight(state)
        return Done(self._model({**state, "best": len(trees["roots"]) // state["base"].size}))

    def _width(self, state: Record) -> int:
        """Return how many positions the first feature looked at takes: the sums over them are those of the node."""
        return int(state["bins"]["widths"][state["features"][0]]) + 1

    def _is_over(self, state: Record) -> bool:
        done, patience = len(state["losses"]) - 1, self.n_iter_no_change
        return done >= state["n_estimators"] or bool(patience and done - state["best"] >= patience)

    def report(self, state: Record) -> dict[str, float]:
        if "trees" not in state:
            return {}
        told = {"trees": float(len(state["trees"]["roots"]) // state["base"].size)}
        return {**told, "validation_loss": float(state["losses"][-1])} if state["losses"] else told

    def _model(self, state: Record) -> Record:
        prepared, at_a_time = state["prepared"], state["base"].size
        return self.model_record(
            prepared,
            model=self.model,
            estimator=self.estimator,
            kind="boosting",
            bins=state["bins"],
            base=state["base"],
            trees=first(state["trees"], state["best"] * at_a_time),
            validation_losses=np.array(state["losses"], dtype=np.float64),
            iterations=state["best"],
            feature_importances=self.importances(prepared, state["gains"]),
            rounds=state["rounds"],
        )


class Boosted:
    """What a shard keeps of its rows while trees are boosted: derived from the trees and the shard alone."""

    def __init__(self) -> None:
        self.stamp = ""  # of the trees that the scores hold
        self.scores: Floats = np.zeros((0, 0))
        self.done = 0
        self.packed: Array = np.zeros((0, 0), dtype=np.int64)
        self.places: Places | None = None

    def score(self, state: Record, bins: Array) -> None:
        """Bring the scores up to all trees of `state`: by the newest alone, if those before are in them."""
        trees, outputs_count = state["trees"], state["base"].size
        if self.stamp == state["stamp"]:
            return
        done = self.done if self.stamp and self.stamp == state["before"] else 0
        if done == 0:
            self.scores = np.tile(state["base"], (len(bins), 1))
        count = len(trees["roots"])
        newest = {**trees, "roots": trees["roots"][done:]}
        walk(bins, newest, state["bins"], np.arange(done, count, dtype=np.int64) % outputs_count, self.scores)
        self.stamp, self.done, self.places = state["stamp"], count, None

    def places_of(self, packed: Array, chosen: list[Array]) -> None:
        self.packed = packed
        roots = np.cumsum([0, *(part.size for part in chosen)]).astype(np.int64)
        self.places = Places(np.concatenate(chosen), roots)


def is_first(flight: Record) -> bool:
    """Return whether only roots are there."""
    return bool(np.all(flight["number"] == 0))


def counted(flight: Record) -> Array:
    """Return the nodes whose histograms a round counts: open roots, and the lighter of each pair of children.

    Of two of equal weight it is the left one. A pair is counted if either of it is open.
    """
    nodes = flight["open"]
    if is_first(flight):
        return np.asarray(nodes)
    lefts = np.unique(left_of(flight, nodes))
    is_left = flight["totals"][lefts, 1] <= flight["totals"][lefts + 1, 1]
    return np.where(is_left, lefts, lefts + 1)


def left_of(flight: Record, nodes: Array) -> Array:
    """Return the left one of the pair of children that each of `nodes` is of: left children have odd numbers."""
    found: Array = nodes - ((flight["number"][nodes] + 1) & 1)
    return found


def with_siblings(flight: Record, histograms: Array, above: Array, parents: Array) -> Array:
    """Return the histograms of all open nodes from those counted and those of their `parents`."""
    nodes = flight["open"]
    chosen = counted(flight)
    own_left = left_of(flight, nodes)
    lefts = np.unique(own_left)
    place_above = np.argsort(flight["left"][parents], kind="stable")
    pairs = np.searchsorted(flight["left"][parents][place_above], lefts)
    out = np.empty((len(nodes), *histograms.shape[1:]), dtype=np.int64)
    pair_of = np.searchsorted(lefts, own_left)
    for index, (node, pair) in enumerate(zip(nodes.tolist(), pair_of.tolist(), strict=True)):
        if chosen[pair] == node:
            out[index] = histograms[pair]
        else:
            np.subtract(above[place_above[pairs[pair]]], histograms[pair], out=out[index])
    return out


def watched(state: Record, sums: Array, tol: float) -> Record:
    """Return the state that knows the held-out loss of its trees, and which number of trees has the best.

    Raises
    ------
    CallerError
        If no row is held out.
    """
    if not sums[1] > 0.0:
        raise CallerError("no row is held out: validation marks none, or validation_fraction is too small for so few rows")
    loss = float(sums[0] / sums[1])
    losses = [*state["losses"], loss]
    is_better = len(losses) == 1 or loss < losses[state["best"]] - tol
    return {**state, "losses": losses, "best": len(losses) - 1 if is_better else state["best"]}


class ClassBoostingProgram(BoostingProgram):
    """Boost trees that tell classes apart; see :class:`BoostingProgram`."""

    target_kind = Target.CLASSES
    model = "muskox.learn:BoostingClassifierModel"
    estimator = "muskox.learn:GradientBoostingClassifier"

    def base(self, prepared: Record) -> Floats:
        weights = prepared["counts"] * (1.0 if prepared["class_weights"] is None else prepared["class_weights"])
        logs = log(np.maximum(weights / np.add.reduce(weights), 1e-12))
        base: Floats = np.array([logs[1] - logs[0]]) if len(logs) == 2 else logs
        return base

    def most(self, state: Record) -> tuple[float, float]:
        weight = float(state["peaks"][0])
        return weight, 0.25 * weight

    def gradients(self, scores: Floats, rows: TrainingRows, scales: Floats, out: Array) -> None:
        of = binary_gradients if scores.shape[1] == 1 else class_gradients
        of(scores, rows.target, rows.weights, scales, out)

    def losses(self, scores: Floats, rows: TrainingRows) -> Floats:
        if scores.shape[1] == 1:
            scores = np.column_stack([np.zeros(len(scores)), scores[:, 0]])
        found: Floats = log_sum_exp(scores) - np.take_along_axis(scores, rows.target[:, None], axis=1)[:, 0]
        return found


class NumberBoostingProgram(BoostingProgram):
    """Boost trees that predict a number, by squared error; see :class:`BoostingProgram`."""

    target_kind = Target.NUMBER
    model = "muskox.learn:BoostingRegressorModel"
    estimator = "muskox.learn:GradientBoostingRegressor"

    def base(self, prepared: Record) -> Floats:
        return np.array([prepared["mean"]])

    def most(self, state: Record) -> tuple[float, float]:
        weight, deviation = state["peaks"]
        return 2.0 * float(weight * deviation), float(weight)

    def gradients(self, scores: Floats, rows: TrainingRows, scales: Floats, out: Array) -> None:
        number_gradients(scores, rows.target, rows.weights, scales, out)

    def losses(self, scores: Floats, rows: TrainingRows) -> Floats:
        deviations = scores[:, 0] - rows.target
        found: Floats = 0.5 * deviations * deviations
        return found
