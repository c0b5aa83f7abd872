"""Which shard a row belongs to: a pure function of the row, its number, the rule and the number of shards, the same for ever.

It owns the one door from a rule to shards, `assign`, and cutting a table. It must never depend on the process, the machine, the
number of nodes or the version of a library: a dataset put twice has the same shards, and the in-process engine cuts as `put`
does. What a rule computes on stands in `hashing`, `sha256` and `ranges`; what names a rule, in `rules`.

The shard of a hash is its upper half scaled down, ``(hash >> 32) * shards >> 32``: neighbours stay in order of hash when the
number of shards changes; a remainder would scatter them. A random rule's hash is ``mix(mix(seed) ^ number of the row)``.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from muskox.errors import CallerError
from muskox.store.partition.hashing import Words, hash_columns, hash_values, mix
from muskox.store.partition.ranges import Bound, Bounds, range_bounds, range_shards
from muskox.store.partition.rules import (
    ROWS,
    ByHash,
    ByRandom,
    ByRange,
    ByRows,
    BySha256,
    Rule,
    key_columns,
    needs_sample,
    parse_by,
)
from muskox.store.partition.sha256 import hash_partition, sha256_shards

__all__ = [
    "ROWS",
    "SHARDS_MAX",
    "Bounds",
    "ByHash",
    "ByRandom",
    "ByRange",
    "ByRows",
    "BySha256",
    "Indexes",
    "Rule",
    "Words",
    "assign",
    "assign_rows",
    "assign_shards",
    "check_shards",
    "cut",
    "group",
    "hash_columns",
    "hash_partition",
    "hash_values",
    "key_columns",
    "mix",
    "needs_sample",
    "parse_by",
    "sample_bounds",
]

SHARDS_MAX = 100_000  # what one manifest and one reduction tree are laid out for

Indexes = NDArray[np.int64]


def check_shards(shards: int) -> int:
    """Return `shards` if a dataset can have so many, else raise CallerError."""
    if not 1 <= shards <= SHARDS_MAX:
        raise CallerError(f"a dataset has between 1 and {SHARDS_MAX} shards, not {shards}")
    return shards


def sample_bounds(rule: Rule, batches: Iterable[Any], shards: int) -> Bounds:
    """Return the bounds that `rule` needs, from a pass over all rows; empty, and without a pass, where it needs none.

    Parameters
    ----------
    rule : what cuts
    batches : all rows in order, as pyarrow.RecordBatch or Table with at least the rule's column; the same however they are cut
    shards : how many there are

    Returns
    -------
    `shards` - 1 bounds that are JSON; a version's manifest keeps them, and what is appended to it is cut by the same
    """
    check_shards(shards)
    if not isinstance(rule, ByRange):
        return ()
    column = rule.column
    return range_bounds((piece for batch in batches for piece in _pieces(batch.column(column))), shards)


def assign(rule: Rule, batch: Any, first_row: int, rows: int, shards: int, bounds: Sequence[Bound] = ()) -> Indexes:
    """Return the shard of each row of a batch.

    Parameters
    ----------
    rule : what cuts
    batch : pyarrow.RecordBatch or Table of n rows
    first_row : the number of its first row among all rows, from 0
    rows : how many rows there are in all
    shards : how many shards there are
    bounds : what `sample_bounds` gave

    Returns
    -------
    int64 array of shape (n,), each from 0 to shards - 1

    Raises
    ------
    CallerError
        If a column is of a type that cannot be a key, or `bounds` are not the rule's.
    """
    check_shards(shards)
    match rule:
        case ByRows():
            return assign_rows(first_row, batch.num_rows, rows, shards)
        case ByHash():
            return shard_of_hash(hash_columns([batch.column(name) for name in rule.columns]), shards)
        case ByRandom(seed):
            number = np.arange(first_row, first_row + batch.num_rows, dtype=np.uint64)
            return shard_of_hash(mix(mix(np.array([seed], np.uint64)) ^ number), shards)
        case BySha256(column):
            return _by_piece(batch.column(column), lambda piece: sha256_shards(piece, shards))
        case ByRange(column):
            return _by_piece(batch.column(column), lambda piece: range_shards(piece, shards, bounds))


def assign_shards(column: Any, shards: int) -> Indexes:
    """Return the shard of each row by the hash of its value in `column`.

    Parameters
    ----------
    column : pyarrow.Array or pyarrow.ChunkedArray of n values
    shards : how many there are

    Returns
    -------
    int64 array of shape (n,), each from 0 to shards - 1

    Examples
    --------
    >>> assign_shards(pa.array(["N14228", "N24211", None, "N14228"]), 12).tolist()
    [9, 4, 5, 9]
    """
    check_shards(shards)
    return shard_of_hash(hash_values(column), shards)


def assign_rows(first: int, count: int, rows: int, shards: int) -> Indexes:
    """Return the shards of `count` rows from row `first` on, of a dataset of `rows` rows cut contiguously."""
    row = np.arange(first, first + count, dtype=np.int64)
    return ((row + 1) * check_shards(shards) - 1) // max(rows, 1)


def cut(table: Any, shards: int, by: str) -> list[Any]:
    """Return `table` (pyarrow.Table) as one table a shard, exactly as `put` would cut it; rows keep their order."""
    rule = parse_by(by, table.column_names)
    if isinstance(rule, ByRows):
        ordered, ends = table, [shard * table.num_rows // shards for shard in range(check_shards(shards) + 1)]  # of assign_rows
    else:
        bounds = sample_bounds(rule, [table], shards)
        order, ends = group(assign(rule, table, 0, table.num_rows, shards, bounds), shards)
        ordered = table.take(pa.array(order))
    return [ordered.slice(ends[i], ends[i + 1] - ends[i]) for i in range(shards)]


def group(shard: Indexes, shards: int) -> tuple[Indexes, list[int]]:
    """Return the stable order of rows by shard, and the `shards + 1` bounds between which each shard lies in that order."""
    narrow = shard.astype(np.uint16 if shards <= 1 << 16 else np.uint32)  # NumPy sorts 16 bits by radix
    order = np.argsort(narrow, kind="stable")
    bounds = np.zeros(shards + 1, dtype=np.int64)
    np.cumsum(np.bincount(shard, minlength=shards), out=bounds[1:])
    return order, bounds.tolist()


def shard_of_hash(hashes: Words, shards: int) -> Indexes:
    return ((hashes >> np.uint64(32)) * np.uint64(shards) >> np.uint64(32)).astype(np.int64)


def _by_piece(column: Any, shards_of: Callable[[Any], Indexes]) -> Indexes:
    parts = [shards_of(piece) for piece in _pieces(column)]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _pieces(column: Any) -> list[Any]:
    return list(column.chunks) if isinstance(column, pa.ChunkedArray) else [column]
