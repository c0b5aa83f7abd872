"""Encoded shards: rows as the inner loop of training wants them.

A block is kept as lines of numbers, one a column, and as int32 codes. Where every number of it is exactly a float32, and no
column lies far from 0 for its deviation, it is kept raw as float32, which halves the memory that every round walks through:
mean and scale are folded into the coefficients then. Columns that lie as float32 are not even copied. Else it is standardised
float64.

Several categorical columns share one code (month x carrier, say): one gather and one ``bincount`` then serve them all, at the
price of a table that must be small beside the shard.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa

from muskox.learn.columns import Codes, Floats
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import Target, rows_of
from muskox.learn.linear.kernels import narrow
from muskox.learn.linear.sparse import SparseRows, read
from muskox.learn.linear.sparse_training import SPARSE
from muskox.learn.lines import Lines
from muskox.program import Block, Shard
from muskox.records import Array, Record

GROUP_CODES_MAX = 4096  # doubles of a 32 kB table: it stays in a core's first cache beside the rows that stream by
GROUP_CODES_SHARE = 8  # a shared table has at most an 8th as many numbers as the shard has rows, or it costs more than it saves
SIGNS = np.array([-1.0, 1.0])  # of two classes
OFFSET_MAX = 1024.0  # deviations of a column's mean from 0: ten bits are lost at most when raw numbers are summed


@dataclass(frozen=True, slots=True)
class Group:
    """Categorical columns that share one code: their places, their widths, where their coefficients start.

    is_open : whether a category that training never saw, whose code is the width, has a place of its own; its coefficient is 0
    """

    columns: tuple[int, ...]
    widths: tuple[int, ...]
    starts: tuple[int, ...]
    is_open: bool = False

    @property
    def places(self) -> tuple[int, ...]:
        """How many codes each column has."""
        return tuple(width + self.is_open for width in self.widths)

    def codes(self, codes: Sequence[Codes]) -> Codes:
        total = np.zeros(codes[0].shape, dtype=np.int32)
        for index, places in zip(self.columns, self.places, strict=True):
            total *= places
            total += codes[index]
        return total

    def apart(self, codes: Codes) -> list[Array]:
        """Return the codes of each column, of shared ones."""
        return list(np.unravel_index(codes, self.places))

    def table(self, coefficients: Floats) -> Floats:
        """Return for each shared code the sum of its columns' coefficients."""
        table = np.zeros(1)
        for start, width in zip(self.starts, self.widths, strict=True):
            own = coefficients[start : start + width]
            table = (table[:, None] + (np.append(own, 0.0) if self.is_open else own)).ravel()
        return table

    def spread(self, sums: Floats, out: Floats) -> None:
        """Add the sums of the shared codes up for each column, into `out` at its start."""
        cube = sums.reshape(self.places)
        for axis, (start, width) in enumerate(zip(self.starts, self.widths, strict=True)):
            others = tuple(other for other in range(len(self.widths)) if other != axis)
            out[start : start + width] = np.add.reduce(cube, axis=others)[:width]


@dataclass(frozen=True, slots=True)
class EncodedBlock:
    """One block ready for training.

    numbers : float64 standardised or float32 raw
    codes : shape (groups, rows)
    target : -1 or 1 of two classes, an index of more (int32), or a number less its mean and over its scale
    weights : shape (rows,), or of size 0 where every row counts once
    sparse : indexes count from the first sparse feature
    """

    numbers: Lines
    codes: Codes
    target: Array
    weights: Floats
    sparse: SparseRows | None = None

    @property
    def rows(self) -> int:
        return int(self.target.size)

    @property
    def is_raw(self) -> bool:
        return self.numbers.is_narrow


@dataclass(frozen=True, slots=True)
class EncodedShard:
    """One shard ready for training: the blocks, which categorical columns share codes, and what raw numbers are scaled by.

    dense_width : how many features are not sparse
    """

    blocks: tuple[EncodedBlock, ...]
    groups: tuple[Group, ...]
    mean: Floats
    scale: Floats
    dense_width: int

    @property
    def weight_sum(self) -> float:
        parts = [np.add.reduce(block.weights) if block.weights.size else block.rows for block in self.blocks]
        return float(sum(parts))


def groups_of(encoder: Encoder, codes_max: int = GROUP_CODES_MAX, *, is_open: bool = False) -> tuple[Group, ...]:
    """Return how the categorical columns share codes: widest first, each into the first group that has room."""
    widths, first = encoder.widths, len(encoder.numeric)
    starts = [first + sum(widths[:index]) for index in range(len(widths))]
    members: list[list[int]] = []
    for index in sorted(range(len(widths)), key=lambda index: (-widths[index], index)):
        room = (group for group in members if prod(widths[i] + is_open for i in [*group, index]) <= codes_max)
        found = next(room, None)
        if found is None:
            members.append([index])
        else:
            found.append(index)
    groups = map(sorted, members)
    return tuple(Group(tuple(own), tuple(widths[i] for i in own), tuple(starts[i] for i in own), is_open) for own in groups)


def encode_shard(prepared: Record, shard: Shard, blocks: Iterator[Block], *, is_held_out: bool = False) -> EncodedShard:
    """Return a shard encoded; which columns share codes depends on its number of rows.

    Of rows held out, those of a class that training never saw are left out, and a category may be one that it never saw: of
    the rows that training learns from it saw each.
    """
    encoder = Encoder(prepared["encoder"])
    groups = groups_of(encoder, min(GROUP_CODES_MAX, shard.rows // GROUP_CODES_SHARE), is_open=is_held_out)
    is_near = bool(np.all(np.abs(encoder.mean) <= OFFSET_MAX * encoder.scale))
    is_whole = is_near and not is_held_out and not np.any(prepared["features"]["absent"])
    encoded = []
    for rows in rows_of(prepared, shard, blocks, is_held_out=is_held_out):
        batch, target, weights = rows.batch, rows.target, rows.weights
        assert target is not None, "linear models have one"
        if prepared["kind"] == Target.CLASSES:
            of_two = len(prepared["classes"]) == 2
            target = SIGNS.take(target) if of_two else np.ascontiguousarray(target, dtype=np.int32)
        else:
            target = (target - prepared["mean"]) / prepared["scale"]
        codes = encoder.codes(batch)
        shared = [group.codes(codes) for group in groups]
        matrix = np.array(shared, dtype=np.int32).reshape(len(groups), batch.num_rows)
        numbers = raw_numbers(encoder, batch) if is_whole else None
        numbers = Lines.of_matrix(encoder.numbers(batch)) if numbers is None else numbers
        weights = np.zeros(0) if weights is None else np.ascontiguousarray(weights)
        sparse = read(prepared[SPARSE], batch) if SPARSE in prepared else None
        encoded.append(EncodedBlock(numbers, matrix, target, weights, sparse))
    return EncodedShard(tuple(encoded), groups, encoder.mean, encoder.scale, encoder.width)


def raw_numbers(encoder: Encoder, batch: Any) -> Lines | None:
    """Return the numeric columns, where nothing is missing, as float32, not standardised; None if that would lose a digit."""
    arrays = [column.lying(batch) for column in encoder.numeric]
    if arrays and all(array.type == pa.float32() for array in arrays):
        return Lines.of_arrow(arrays, batch.num_rows)
    out = np.empty((len(arrays), batch.num_rows), dtype=np.float32)
    are_exact = (narrow(np.asarray(array.to_numpy(), dtype=np.float64), row) for array, row in zip(arrays, out, strict=True))
    return Lines.of_matrix(out) if all(are_exact) else None
