"""Encoded shards and the logistic objective over them: the inner loop of training.

A block is kept as a numeric matrix (columns, rows), so that a sum over columns runs along rows and the order of additions per
row is the order of columns, and as int32 codes. Several categorical columns share one code (month x carrier, say): one gather
and one ``bincount`` then serve them all, at the price of a table that must be small beside the shard. Nothing here depends on
the CPU: einsum without BLAS, libm's exp by ``expit``, ``bincount`` in row order.

Logistic loss, with sign s = -1 or +1, z = w.x + b, p = 1 / (1 + exp(-s z)): loss = -log p, d loss / d z = s (p - 1).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from scipy.special import expit, xlogy

from muskox.learn.columns import Codes, Floats
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import rows_of
from muskox.program import Block, Shard
from muskox.records import Record

GROUP_CODES_MAX = 4096  # doubles of a 32 kB table: it stays in a core's first cache beside the rows that stream by
GROUP_CODES_SHARE = 8  # a shared table has at most an 8th as many numbers as the shard has rows, or it costs more than it saves
FACTORS = 32  # probabilities multiplied together before one logarithm is taken: libm's log costs as much as its exp
PRODUCT_MIN = 1e-280  # below it a product of probabilities may have lost digits to underflow


@dataclass(frozen=True, slots=True)
class Group:
    """Categorical columns that share one code: their places, their widths, where their coefficients start."""

    columns: tuple[int, ...]
    widths: tuple[int, ...]
    starts: tuple[int, ...]

    def codes(self, codes: Sequence[Codes]) -> Codes:
        total = np.zeros(codes[0].shape, dtype=np.int32)
        for index, width in zip(self.columns, self.widths, strict=True):
            total *= width
            total += codes[index]
        return total

    def table(self, coefficients: Floats) -> Floats:
        """Return for each shared code the sum of its columns' coefficients."""
        table = np.zeros(1)
        for start, width in zip(self.starts, self.widths, strict=True):
            table = (table[:, None] + coefficients[start : start + width]).ravel()
        return table

    def spread(self, sums: Floats, out: Floats) -> None:
        """Add the sums of the shared codes up for each column, into `out` at its start."""
        cube = sums.reshape(self.widths)
        for axis, (start, width) in enumerate(zip(self.starts, self.widths, strict=True)):
            others = tuple(other for other in range(len(self.widths)) if other != axis)
            out[start : start + width] = np.add.reduce(cube, axis=others)


@dataclass(frozen=True, slots=True)
class EncodedBlock:
    """One block ready for training: numbers (columns, rows), codes (groups, rows), signs (rows,): +1 for the second class.

    weights : shape (rows,); None where every row counts once
    """

    numbers: Floats
    codes: Codes
    signs: Floats
    weights: Floats | None


@dataclass(frozen=True, slots=True)
class EncodedShard:
    """One shard ready for training: how many numeric columns, which categorical columns share codes, and the blocks."""

    numeric: int
    groups: tuple[Group, ...]
    blocks: tuple[EncodedBlock, ...]


@dataclass(frozen=True, slots=True)
class Scratch:
    """Buffers of one pass over a shard."""

    margin: Floats
    gathered: Floats
    probability: Floats

    @classmethod
    def make(cls, blocks: Sequence[EncodedBlock]) -> "Scratch":
        rows = max((block.signs.size for block in blocks), default=0) + FACTORS
        return cls(np.empty(rows), np.empty(rows), np.empty(rows))


def groups_of(encoder: Encoder, codes_max: int = GROUP_CODES_MAX) -> tuple[Group, ...]:
    """Return how the categorical columns share codes: widest first, each into the first group that has room."""
    widths, first = encoder.widths, len(encoder.numeric)
    starts = [first + sum(widths[:index]) for index in range(len(widths))]
    members: list[list[int]] = []
    for index in sorted(range(len(widths)), key=lambda index: (-widths[index], index)):
        room = (group for group in members if prod(widths[i] for i in group) * widths[index] <= codes_max)
        found = next(room, None)
        if found is None:
            members.append([index])
        else:
            found.append(index)
    groups = map(sorted, members)
    return tuple(Group(tuple(group), tuple(widths[i] for i in group), tuple(starts[i] for i in group)) for group in groups)


def encode_shard(prepared: Record, shard: Shard, blocks: Iterator[Block]) -> EncodedShard:
    """Return a shard encoded; the label is +1 for the second class. Which columns share codes depends on its number of rows."""
    encoder = Encoder(prepared["encoder"])
    groups = groups_of(encoder, min(GROUP_CODES_MAX, shard.rows // GROUP_CODES_SHARE))
    encoded = []
    for rows in rows_of(prepared, shard, blocks):
        codes = encoder.codes(rows.batch)
        shared = [group.codes(codes) for group in groups]
        matrix = np.array(shared, dtype=np.int32).reshape(len(groups), rows.batch.num_rows)
        assert rows.target is not None, "of classes there is one"
        signs = np.where(rows.target == 1, 1.0, -1.0)
        encoded.append(EncodedBlock(encoder.numbers(rows.batch), matrix, signs, rows.weights))
    return EncodedShard(len(encoder.numeric), groups, tuple(encoded))


def objective_sums(shard: EncodedShard, coefficients: Floats) -> Floats:
    """Return the sums over the rows of `shard`: gradient by encoded feature, by intercept, and loss.

    Parameters
    ----------
    coefficients : shape (width + 1,), the intercept last

    Returns
    -------
    shape (width + 2,)
    """
    numeric = shard.numeric
    tables = [group.table(coefficients) for group in shard.groups]
    by_code = [np.zeros(table.size) for table in tables]
    sums = np.zeros(coefficients.size + 1)
    scratch = Scratch.make(shard.blocks)
    for block in shard.blocks:
        residual, loss = residuals(block, coefficients, tables, scratch)
        if numeric:
            sums[:numeric] += np.einsum("ji,i->j", block.numbers, residual, optimize=False)
        for codes, total in zip(block.codes, by_code, strict=True):
            np.add(total, np.bincount(codes, weights=residual, minlength=total.size), out=total)
        sums[-2] += np.add.reduce(residual)
        sums[-1] += loss
    for group, total in zip(shard.groups, by_code, strict=True):
        group.spread(total, sums)
    return sums


def residuals(block: EncodedBlock, coefficients: Floats, tables: Sequence[Floats], scratch: Scratch) -> tuple[Floats, float]:
    """Return d loss / d z of each row (in a buffer of `scratch`), and the sum of the losses."""
    rows = block.signs.size
    margin, gathered = scratch.margin[:rows], scratch.gathered[:rows]
    if block.numbers.shape[0]:
        weights = coefficients[: block.numbers.shape[0]]
        np.einsum("ji,j->i", block.numbers, weights, out=margin, optimize=False)
        margin += coefficients[-1]
    else:
        margin.fill(coefficients[-1])
    for codes, table in zip(block.codes, tables, strict=True):
        table.take(codes, out=gathered, mode="clip")  # "clip" alone writes to `out` unbuffered; codes are in range
        margin += gathered
    margin *= block.signs
    padded = -(-rows // FACTORS) * FACTORS
    probability = scratch.probability[:padded]
    probability[rows:] = 1.0
    expit(margin, out=probability[:rows])
    if block.weights is None:
        loss = negative_log_sum(probability, margin)
    else:
        loss = float(np.add.reduce(block.weights * np.logaddexp(0.0, -margin)))
    residual = np.subtract(probability[:rows], 1.0, out=gathered)
    residual *= block.signs
    if block.weights is not None:
        residual *= block.weights
    return residual, loss


def negative_log_sum(probability: Floats, margin: Floats) -> float:
    """Return -sum(log(probability)), taking one logarithm for FACTORS rows.

    A probability is right to an ulp however small, so a product of 32 is to 32 ulp, unless it underflows: then by `margin`.
    """
    products = np.multiply.reduce(probability.reshape(FACTORS, -1), axis=0)
    if products.min() >= PRODUCT_MIN:
        return -float(np.add.reduce(xlogy(1.0, products)))
    return float(np.add.reduce(np.logaddexp(0.0, -margin)))
