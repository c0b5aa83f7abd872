"""What the programs of trees share: the round that learns the bins, what a shard keeps of its rows, and how it follows the
trees.

Round 2 samples rows (see :mod:`muskox.learn.trees.binning`) and finds the greatest weight and deviation of a target, by which
targets, weights and gradients become whole numbers. From round 3 on trees grow: partials are histograms of whole numbers, whose
sums are exact in any order, and so in the fixed one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from muskox.digest import digest
from muskox.learn.columns import Floats
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import rows_of
from muskox.learn.parameters import require_count, require_number
from muskox.learn.training import TrainingProgram
from muskox.learn.trees.binning import BINS_MAX, Binner, bins_record, merge_samples, sample
from muskox.learn.trees.growing import DEPTH_MAX
from muskox.learn.trees.kernels import add_leaves, place
from muskox.program import Block, Done, Shard
from muskox.records import Array, Record
from muskox.streams import stream

BIN, GROW = "bin", "grow"  # steps of fitting


@dataclass(frozen=True, kw_only=True)
class TreeProgram(TrainingProgram):
    """A program that grows trees. A subclass defines the methods that raise NotImplementedError here.

    Parameters
    ----------
    max_depth : of a tree
    max_bins : of a numeric feature
    """

    max_depth: int = 6
    max_bins: int = BINS_MAX

    def __post_init__(self) -> None:
        require_count("max_depth", self.max_depth)
        require_number("max_depth", self.max_depth, above=0, most=DEPTH_MAX)
        require_count("max_bins", self.max_bins, 2)
        require_number("max_bins", self.max_bins, above=0, most=BINS_MAX)

    def begin(self, state: Record) -> Record | Done:
        """Return the state before the first round in which trees grow: `state` has "bins", "rows_key", "run_key", "peaks"."""
        raise NotImplementedError

    def grow_partial(self, state: Record, shard: Shard, rows: "TrainingRows") -> Record:
        """Return a shard's contribution to a round in which trees grow: arrays to be added."""
        raise NotImplementedError

    def grow_update(self, state: Record, total: Record) -> Record | Done:
        """Return the state after a round in which trees grow, or the result."""
        raise NotImplementedError

    def start(self, prepared: Record) -> Record:  # noqa: ARG002  # bins are learned first
        return {"step": BIN, "rounds": 1}

    def adds(self, state: Record) -> bool:
        return super().adds(state) and bool(state["step"] != BIN)

    def fit_partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        prepared = state["prepared"]
        if state["step"] != BIN:
            rows = shard.cached(state["rows_key"], lambda: training_rows(state, shard, blocks))
            return self.grow_partial(state, shard, rows)
        peaks = np.zeros(2)  # the greatest weight, the greatest deviation of a target

        def batches() -> Iterator[Any]:
            for seen in rows_of(prepared, shard, blocks):
                peaks[0] = max(peaks[0], 1.0 if seen.weights is None else np.max(seen.weights, initial=0.0))
                if "mean" in prepared:
                    peaks[1] = max(peaks[1], np.max(np.abs(seen.target - prepared["mean"]), initial=0.0))
                yield seen.batch

        rng = stream(self.inputs.seed, "bins", shard.index)
        return {**sample(Encoder(prepared["encoder"]), batches(), rng), "peaks": peaks}

    def fit_merge(self, left: Record, right: Record) -> Record:
        if "keys" not in left:
            return super().fit_merge(left, right)
        return {**merge_samples(left, right), "peaks": np.maximum(left["peaks"], right["peaks"])}

    def fit_update(self, state: Record, total: Record) -> Record | Done:
        state = {**state, "rounds": state["rounds"] + 1}
        if state["step"] != BIN:
            return self.grow_update(state, total)
        prepared = state["prepared"]
        bins = bins_record(Encoder(prepared["encoder"]), prepared["features"]["counts"], total["numbers"], self.max_bins)
        keys = {
            "rows_key": f"{state['key']}/rows/{digest(bins)}",
            "run_key": f"{state['key']}/trees/{digest(self.parameters())}",
        }
        return self.begin({**state, "step": GROW, "bins": bins, "peaks": total["peaks"], **keys})

    def importances(self, prepared: Record, gains: Floats) -> Floats:
        """Return the share of each feature in all gains, in the order of the columns; they are by encoded feature."""
        encoder = Encoder(prepared["encoder"])
        names = [column.name for column in (*encoder.numeric, *encoder.categorical)]
        places = [names.index(column.name) for column in encoder.columns]
        total = float(np.add.reduce(gains))
        shares: Floats = gains[places] / (total if total > 0.0 else 1.0)
        return shares


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """What training sees of a shard's rows.

    bins : uint8, shape (rows, features)
    target : shape (rows,), int32 classes or float64 numbers
    weights : shape (rows,), or none of them where each row weighs 1
    """

    bins: Array
    target: Array
    weights: Floats


def training_rows(state: Record, shard: Shard, blocks: Iterator[Block], *, is_held_out: bool = False) -> TrainingRows:
    """Return the rows of a shard in bins."""
    prepared = state["prepared"]
    binner = Binner(Encoder(prepared["encoder"]), state["bins"])
    bins: list[Array] = [np.zeros((0, len(binner.widths)), dtype=np.uint8)]
    targets: list[Array] = [np.zeros(0, dtype=np.float64 if "mean" in prepared else np.int32)]
    weights: list[Array] = [np.zeros(0)]
    for rows in rows_of(prepared, shard, blocks, is_held_out=is_held_out):
        assert rows.target is not None, "trees predict something"
        bins.append(binner.bins(rows.batch, np.uint8))
        targets.append(rows.target)
        if rows.weights is not None:
            weights.append(rows.weights)
    return TrainingRows(np.concatenate(bins), np.concatenate(targets), np.concatenate(weights))


class Places:
    """Where a shard's rows stand in the trees of a flight: those of each node in a row, by :func:`follow`.

    It is derived from the shard and the flight alone: made anew it is the same, but for the order of rows within a node,
    on which nothing depends.
    """

    def __init__(self, order: Array, roots: Array) -> None:
        self.order = order
        self.begins = roots[:-1].copy()
        self.ends = roots[1:].copy()
        self._scratch = np.empty(int(np.max(np.diff(roots), initial=0)), dtype=np.int32)

    @property
    def known(self) -> int:
        return len(self.begins)

    def follow(self, flight: Record, bins: Array, widths: Array, numeric: int) -> None:
        """Bring the rows on to where the nodes of `flight`, which has those known and perhaps more, send them."""
        known, count = self.known, len(flight["left"])
        if known == count:
            return
        begins, ends = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        begins[:known], ends[:known] = self.begins, self.ends
        self.begins, self.ends = begins, ends
        split = {name: flight[name] for name in ("feature", "cut", "missing_left", "left")}
        place(
            bins, self.order, begins, ends, split["feature"], split["cut"], split["missing_left"], split["left"],
            flight["sets"], widths, numeric, known, self._scratch,
        )  # fmt: skip


def whole(values: Any, scale: float) -> Array:
    """Return `values` times `scale`, rounded to int64."""
    return np.rint(np.asarray(values) * scale).astype(np.int64)


def walk(bins: Array, trees: Record, binning: Record, outputs: Array, scores: Floats) -> None:
    """Add to `scores`, shape (rows, numbers), what the leaves of each row in `trees` hold, tree after tree."""
    split = (trees["feature"], trees["cut"], trees["missing_left"], trees["left"])
    numeric = len(binning["edge_ends"]) - 1
    add_leaves(bins, trees["roots"], *split, trees["sets"], trees["leaves"], binning["widths"], numeric, outputs, scores)
