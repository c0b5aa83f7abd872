"""The metrics of a clustering, which needs no truth: how far rows are from their clusters, and how many each has."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from muskox.evaluate.scorer import Scorer
from muskox.evaluate.truth import Counts, check_counts, merge_counts, weighed
from muskox.program import Block
from muskox.records import Array, Record


@dataclass(frozen=True)
class ClusteringMetrics:
    """Measure the clusters of rows.

    The result: "inertia" (the sum of squared distances, weighted), "mean_squared_distance" (floats), "sizes" (int64, rows of
    each cluster up to the last that has any; or float64 sums of weights), "rows".
    """

    scorer: Scorer
    weight: str | None = None

    def partial(self, blocks: Iterator[Block]) -> Record:
        counts, inertia, weight = Counts(), np.zeros(1), np.zeros(1)
        sizes: Array = np.zeros(0, dtype=np.int64 if self.weight is None else np.float64)
        for block in blocks:
            batch, weights = weighed(block, self.weight, counts)
            if not batch.num_rows:
                continue
            answer = self.scorer.predict_batch(batch)
            squared = answer["distance"] * answer["distance"]
            inertia += np.add.reduce(squared if weights is None else squared * weights)
            weight += float(batch.num_rows) if weights is None else np.add.reduce(weights)
            sizes = padded_sum(sizes, np.bincount(answer["cluster"], weights).astype(sizes.dtype))
        return {"counts": counts.record(), "inertia": inertia, "weight": weight, "sizes": sizes}

    def result(self, total: Record) -> Record:
        check_counts(total["counts"], None, self.weight, "")
        inertia = float(total["inertia"][0])
        return {
            "inertia": inertia,
            "mean_squared_distance": inertia / float(total["weight"][0]),
            "sizes": total["sizes"],
            "rows": total["counts"]["rows"],
        }


def padded_sum(left: Array, right: Array) -> Array:
    """Return the sum of two vectors, the shorter one followed by zeros."""
    out = np.zeros(max(left.size, right.size), dtype=left.dtype)
    out[: left.size] = left
    out[: right.size] += right
    return out


def merge(left: Record, right: Record) -> Record:
    return {
        "counts": merge_counts(left["counts"], right["counts"]),
        "inertia": left["inertia"] + right["inertia"],
        "weight": left["weight"] + right["weight"],
        "sizes": padded_sum(left["sizes"], right["sizes"]),
    }
