"""Rows of a shard, encoded once and kept, and which of them each mini-batch step takes.

An epoch has a fixed number of steps over all shards. In each the shard gives its share of its own rows, in an order drawn anew
for every epoch, so that each row is taken exactly once; where a shard has fewer rows than there are steps, a drawn offset
decides in which steps it gives one. Indicators are kept as codes and made dense for the rows of a batch only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from muskox.learn.columns import Codes, Floats
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import Rows, Target, rows_of
from muskox.program import Block, Shard
from muskox.records import Array, Record
from muskox.streams import stream

ORDERS_MAX = 8  # kept: programs that run side by side on the same rows have one each


@dataclass(slots=True)
class KeptRows:
    """A shard's rows that count.

    numbers : shape (rows, numeric columns); codes : shape (rows, categorical columns)
    target : shape (rows,); weights : shape (rows,)
    """

    numbers: Floats
    codes: Codes
    starts: list[int]  # of each categorical column's indicators among the encoded features
    width: int
    target: Array
    weights: Floats
    _orders: dict[tuple[int, int, int], Array] = field(default_factory=dict)  # of the epochs at hand: a pure function, kept

    def __len__(self) -> int:
        return len(self.target)

    def dense(self, rows: Array) -> Floats:
        """Return the encoded features of these rows, shape (len(rows), width)."""
        out = np.zeros((len(rows), self.width))
        numeric = self.numbers.shape[1]
        out[:, :numeric] = self.numbers[rows]
        ends = [*self.starts, self.width][1:]
        for index, (start, end) in enumerate(zip(self.starts, ends, strict=True)):
            codes = self.codes[rows, index]
            known = np.flatnonzero(codes < end - start)
            out[known, start + codes[known]] = 1.0
        return out

    def of_step(self, seed: int, shard: int, epoch: int, step: int, steps: int) -> Array:
        """Return which rows the shard gives to a step of an epoch, both counted from 0."""
        key = (seed, epoch, steps)
        if key not in self._orders:
            if len(self._orders) == ORDERS_MAX:
                del self._orders[next(iter(self._orders))]
            drawn = stream(seed, "order of an epoch", shard, epoch)
            offset = int(drawn.integers(steps))
            self._orders[key] = np.concatenate([[offset], drawn.permutation(len(self))])
        kept = self._orders[key]
        offset, order = int(kept[0]), kept[1:]
        chosen: Array = order[(len(self) * step + offset) // steps : (len(self) * (step + 1) + offset) // steps]
        return chosen


def keep_rows(prepared: Record, found: Iterator[Rows]) -> KeptRows:
    """Return what is needed of `found`; a number as target is brought to mean 0 and deviation 1."""
    encoder = Encoder(prepared["encoder"])
    is_number = prepared["kind"] == Target.NUMBER
    numbers, codes = [np.zeros((0, len(encoder.numeric)))], [np.zeros((0, len(encoder.categorical)), dtype=np.int32)]
    targets = [np.zeros(0, dtype=np.float64 if is_number else np.int32)]
    weights = [np.zeros(0)]
    for rows in found:
        assert rows.target is not None, "networks are trained to predict something"
        numbers.append(encoder.prepared(rows.batch).T)
        if encoder.categorical:
            codes.append(np.stack(encoder.codes(rows.batch), axis=1).astype(np.int32))
        else:
            codes.append(np.zeros((len(rows.target), 0), dtype=np.int32))
        targets.append((rows.target - prepared["mean"]) / prepared["scale"] if is_number else rows.target)
        weights.append(np.ones(len(rows.target)) if rows.weights is None else rows.weights)
    first = len(encoder.numeric)
    starts = [first + sum(encoder.widths[:index]) for index in range(len(encoder.widths))]
    joined = np.ascontiguousarray(np.concatenate(numbers))
    return KeptRows(joined, np.concatenate(codes), starts, encoder.width, np.concatenate(targets), np.concatenate(weights))


def trained_rows(state: Record, shard: Shard, blocks: Iterator[Block]) -> KeptRows:
    """Return the rows of a shard that training sees, encoded once."""
    make: Callable[[], KeptRows] = lambda: keep_rows(state["prepared"], rows_of(state["prepared"], shard, blocks))  # noqa: E731
    return shard.cached(state["key"] + "/neural/rows", make)


def held_out_rows(state: Record, shard: Shard) -> KeptRows:
    """Return the rows of a shard that are held out."""

    def make() -> KeptRows:
        return keep_rows(state["prepared"], rows_of(state["prepared"], shard, shard.blocks, is_held_out=True))

    return shard.cached(state["key"] + "/neural/held out", make)
