"""Lloyd's iterations over one shard: its rows' clusters, and the bounds that tell which rows need not be looked at again."""

from dataclasses import dataclass

import numpy as np

from muskox.learn.clusters.grid import Floats32, Limbs, Matrix
from muskox.learn.columns import Codes, Floats

TINY = 2.0**-60  # on the grid, where everything is below 1 or so: more than what float32 loses when squares underflow
TOGETHER = 32  # centres whose distances to all others are computed at once
UP = 1.0 + 1e-12  # what float64's rounding may have taken from a distance


@dataclass(slots=True)
class Assignment:
    """Which cluster each row of a shard belongs to, for certain centres, with bounds and sums. Made anew, it gives the same.

    centres : shape (clusters, width), those that labels, bounds and sums are of
    labels, gap, upper : shape (rows,); see :func:`muskox.learn.clusters.kernels.assign`
    strayed, doubt : shape (clusters,); as there
    sums : shape (clusters, 2, width + 1): of the rows of each cluster, and of their weights, in limbs
    is_busy : somebody is at it, or was interrupted: whoever finds it so makes one of their own
    """

    centres: Floats32
    labels: Codes
    gap: Floats32
    upper: Floats32
    strayed: Floats
    doubt: Floats
    sums: Floats
    is_busy: bool = False

    @classmethod
    def of(cls, matrix: Matrix, clusters: int) -> "Assignment":
        rows, width = matrix.high.shape
        return cls(
            centres=np.zeros((clusters, width), dtype=np.float32),
            labels=np.full(rows, clusters, dtype=np.int32),
            gap=np.full(rows, -np.inf, dtype=np.float32),
            upper=np.zeros(rows, dtype=np.float32),
            strayed=np.zeros(clusters),
            doubt=np.zeros(clusters),
            sums=np.zeros((clusters, 2, width + 1)),
        )

    def after(self, matrix: Matrix, centres: Floats, limbs: Limbs) -> Floats:
        """Return the sums for `centres`, and keep what belongs to them."""
        from muskox.learn.clusters.kernels import assign

        if self.is_busy:
            return Assignment.of(matrix, len(centres)).after(matrix, centres, limbs)
        self.is_busy = True
        rounded = centres.astype(np.float32)
        exact = rounded.astype(np.float64)
        slack = 1.0 + (rounded.shape[1] + 8) * 2.0**-21  # of a distance: four times what rounding can do
        self._move(lengths(exact - self.centres) * UP, slack)
        tables = (self.strayed, self.doubt, half_gaps(exact) / UP)
        strayed, doubt, half = (np.append(table, 0.0) for table in tables)  # the last of rows not yet looked at
        places = (rounded, strayed, doubt, half, slack, TINY)
        bounds = (self.gap, self.upper, self.labels)
        assign(matrix.tiles, matrix.high, matrix.low, matrix.weights, *places, *bounds, limbs.coarse, limbs.fine, self.sums)
        self.centres = rounded
        self.is_busy = False
        return self.sums.copy()

    def _move(self, moved: Floats, slack: float) -> None:
        """Take note that each centre has moved so far, shape (clusters,)."""
        order = np.argsort(-moved, kind="stable")
        others = np.full(len(moved), moved[order[0]])
        others[order[0]] = moved[order[1]] if len(moved) > 1 else 0.0
        self.strayed = (self.strayed + moved) * UP
        self.doubt = (self.doubt + moved * slack + others) * UP


def lengths(vectors: Floats) -> Floats:
    out: Floats = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, optimize=False))
    return out


def half_gaps(centres: Floats) -> Floats:
    """Return half the distance from each centre to the nearest other one, shape (clusters,)."""
    out = np.empty(len(centres))
    for first in range(0, len(centres), TOGETHER):
        apart = centres[first : first + TOGETHER, None, :] - centres[None, :, :]
        squared = np.einsum("ijk,ijk->ij", apart, apart, optimize=False)
        rows = np.arange(len(squared))
        squared[rows, first + rows] = np.inf
        out[first : first + TOGETHER] = 0.5 * np.sqrt(np.min(squared, axis=1))
    return out
