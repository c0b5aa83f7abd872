"""The grid on which k-means computes: every value moved to around 0, scaled by one power of two, kept as two float32.

A numeric value v is kept as (v - mean) * unit (or, standardised, divided by the deviation first), an indicator as `unit` or 0;
`unit` is the power of two that brings the greatest deviation of any column below 1. Distances are computed from the first
float32 alone (24 bits of the *deviation*), sums from both (48 bits), in two whole-number limbs that are exact (:class:`Limbs`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import Inputs, rows_of
from muskox.learn.statistics import indicator_shares
from muskox.program import Block, Shard
from muskox.records import Array, Record

Floats32 = NDArray[np.float32]

EXPONENT_MAX = 900  # of a scale: beyond it weights are denormal or near overflow


@dataclass(frozen=True, slots=True)
class Matrix:
    """The rows of one shard on the grid: high + low, shape (rows, width) each; weights of shape (rows,), or (0,).

    tiles : high once more, a tile of rows after the other, one feature a line: shape (tiles, width, rows of a tile)
    """

    high: Floats32
    low: Floats32
    weights: Floats
    tiles: Floats32

    def points(self, rows: Array) -> Floats:
        return self.high[rows].astype(np.float64) + self.low[rows]


class Grid:
    """Where an encoder's columns lie on the grid; the unit is a number that travels with the model."""

    def __init__(self, encoder: Encoder, unit: float) -> None:
        self.encoder = encoder
        self.unit = unit
        self.standardise = bool(encoder.record["standardise"])
        numeric = len(encoder.numeric)
        self._factor = (1.0 / encoder.scale if self.standardise else np.ones(numeric)) * unit

    def batch(self, batch: Any) -> tuple[Floats32, Floats32]:
        """Return high and low of an Arrow record batch.

        Raises
        ------
        CallerError
            If a column holds an infinity.
        """
        lines = [column.lying(batch) for column in self.encoder.numeric]
        for column, line in zip(self.encoder.numeric, lines, strict=True):
            beyond = np.isinf(line.to_numpy())
            if beyond.any():
                row = int(np.argmax(beyond))
                raise CallerError(f"column {column.name!r} is infinite in row {row} of these rows")
        high, low = (np.zeros((batch.num_rows, self.encoder.width), dtype=np.float32) for _ in range(2))
        self._put(batch, lines, high, low)
        return high, low

    def _put(self, batch: Any, columns: Sequence[Any], high: Floats32, low: Floats32) -> None:
        """Put rows into `high` and `low`, which are 0; their numeric `columns` are finite."""
        from muskox.learn.clusters.kernels import fill
        from muskox.learn.lines import Lines

        encoder = self.encoder
        if columns:
            lines = Lines.of_columns(columns, batch.num_rows)
            fill(*lines.where, encoder.mean, self._factor, high, low)
        start = len(encoder.numeric)
        for codes, width in zip(encoder.codes(batch), encoder.widths, strict=True):
            rows = np.flatnonzero(codes < width)
            high[rows, start + codes[rows]] = self.unit
            start += width

    def shard(self, prepared: Record, shard: Shard, blocks: Iterator[Block]) -> Matrix:
        """Return the rows of a shard that training sees."""
        high, low = (np.zeros((shard.rows, self.encoder.width), dtype=np.float32) for _ in range(2))
        weights, count = [np.zeros(0)], 0
        for rows in rows_of(prepared, shard, blocks):
            last = count + rows.batch.num_rows
            columns = [column.lying(rows.batch) for column in self.encoder.numeric]
            self._put(rows.batch, columns, high[count:last], low[count:last])
            if rows.weights is not None:
                weights.append(rows.weights)
            count = last
        if count < shard.rows:
            high, low = high[:count].copy(), low[:count].copy()
        return Matrix(high, low, np.concatenate(weights), tiled(high))

    def raw(self, points: Floats) -> Floats:
        """Return points of the grid, shape (points, width), in units of the columns."""
        numeric = len(self.encoder.numeric)
        out = points / self.unit
        if self.standardise:
            out[:, :numeric] *= self.encoder.scale
        out[:, :numeric] += self.encoder.mean
        return out


def tiled(high: Floats32) -> Floats32:
    """Return rows, shape (rows, width), in tiles of TILE rows, shape (tiles, width, TILE); the last is filled up with 0."""
    from muskox.learn.clusters.kernels import TILE, tile_rows

    rows, width = high.shape
    out = np.zeros((-(-rows // TILE), width, TILE), dtype=np.float32)
    tile_rows(high, out)
    return out


def key_of(inputs: Inputs, encoder: Record, unit: float) -> str:
    """Return the name of a shard's rows on the grid, under which they are kept: what they depend on, beside the shard."""
    rows = [inputs.weight, inputs.validation, inputs.validation_fraction, inputs.seed if inputs.validation_fraction else 0]
    return "k-means/" + digest({"encoder": encoder, "unit": unit, "rows": rows})


def unit_of(prepared: Record) -> float:
    """Return the power of two that brings every deviation from a column's mean below 1."""
    encoder = prepared["encoder"]
    found, mean = prepared["features"], encoder["mean"]
    reach = np.maximum(found["high"] - mean, mean - found["low"])
    if encoder["standardise"]:
        reach = reach / encoder["scale"]
    indicators = 1.0 if found["counts"] else 0.0
    greatest = max(float(np.max(reach)) if reach.size else 0.0, indicators)
    _, exponent = np.frexp(greatest if greatest > 0.0 else 1.0)
    return float(np.ldexp(1.0, -int(exponent)))


def variances(prepared: Record, unit: float) -> Floats:
    """Return the variance of each encoded feature on the grid, shape (width,)."""
    encoder, found, weight = prepared["encoder"], prepared["features"], prepared["weight_sum"]
    deviation = np.sqrt(found["squares"] / weight) * (unit / encoder["scale"] if encoder["standardise"] else unit)
    share = indicator_shares(found, weight)
    return np.concatenate([deviation * deviation, share * (1.0 - share) * (unit * unit if share.size else 1.0)])


@dataclass(frozen=True, slots=True)
class Limbs:
    """How sums are kept exact: the coarse limb counts 1 / coarse, the fine one what that leaves, in 1 / fine.

    Of rows whose weights sum to W and whose values are at most 1 the coarse sums stay below 2**51 if coarse <= 2**50 / W; what
    is left of each row is at most 1 / (2 coarse), so of n rows the fine sums do if fine <= coarse * 2**51 / n.
    """

    coarse: float
    fine: float

    @classmethod
    def of(cls, weight_sum: float, rows: int) -> "Limbs":
        coarse = clipped(50 - int(np.frexp(weight_sum)[1]))
        return cls(float(np.ldexp(1.0, coarse)), float(np.ldexp(1.0, clipped(coarse + 51 - int(np.frexp(rows)[1])))))

    def total(self, sums: Floats) -> Floats:
        """Return what `sums`, shape (clusters, 2, ...), stand for, shape (clusters, ...)."""
        total: Floats = sums[:, 0] / self.coarse + sums[:, 1] / self.fine
        return total


def clipped(exponent: int) -> int:
    return max(-EXPONENT_MAX, min(EXPONENT_MAX, exponent))
