"""Binning: every feature as a few bins, whose edges come from a sample of rows that does not depend on who drew it.

Each row that counts gets a random key from a named stream of its shard; the rows of the least keys are the sample, so that
parts merge in any order to the same one (bottom-k sampling: Cohen and Kaplan, 2007). Up to that many rows it is all of them. A
numeric feature of few distinct values has a bin for each; of many, bins of about equally many rows. Bin b holds what is above
edge b - 1 and not above edge b. Categories have a bin each; if there are more than bins, the rarest share the last. Missing
values, and categories that training never saw, have the bin after the last.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.encoder import Encoder
from muskox.learn.trees.kernels import bin_numbers, writable
from muskox.records import Array, Record
from muskox.streams import least

BINS_MAX = 255  # of a feature; the one for missing values is the last that a byte can name
SAMPLE_ROWS = 1 << 14
SAMPLE_VALUES = 1 << 21  # rows times numeric columns of a sample: 16 MB


def sample_rows_max(columns: int) -> int:
    return max(2048, min(SAMPLE_ROWS, SAMPLE_VALUES // max(columns, 1)))


def sample(encoder: Encoder, batches: Iterable[Any], rng: Any) -> Record:
    """Return the sample of a shard's batches: "keys", shape (rows,), and "numbers", shape (rows, numeric columns), by key.

    Each batch's rows draw from `rng` in turn, and no more is held of those before it than may be in the sample.
    """
    found: Record = {"keys": np.zeros(0, dtype=np.int64), "numbers": np.zeros((0, len(encoder.numeric)))}
    for batch in batches:
        keys = rng.integers(1 << 63, size=batch.num_rows, dtype=np.int64)
        found = merge_samples(found, {"keys": keys, "numbers": numbers_of(encoder, batch)})
    return found


def merge_samples(left: Record, right: Record) -> Record:
    keys = np.concatenate([left["keys"], right["keys"]])
    return least_keys(keys, np.concatenate([left["numbers"], right["numbers"]]))


def least_keys(keys: Array, numbers: Floats) -> Record:
    chosen = least(keys, sample_rows_max(numbers.shape[1]))
    return {"keys": keys[chosen], "numbers": numbers[chosen]}


def numbers_of(encoder: Encoder, batch: Any) -> Floats:
    """Return the numeric columns of a batch as they are, NaN where missing: C-ordered, shape (rows, columns).

    Raises
    ------
    CallerError
        If one holds an infinity.
    """
    out = np.empty((batch.num_rows, len(encoder.numeric)))
    for index, column in enumerate(encoder.numeric):
        out[:, index] = numbers = column.numbers(batch)
        beyond = np.isinf(numbers)
        if beyond.any():
            raise CallerError(f"column {column.name!r} is infinite in row {int(np.argmax(beyond))} of these rows")
    return out


def bins_record(encoder: Encoder, counts: list[list[float]], numbers: Floats, bins_max: int) -> Record:
    """Return how to bin: the edges of each numeric feature, the bin of each category.

    counts : how often each category of each categorical column occurs
    numbers : the sample
    """
    edges = [edges_of(column, bins_max) for column in numbers.T]
    tables = [
        category_bins(np.array(found, dtype=np.float64), width) for found, width in zip(counts, encoder.widths, strict=True)
    ]
    return joined(edges, tables)


def joined(edges: list[Floats], tables: list[Array]) -> Record:
    """Return the record of these edges and of these bins by category, -1 for missing and unknown ones."""
    widths = [part.size + 1 for part in edges] + [int(np.max(table, initial=-1)) + 1 for table in tables]
    return {
        "edges": np.concatenate([np.zeros(0), *edges]),
        "edge_ends": np.cumsum([0, *(part.size for part in edges)]).astype(np.int64),
        "tables": np.concatenate([np.zeros(0, dtype=np.int32), *tables]).astype(np.int32),
        "table_ends": np.cumsum([0, *(table.size for table in tables)]).astype(np.int64),
        "widths": np.array(widths, dtype=np.int32),
    }


def edges_of(values: Floats, bins_max: int) -> Floats:
    """Return at most `bins_max` - 1 edges between the values present."""
    present = np.sort(values[~np.isnan(values)])
    distinct = np.unique(present)
    if distinct.size > bins_max:
        places = np.arange(1, bins_max) * present.size // bins_max - 1
        below: Array = np.searchsorted(distinct, np.unique(present[np.maximum(places, 0)]))
        below = below[below < distinct.size - 1]
    else:
        below = np.arange(max(distinct.size - 1, 0))
    low, high = distinct[below], distinct[below + 1]
    between: Floats = low + (high / 2.0 - low / 2.0)
    return np.where(between < high, between, low)


def category_bins(counts: Floats, width: int) -> Array:
    """Return the bin of each code that the encoder gives, of which the first are categories: -1 for missing and unknown."""
    table = np.full(width + 1, -1, dtype=np.int32)
    if counts.size <= BINS_MAX:
        table[: counts.size] = np.arange(counts.size)
    else:
        order = np.argsort(-counts, kind="stable")
        table[order[: BINS_MAX - 1]] = np.arange(BINS_MAX - 1)
        table[order[BINS_MAX - 1 :]] = BINS_MAX - 1
    return table


class Binner:
    """What brings rows into bins, made from its record.

    Attributes
    ----------
    widths : bins of each feature, numeric ones first, without the one for missing values, whose number is the width
    """

    def __init__(self, encoder: Encoder, record: Record) -> None:
        self.encoder = encoder
        self.widths: Array = record["widths"]
        self.numeric = len(encoder.numeric)
        self.edges = parts_of(record["edges"], record["edge_ends"])
        self.tables = parts_of(record["tables"], record["table_ends"])
        for index, table in enumerate(self.tables):
            self.tables[index] = np.where(table < 0, self.widths[self.numeric + index], table).astype(np.int32)

    def bins(self, batch: Any, dtype: Any = np.int32) -> Array:
        """Return the bin of each value of a batch, C-ordered, shape (rows, features)."""
        out = np.empty((batch.num_rows, len(self.widths)), dtype=dtype)
        numbers = np.ascontiguousarray(numbers_of(self.encoder, batch).T)
        for feature, (column, edges) in enumerate(zip(numbers, self.edges, strict=True)):
            bin_numbers(column, writable(edges), feature, out)
        for index, codes in enumerate(self.encoder.codes(batch) if self.tables else []):
            out[:, self.numeric + index] = self.tables[index][codes]
        return out


def parts_of(values: Array, ends: Array) -> list[Array]:
    return [np.ascontiguousarray(values[begin:end]) for begin, end in pairwise(ends)]
