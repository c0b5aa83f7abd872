"""Random forests as programs: every tree sees all rows, many trees grow at a time, a round splits as many nodes as its sums
allow.

Trees are Breiman's ("Random Forests", 2001): each of a bootstrap sample, each node parted by the best of a few features drawn
for it. How often a row counts in a tree is a Poisson number (Oza and Russell, "Online bagging", 2001) from the stream of tree
and shard, so that no shard need know of another. A node's features depend on the tree, and on its place in it, alone: so does
the tree, whatever grows beside it. The sums of a node are its classes' weights, or its targets as whole numbers of one unit.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from muskox.learn.columns import Floats
from muskox.learn.functions import exp
from muskox.learn.parameters import require_choice, require_count, require_number
from muskox.learn.trees.growing import Splits, branch, joined, landed, no_trees, take_off
from muskox.learn.trees.splits import draw_features
from muskox.learn.trees.training import Places, TrainingRows, TreeProgram, walk
from muskox.program import Done, Shard
from muskox.records import Array, Record
from muskox.streams import stream

HISTOGRAM_BYTES = 1 << 25  # of a round: so many nodes are split in it
FLIGHT_ROWS = 1 << 24  # rows times trees that grow at a time: some 4 bytes each
FLIGHT_TREES_MAX = 64
TIMES_MOST = 16  # that a row counts in a tree
OUT_OF_BAG = "out of bag"  # the step that scores each row by the trees that did not see it


@dataclass(frozen=True, kw_only=True)
class ForestProgram(TreeProgram):
    """Grow a random forest; the result is the model's record.

    Parameters
    ----------
    n_estimators : trees
    first_tree : the number of the first, which its random streams are named by
    max_features : that a node looks at, as a share of them, a number, "sqrt", or "log2"
    min_samples_split, min_samples_leaf : rows of a node that is split, and of a leaf; weighted, their weight in average rows
    bootstrap : whether each tree sees a sample, max_samples times the rows; or all rows
    oob_score : whether to score the rows by the trees that did not see them
    """

    n_estimators: int = 100
    first_tree: int = 0
    max_depth: int = 16
    max_bins: int = 64
    max_features: str | int | float = "sqrt"
    min_samples_split: int = 2
    min_samples_leaf: int = 1
    bootstrap: bool = True
    max_samples: float = 1.0
    oob_score: bool = False

    model: ClassVar[str]
    estimator: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("n_estimators", self.n_estimators)
        require_count("first_tree", self.first_tree, 0)
        require_count("min_samples_split", self.min_samples_split, 2)
        require_count("min_samples_leaf", self.min_samples_leaf)
        require_number("max_samples", self.max_samples, above=0.0, most=4.0)
        require_choice("bootstrap", self.bootstrap, (True, False))
        require_choice("oob_score", self.oob_score, ((True, False) if self.bootstrap else (False,)))
        if isinstance(self.max_features, str):
            require_choice("max_features", self.max_features, ("sqrt", "log2"))
        elif isinstance(self.max_features, float):
            require_number("max_features", self.max_features, above=0.0, most=1.0)
        else:
            require_count("max_features", self.max_features)

    # -- a kind's own --

    def channels(self, prepared: Record) -> int:
        """Return how many numbers a node's sums have."""
        raise NotImplementedError

    def scales(self, state: Record) -> Floats:
        """Return by what targets and weights are multiplied before they are rounded."""
        raise NotImplementedError

    def histograms(self, state: Record, slots: "Slots", rows: TrainingRows, sample: "Sample", out: Array) -> None:
        raise NotImplementedError

    def splits(self, state: Record, slots: "Slots", histograms: Array) -> Splits:
        raise NotImplementedError

    def may_split(self, state: Record, totals: Array, depths: Array) -> Array:
        raise NotImplementedError

    def leaf_values(self, state: Record, totals: Array) -> Floats:
        raise NotImplementedError

    def scored(self, rows: TrainingRows, votes: Floats, trees: Array) -> Record:
        """Return sums by which out-of-bag rows are scored; `votes` are the sums over `trees` trees, 0 or more of them a row."""
        raise NotImplementedError

    def oob(self, total: Record) -> float:
        raise NotImplementedError

    # -- rounds --

    def begin(self, state: Record) -> Record:
        prepared, widths = state["prepared"], state["bins"]["widths"]
        usable = np.flatnonzero(widths > 1 if np.any(widths > 1) else widths > 0).astype(np.int32)
        missing = np.flatnonzero((widths == 1) & self._has_missing(prepared)).astype(np.int32)
        usable = np.union1d(usable, missing).astype(np.int32)
        key = int(stream(self.inputs.seed, "features of forests").integers(1 << 63))
        state = {**state, "usable": usable, "feature_key": key, "scales": self.scales(state)}
        state |= {"done": 0, "forest": no_trees(self.values(prepared)), "gains": np.zeros(len(widths))}
        return {**state, "flight": self._flight(state)}

    def values(self, prepared: Record) -> int:
        """Return how many numbers a leaf holds."""
        raise NotImplementedError

    def _has_missing(self, prepared: Record) -> Array:
        found = prepared["features"]
        return np.concatenate([found["absent"] > 0, np.array(found["missing"], dtype=np.float64) > 0.0])

    def _flight(self, state: Record) -> Record:
        most = min(max(FLIGHT_ROWS // state["prepared"]["rows"], 1), FLIGHT_TREES_MAX)
        trees = min(self.n_estimators - state["done"], most)
        return take_off(self.first_tree + state["done"], trees, self.channels(state["prepared"]))

    def slots(self, state: Record) -> "Slots":
        """Return the nodes that a round splits, with the features each looks at."""
        flight, widths = state["flight"], state["bins"]["widths"]
        chosen, stride = features_of_node(self.max_features, state["usable"].size), int(np.max(widths)) + 1
        is_narrow = self.is_narrow(state)
        slot_bytes = chosen * stride * self.channels(state["prepared"]) * (4 if is_narrow else 8)
        nodes = flight["open"][: max(HISTOGRAM_BYTES // slot_bytes, 1)]
        features = np.empty((len(nodes), chosen), dtype=np.int32)
        tree, number, attempt = (np.ascontiguousarray(flight[name][nodes]) for name in ("tree", "number", "attempt"))
        draw_features(state["feature_key"], tree, number, attempt, state["usable"], features)
        return Slots(nodes, features, tree - flight["tree"][0], stride, is_narrow)

    def is_narrow(self, state: Record) -> bool:
        """Return whether all sums fit into 32 bits."""
        raise NotImplementedError

    def grow_partial(self, state: Record, shard: Shard, rows: TrainingRows) -> Record:
        if state["step"] == OUT_OF_BAG:
            return self._oob_partial(state, shard, rows)
        flight, bins = state["flight"], state["bins"]
        held: dict[str, Any] = shard.cached(state["run_key"], dict)
        sample = held.get("sample")
        if sample is None or sample.first != int(flight["tree"][0]) or sample.places.known > len(flight["left"]):
            trees = flight["tree"][flight["number"] == 0]
            sample = held["sample"] = Sample(trees, [self.counts(shard, int(tree), rows) for tree in trees])
        numeric = len(bins["edge_ends"]) - 1
        sample.places.follow(flight, rows.bins, bins["widths"], numeric)
        slots = self.slots(state)
        shape = (len(slots.nodes), slots.features.shape[1] * slots.stride, self.channels(state["prepared"]))
        out = np.zeros(shape, dtype=np.int32 if slots.is_narrow else np.int64)
        self.histograms(state, slots, rows, sample, out)
        return {"histograms": out}

    def counts(self, shard: Shard, tree: int, rows: TrainingRows) -> Array:
        """Return how often each row of a shard counts in a tree, as uint8."""
        if not self.bootstrap:
            return np.ones(len(rows.bins), dtype=np.uint8)
        drawn = stream(self.inputs.seed, "bootstrap", shard.index, tree).integers(1 << 16, size=len(rows.bins), dtype=np.uint16)
        counts: Array = poisson_table(self.max_samples)[drawn]
        return counts

    def grow_update(self, state: Record, total: Record) -> Record | Done:
        if state["step"] == OUT_OF_BAG:
            return Done(self._model(state, {"oob_score": self.oob(total)}))
        slots, flight = self.slots(state), state["flight"]
        splits = self.splits(state, slots, total["histograms"])
        roots = flight["number"][slots.nodes] == 0
        if roots.any():
            flight = {**flight, "totals": flight["totals"].copy()}
            flight["totals"][slots.nodes[roots]] = np.add.reduce(total["histograms"][roots, : slots.stride], axis=1)
        root_weights = self.weight_of(flight["totals"][flight["number"] == 0])
        gains, split = state["gains"].copy(), splits.feature >= 0
        np.add.at(gains, splits.feature[split], splits.gain[split] / root_weights[slots.trees[split]])
        turns = -(-state["usable"].size // slots.features.shape[1])
        flight = branch(flight, slots.nodes, splits, lambda totals, depths: self.may_split(state, totals, depths), turns)
        if len(flight["open"]):
            return {**state, "flight": flight, "gains": gains}
        grown = landed(flight, lambda totals, _: self.leaf_values(state, totals))
        state = {**state, "gains": gains, "done": state["done"] + len(grown["roots"])}
        state["forest"] = joined(state["forest"], grown, len(state["bins"]["edge_ends"]) - 1)
        if state["done"] < self.n_estimators:
            return {**state, "flight": self._flight(state)}
        return {**state, "step": OUT_OF_BAG} if self.oob_score else Done(self._model(state, {}))

    def weight_of(self, totals: Array) -> Floats:
        """Return the weight of nodes, at least 1, in units of the rounded weights."""
        raise NotImplementedError

    def report(self, state: Record) -> dict[str, float]:
        return {"trees": float(state["done"])} if "done" in state else {}

    def _model(self, state: Record, own: Record) -> Record:
        prepared = state["prepared"]
        return self.model_record(
            prepared,
            model=self.model,
            estimator=self.estimator,
            kind="forest",
            bins=state["bins"],
            trees=state["forest"],
            feature_importances=self.importances(prepared, state["gains"]),
            rounds=state["rounds"],
            **own,
        )

    def _oob_partial(self, state: Record, shard: Shard, rows: TrainingRows) -> Record:
        forest, bins = state["forest"], state["bins"]
        votes, trees = np.zeros((len(rows.bins), forest["leaves"].shape[1])), np.zeros(len(rows.bins))
        output = np.zeros(1, dtype=np.int64)
        for tree in range(len(forest["roots"])):
            unseen = self.counts(shard, self.first_tree + tree, rows) == 0
            scores = np.zeros((int(np.count_nonzero(unseen)), votes.shape[1]))
            walk(rows.bins[unseen], {**forest, "roots": forest["roots"][tree : tree + 1]}, bins, output, scores)
            votes[unseen] += scores
            trees[unseen] += 1.0
        return self.scored(rows, votes, trees)


@dataclass(frozen=True, slots=True)
class Slots:
    """The nodes that a round splits: indexes in the flight, features (shape (nodes, chosen), -1: none), trees."""

    nodes: Array
    features: Array
    trees: Array
    stride: int
    is_narrow: bool

    @property
    def bases(self) -> Array:
        return np.arange(self.features.shape[1], dtype=np.int64) * self.stride

    @property
    def features_or_first(self) -> Array:
        """The features, where there is none the first: its sums are not looked at."""
        return np.maximum(self.features, 0)


class Sample:
    """A shard's rows in the trees of a flight: how often each counts, and where they stand."""

    def __init__(self, trees: Array, counts: list[Array]) -> None:
        self.first = int(trees[0])
        self.counts = np.stack(counts)
        chosen = [np.flatnonzero(count).astype(np.int32) for count in counts]
        roots = np.cumsum([0, *(part.size for part in chosen)]).astype(np.int64)
        self.places = Places(np.concatenate(chosen), roots)


def features_of_node(rule: str | int | float, usable: int) -> int:
    """Return how many of the usable features a node looks at."""
    if rule == "sqrt":
        count = int(np.sqrt(usable))
    elif rule == "log2":
        count = usable.bit_length() - 1
    else:
        count = int(rule * usable) if isinstance(rule, float) else int(rule)
    return min(max(count, 1), usable)


def poisson_table(rate: float) -> Array:
    """Return the Poisson number of each of 65,536 equally likely draws."""
    share = float(exp(np.array([-rate]))[0])
    table, cumulated = np.zeros(1 << 16, dtype=np.uint8), 0.0
    for times in range(TIMES_MOST):
        table[int(np.rint(cumulated * (1 << 16))) :] = times
        cumulated += share
        share *= rate / (times + 1)
    return table
