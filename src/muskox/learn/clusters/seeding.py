"""Seeding: where k-means begins: k-means|| over the shards, then weighted k-means++ over the few candidates it leaves.

k-means|| (Bahmani, Moseley, Vattani, Kumar, Vassilvitskii, "Scalable k-means++", 2012) draws many candidates a round, each row
with a chance proportional to its squared distance from the candidates so far. Here a round draws exactly ``count`` rows,
without replacement: every row gets an exponential draw divided by weight times squared distance, and the least ones are taken
(Efraimidis and Spirakis, 2006), which needs no total first and merges by taking the least of both. The draws of a shard are
from a stream of its own.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from muskox.learn.clusters.grid import Floats32, Matrix
from muskox.learn.columns import Codes, Floats
from muskox.program import Shard
from muskox.records import Array, Record
from muskox.streams import least, stream

TRIES = 8  # of k-means++ over the candidates: they are few, and the best start saves rounds over all rows
SWEEPS = 20  # of Lloyd's over the candidates, at most


@dataclass(slots=True)
class Nearest:
    """The squared distance of each row of a shard to its nearest candidate, and which that is; more may be added.

    is_busy : somebody is at it, or was interrupted: whoever finds it so makes one of their own
    """

    candidates: Floats
    squared: Floats32
    index: Codes
    is_busy: bool = False

    @classmethod
    def of(cls, matrix: Matrix) -> "Nearest":
        rows, width = matrix.high.shape
        return cls(np.zeros((0, width)), np.full(rows, np.inf, dtype=np.float32), np.full(rows, -1, dtype=np.int32))

    def look(self, matrix: Matrix, candidates: Floats) -> "Nearest":
        """Return what holds for `candidates`: those that are new are looked at, all of them if others were there before."""
        from muskox.learn.clusters.kernels import absorb

        known = len(self.candidates)
        if self.is_busy or not np.array_equal(candidates[:known], self.candidates):
            return Nearest.of(matrix).look(matrix, candidates)
        self.is_busy = True
        absorb(matrix.tiles, candidates[known:].astype(np.float32), known, self.squared, self.index)
        self.candidates = candidates
        self.is_busy = False
        return self


def draw(matrix: Matrix, squared: Array | None, shard: Shard, place: tuple[int, str, int], count: int) -> Record:
    """Return `count` rows of a shard, by weight times `squared` distance (None: 1), as points with what orders them.

    place : seed, purpose and round of the stream
    """
    seed, purpose, round_ = place
    drawn = stream(seed, purpose, shard.index, round_).standard_exponential(len(matrix.high))
    with np.errstate(divide="ignore", over="ignore"):
        if squared is not None:
            drawn /= squared.astype(np.float64)
        if matrix.weights.size:
            drawn /= matrix.weights
    rows = least(drawn, count)
    shards = np.full(len(rows), shard.index, dtype=np.int64)
    return {"keys": drawn[rows], "shards": shards, "rows": rows, "points": matrix.points(rows), "count": count}


def farthest(matrix: Matrix, squared: Array, shard: Shard, count: int) -> Record:
    """Return the `count` rows of a shard that are farthest from their centre, as :func:`draw` does."""
    keys = np.where(squared > 0.0, -squared.astype(np.float64), np.inf)
    rows = least(keys, count)
    shards = np.full(len(rows), shard.index, dtype=np.int64)
    return {"keys": keys[rows], "shards": shards, "rows": rows, "points": matrix.points(rows), "count": count}


def merge(left: Record, right: Record) -> Record:
    """Return the least of both, in the order of their keys, then of shard and row."""
    both = {name: np.concatenate([left[name], right[name]]) for name in ("keys", "shards", "rows", "points")}
    order = np.lexsort((both["rows"], both["shards"], both["keys"]))[: left["count"]]
    return {**{name: value[order] for name, value in both.items()}, "count": left["count"]}


def plus_plus(candidates: Floats, weights: Floats, clusters: int, place: tuple[int, str]) -> Floats:
    """Return `clusters` of the weighted candidates' centres: the best of TRIES greedy k-means++, each settled by Lloyd's.

    place : seed and purpose of the streams, one a try
    """
    kept = weights > 0.0
    points, masses = candidates[kept], weights[kept]
    if len(points) <= clusters:
        return filled(candidates, points, clusters)
    best: tuple[float, Floats] | None = None
    for attempt in range(TRIES if len(points) * clusters < 100_000 else 1):
        centres = points[greedy(points, masses, clusters, stream(place[0], place[1], round=attempt))]
        cost, centres = settled(points, masses, centres)
        if best is None or cost < best[0]:
            best = (cost, centres)
    assert best is not None, "there is at least one try"
    return best[1]


def filled(candidates: Floats, points: Floats, clusters: int) -> Floats:
    """Return all `points`, then other candidates in their order, or points again, where there are fewer than `clusters`."""
    pool = np.concatenate([points, candidates, np.resize(candidates, (clusters, candidates.shape[1]))])
    return pool[:clusters].copy()


def greedy(points: Floats, masses: Floats, clusters: int, rng: Any) -> Array:
    """Return the rows of `points` that greedy k-means++ chooses: each time the one of several drawn that costs least."""
    chosen = [int(np.searchsorted(np.add.accumulate(masses), rng.random() * np.add.reduce(masses)).clip(0, len(points) - 1))]
    squared = squared_distances(points, points[chosen])[:, 0]
    for _ in range(1, clusters):
        rising = np.add.accumulate(masses * squared)
        trials = np.searchsorted(rising, rng.random(2 + clusters.bit_length()) * rising[-1]).clip(0, len(points) - 1)
        closer = np.minimum(squared[:, None], squared_distances(points, points[trials]))
        costs = np.einsum("ij,i->j", closer, masses, optimize=False)
        winner = int(np.argmin(costs))
        chosen.append(int(trials[winner]))
        squared = closer[:, winner].copy()
    return np.array(chosen)


def settled(points: Floats, masses: Floats, centres: Floats) -> tuple[float, Floats]:
    """Return the cost of `centres` over the weighted points, and the centres, after at most SWEEPS of Lloyd's."""
    for _ in range(SWEEPS):
        squared = squared_distances(points, centres)
        labels = np.argmin(squared, axis=1)
        totals = np.bincount(labels, masses, len(centres))
        sums = np.zeros_like(centres)
        np.add.at(sums, labels, points * masses[:, None])
        moved = np.where(totals[:, None] > 0.0, sums / np.where(totals > 0.0, totals, 1.0)[:, None], centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    least_squared = np.min(squared_distances(points, centres), axis=1)
    return float(np.add.reduce(least_squared * masses)), centres


def squared_distances(points: Floats, centres: Floats) -> Floats:
    """Return shape (points, centres), a centre at a time."""
    out = np.empty((len(points), len(centres)))
    for index, centre in enumerate(centres):
        difference = points - centre
        out[:, index] = np.einsum("ij,ij->i", difference, difference, optimize=False)
    return out


def distinct(candidates: Floats) -> int:
    return len(np.unique(candidates, axis=0))
