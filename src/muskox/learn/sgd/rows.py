"""Rows for stochastic gradient descent: a shard's rows as arrays, and which of them make which batch.

An epoch takes every row once. Each shard has an order of its own for it, drawn from (seed, shard, epoch). Batch b of the epoch
is the rows b * batch_size to (b + 1) * batch_size of all, and :func:`taken` says how many of the first p rows of all are the
first of which shard's: in proportion to the shards' rows, so that every batch is a sample of the whole dataset. It depends on
the rows of each shard and on nothing else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muskox.learn.columns import Codes, Floats
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import rows_of
from muskox.program import Block, Shard
from muskox.records import Record
from muskox.streams import stream

Ints = NDArray[np.int64]
EXACT_ROWS_MAX = 1 << 31  # the product of two counts up to it is an int64; of greater ones Python's numbers are taken


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """Rows as the kernels want them.

    numbers : shape (rows, numeric columns)
    codes : shape (rows, categorical columns): the place of the coefficient of the row's category, -1 for one never seen
    target : shape (rows,): a number; of two classes -1 or 1; of more the index of the class
    weights : shape (rows,)
    """

    numbers: Floats
    codes: Codes
    target: Floats
    weights: Floats

    @property
    def rows(self) -> int:
        return self.target.size

    @property
    def arrays(self) -> tuple[Floats, Codes, Floats, Floats]:
        return self.numbers, self.codes, self.target, self.weights

    def take(self, chosen: Ints) -> "EncodedRows":
        """Return the rows `chosen`, in that order, side by side: to fetch them as one costs a third of one by one."""
        return EncodedRows(self.numbers[chosen], self.codes[chosen], self.target[chosen], self.weights[chosen])

    def squared_lengths(self) -> Floats:
        """Return |x|**2 + 1 of each row, the 1 for the intercept, shape (rows,)."""
        seen = np.add.reduce(self.codes >= 0, axis=1, dtype=np.int64)
        lengths: Floats = np.einsum("ij,ij->i", self.numbers, self.numbers, optimize=False) + seen + 1.0
        return lengths


def encode_rows(prepared: Record, shard: Shard, blocks: Iterator[Block], *, is_held_out: bool = False) -> EncodedRows:
    """Return the rows of a shard that training sees, or those it does not."""
    encoder = Encoder(prepared["encoder"])
    classes = len(prepared.get("classes", ()))
    shape = (0, len(encoder.numeric)), (0, len(encoder.categorical))
    parts = [(np.zeros(shape[0]), np.zeros(shape[1], dtype=np.int32), np.zeros(0), np.zeros(0))]
    for rows in rows_of(prepared, shard, blocks, is_held_out=is_held_out):
        assert rows.target is not None, "there is a target"
        target = np.asarray(rows.target, dtype=np.float64)
        if classes == 2:
            target = np.where(rows.target == 1, 1.0, -1.0)
        weights = np.ones(target.size) if rows.weights is None else rows.weights
        parts.append((*encode_batch(encoder, rows.batch), target, weights))
    numbers, codes, target, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return EncodedRows(numbers, codes, target, weights)


def encode_batch(encoder: Encoder, batch: Any) -> tuple[Floats, Codes]:
    """Return the numbers of each row, standardised if the encoder does so, and the places of its categories' coefficients."""
    numbers = encoder.prepared(batch)
    places = np.empty((batch.num_rows, len(encoder.categorical)), dtype=np.int32)
    start = len(encoder.numeric)
    for index, (codes, width) in enumerate(zip(encoder.codes(batch), encoder.widths, strict=True)):
        places[:, index] = np.where(codes < width, codes + start, -1)
        start += width
    return np.ascontiguousarray(numbers.T), places


def order_of(seed: int, shard: int, epoch: int, rows: int, *, shuffle: bool = True) -> Ints:
    """Return in which order an epoch takes the rows of a shard."""
    if not shuffle:
        return np.arange(rows, dtype=np.int64)
    return stream(seed, "sgd order", shard, epoch).permutation(rows).astype(np.int64)


def taken(ends: Ints, shard: int, positions: Ints) -> Ints:
    """Return how many of the first p rows of an epoch are of `shard`, for each p of `positions`.

    The shards are halved until one is left; of p rows the first half of shards gives floor(p * its rows / the rows of both),
    the other the rest. Both grow by 0 or 1 with p: so does every shard's share, and all together are p.

    ends : shape (shards + 1,), how many rows the shards before each have; the last is that of all
    positions : shape (n,)
    """
    low, high = 0, ends.size - 1
    share = positions.astype(np.int64 if ends[-1] < EXACT_ROWS_MAX else object)
    while high - low > 1:
        middle = (low + high) // 2
        both, left = int(ends[high] - ends[low]), int(ends[middle] - ends[low])
        if both == 0:
            return np.zeros(positions.size, dtype=np.int64)
        first = share * left // both
        if shard < middle:
            share, high = first, middle
        else:
            share, low = share - first, middle
    return share.astype(np.int64)
