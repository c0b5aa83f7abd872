"""KMeansModel: which cluster a row belongs to, and how far from its centre it is, by the record alone."""

from typing import Any

import numpy as np

from muskox.learn.clusters.grid import Floats32, Grid, tiled
from muskox.learn.clusters.seeding import squared_distances
from muskox.learn.columns import Codes, Floats, Kind
from muskox.learn.encoder import Encoder
from muskox.learn.model import CLUSTER, DISTANCE, Model, Task
from muskox.program import BLOCK_ROWS
from muskox.records import Array, Record


class KMeansModel(Model):
    """The centres of k-means, made from their record, which holds them on the grid of training.

    A row belongs to the centre that is nearest in float32, as in training; how far away it is, is computed in float64.
    """

    task = Task.CLUSTERING

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self.encoder = Encoder(record["encoder"])
        self.grid = Grid(self.encoder, float(record["unit"]))
        self._centres: Floats = record["centres"]

    @property
    def centres(self) -> Floats:
        """The centres in units of the encoded columns, shape (clusters, encoded features)."""
        return self.grid.raw(self._centres)

    @property
    def outputs(self) -> dict[str, Kind]:
        return {CLUSTER: Kind.INT, DISTANCE: Kind.FLOAT}

    def predict_batch(self, batch: Any) -> dict[str, Array]:
        """Return "cluster" and "distance" of each row of an Arrow record batch."""
        from muskox.learn.clusters.kernels import own_distances

        index, distance = np.zeros(batch.num_rows, dtype=np.int64), np.empty(batch.num_rows)
        for first in range(0, batch.num_rows, BLOCK_ROWS):
            rows = slice(first, first + BLOCK_ROWS)
            high, low = self.grid.batch(batch.slice(first, BLOCK_ROWS))
            index[rows] = self.nearest(tiled(high), len(high))
            own_distances(high, low, self._centres, index[rows], distance[rows])
        return {CLUSTER: index, DISTANCE: distance / self.grid.unit}

    def nearest(self, tiles: Floats32, rows: int) -> Codes:
        """Return the index of the nearest centre of each row in `tiles`; see :func:`muskox.learn.clusters.grid.tiled`."""
        from muskox.learn.clusters.kernels import absorb

        squared, index = np.full(rows, np.inf, dtype=np.float32), np.zeros(rows, dtype=np.int32)
        absorb(tiles, self._centres.astype(np.float32), 0, squared, index)
        return index

    def distances(self, batch: Any) -> Floats:
        """Return how far each row is from each centre, shape (rows, clusters)."""
        high, low = self.grid.batch(batch)
        out: Floats = np.sqrt(squared_distances(high.astype(np.float64) + low, self._centres)) / self.grid.unit
        return out
