"""Growing: trees under way as one table of nodes, and what they are when they are done. Pure; it never sees a row.

Several trees grow at a time, a *flight*. Its table has for each node its tree, its number there (the children of n are 2n + 1
and 2n + 2), its depth, how often a draw of features found none that varies (attempt), how it is split (feature -1: it is not;
cut, or the row of `sets` where the feature is categorical; whether missing values go left), the index of its left child (-1:
none; the right one is next), and the sums of its rows (totals). "open" lists the nodes that wait for their split, first come,
first served.

Finished trees lie one after the other, each with its nodes in the order of their numbers; a leaf has feature -1 and as `left`
its row in "leaves".
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from muskox.learn.columns import Floats
from muskox.learn.trees.splits import CONSTANT, SET_BYTES
from muskox.records import Array, Record

DEPTH_MAX = 60  # of a tree: a node's number is an int64
MaySplit = Callable[[Array, Array], Array]  # from totals and depths of nodes to whether each waits for a split


@dataclass(frozen=True, slots=True)
class Splits:
    """The best split of each of some nodes; see :mod:`muskox.learn.trees.splits`."""

    feature: Array
    cut: Array
    missing_left: Array
    gain: Floats
    lefts: Array
    sets: Array

    @classmethod
    def blank(cls, slots: int, channels: int) -> "Splits":
        """Return room for the splits of so many nodes, whose sums have so many numbers."""
        return cls(
            np.full(slots, -1, dtype=np.int32),
            np.full(slots, -1, dtype=np.int32),
            np.zeros(slots, dtype=np.uint8),
            np.zeros(slots),
            np.zeros((slots, channels), dtype=np.int64),
            np.zeros((slots, SET_BYTES), dtype=np.uint8),
        )


def take_off(first: int, trees: int, channels: int) -> Record:
    """Return a flight of `trees` trees from number `first` on: their roots, open, their totals not known."""
    return {
        "tree": np.arange(first, first + trees, dtype=np.int32),
        "number": np.zeros(trees, dtype=np.int64),
        "depth": np.zeros(trees, dtype=np.int32),
        "attempt": np.zeros(trees, dtype=np.int32),
        "feature": np.full(trees, -1, dtype=np.int32),
        "cut": np.full(trees, -1, dtype=np.int32),
        "missing_left": np.zeros(trees, dtype=np.uint8),
        "left": np.full(trees, -1, dtype=np.int32),
        "totals": np.zeros((trees, channels), dtype=np.int64),
        "sets": np.zeros((0, SET_BYTES), dtype=np.uint8),
        "open": np.arange(trees, dtype=np.int32),
    }


def branch(flight: Record, nodes: Array, splits: Splits, may_split: MaySplit, turns: int = 1) -> Record:
    """Return the flight after the open nodes `nodes`, the first of those that wait, got their splits.

    turns : how many draws of features a node may have before it is a leaf for want of one that varies
    """
    split = splits.feature >= 0
    parents, count = nodes[split], int(np.count_nonzero(split))
    table: Record = {name: flight[name].copy() for name in ("feature", "cut", "missing_left", "left", "attempt")}
    cut, sets = splits.cut[split], splits.sets[split]
    is_set = cut < 0
    cut[is_set] = len(flight["sets"]) + np.arange(np.count_nonzero(is_set))
    table["feature"][parents], table["cut"][parents] = splits.feature[split], cut
    table["missing_left"][parents] = splits.missing_left[split]
    table["left"][parents] = len(flight["left"]) + 2 * np.arange(count)
    totals = np.empty((2 * count, flight["totals"].shape[1]), dtype=np.int64)
    totals[0::2] = splits.lefts[split]
    totals[1::2] = flight["totals"][parents] - splits.lefts[split]
    numbers = np.repeat(2 * flight["number"][parents] + 1, 2)
    numbers[1::2] += 1
    made: Record = {
        "tree": np.repeat(flight["tree"][parents], 2),
        "number": numbers,
        "depth": np.repeat(flight["depth"][parents] + 1, 2).astype(np.int32),
        "attempt": np.zeros(2 * count, dtype=np.int32),
        "feature": np.full(2 * count, -1, dtype=np.int32),
        "cut": np.full(2 * count, -1, dtype=np.int32),
        "missing_left": np.zeros(2 * count, dtype=np.uint8),
        "left": np.full(2 * count, -1, dtype=np.int32),
        "totals": totals,
    }
    again = nodes[(splits.feature == CONSTANT) & (flight["attempt"][nodes] + 1 < turns)]
    table["attempt"][again] += 1
    opened = len(flight["left"]) + np.flatnonzero(may_split(totals, made["depth"]))
    grown = {name: np.concatenate([table.get(name, flight[name]), part]) for name, part in made.items()}
    grown["sets"] = np.concatenate([flight["sets"], sets[is_set]])
    grown["open"] = np.concatenate([flight["open"][len(nodes) :], again, opened]).astype(np.int32)
    return grown


def landed(flight: Record, leaf_values: Callable[[Array, Array], Floats]) -> Record:
    """Return the trees of a flight without an open node; `leaf_values` tells of totals and trees what the leaves hold."""
    order = np.lexsort((flight["number"], flight["tree"]))
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order))
    feature = flight["feature"][order]
    left = flight["left"][order]
    is_leaf = feature < 0
    left[~is_leaf] = place[left[~is_leaf]]
    left[is_leaf] = np.arange(np.count_nonzero(is_leaf))
    tree = flight["tree"][order]
    return {
        "roots": np.flatnonzero(np.diff(tree, prepend=tree[0] - 1)).astype(np.int64),
        "feature": feature,
        "cut": flight["cut"][order],
        "missing_left": flight["missing_left"][order],
        "left": left,
        "leaves": leaf_values(flight["totals"][order][is_leaf], tree[is_leaf]),
        "sets": flight["sets"],
    }


def no_trees(values: int, set_bytes: int = SET_BYTES) -> Record:
    """Return a forest without a tree, whose leaves hold so many numbers."""
    return {
        "roots": np.zeros(0, dtype=np.int64),
        "feature": np.zeros(0, dtype=np.int32),
        "cut": np.zeros(0, dtype=np.int32),
        "missing_left": np.zeros(0, dtype=np.uint8),
        "left": np.zeros(0, dtype=np.int32),
        "leaves": np.zeros((0, values)),
        "sets": np.zeros((0, set_bytes), dtype=np.uint8),
    }


def joined(trees: Record, more: Record, numeric: int) -> Record:
    """Return the trees of both, in order; features from `numeric` on are categorical."""
    moved = dict(more)
    is_leaf = more["feature"] < 0
    moved["left"] = more["left"] + np.where(is_leaf, len(trees["leaves"]), len(trees["left"])).astype(np.int32)
    moved["cut"] = more["cut"] + np.where(more["feature"] >= numeric, len(trees["sets"]), 0).astype(np.int32)
    moved["roots"] = more["roots"] + len(trees["left"])
    return {name: np.concatenate([part, moved[name]]) for name, part in trees.items()}


def first(trees: Record, count: int) -> Record:
    """Return the first `count` trees; their sets stay all."""
    if count >= len(trees["roots"]):
        return trees
    end = int(trees["roots"][count])
    kept = {name: trees[name][:end] for name in ("feature", "cut", "missing_left", "left")}
    leaves = int(np.count_nonzero(kept["feature"] < 0))
    return {**trees, **kept, "roots": trees["roots"][:count], "leaves": trees["leaves"][:leaves]}
