"""Ranks: scores with exact counts of positives and negatives, merged like sorted lists, and the area under the ROC curve.

Counts are integers, so neither the order of merging nor the number of shards can be seen in the result. Where rows have
weights, sums of these take the place of counts, added in the order of the shards.
"""

import numpy as np
from numpy.typing import NDArray

from muskox.records import Array, Record

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def rank(scores: Floats, positive: NDArray[np.bool_], weights: Floats | None = None) -> Record:
    """Return the distinct `scores`, ascending, with how many positives and negatives have each, or what these weigh."""
    if weights is not None:
        return gather(scores, np.where(positive, weights, 0.0), np.where(positive, 0.0, weights))
    return gather(scores, positive.astype(np.int64), (~positive).astype(np.int64))


def merge(left: Record, right: Record) -> Record:
    return gather(*(np.concatenate([left[name], right[name]]) for name in ("scores", "positives", "negatives")))


def gather(scores: Array, positives: Array, negatives: Array) -> Record:
    order = np.argsort(scores, kind="stable")  # a merge sort: linear on two sorted runs, and no SIMD
    ordered = scores[order]
    first = np.ones(ordered.size, dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(first)
    if not starts.size:
        return {"scores": ordered, "positives": positives, "negatives": negatives}
    return {
        "scores": ordered[starts],
        "positives": np.add.reduceat(positives[order], starts),
        "negatives": np.add.reduceat(negatives[order], starts),
    }


def area_under_roc(positives: Ints | Floats, negatives: Ints | Floats) -> float:
    """Return the share of (positive, negative) pairs in which the positive scores higher; ties count half.

    Of counts exact up to the last division, for fewer than 2**31 rows: twice the number of pairs is held in 63 bits.
    """
    below = np.cumsum(negatives) - negatives
    doubled = np.add.reduce(positives * (2 * below + negatives)).item()
    return float(doubled / (2 * np.add.reduce(positives).item() * np.add.reduce(negatives).item()))
