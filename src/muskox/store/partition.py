"""Which shard a row belongs to: a pure function of the row, the rule and the number of shards, the same for ever.

It owns the stable hash and the rules (`hash:COLUMN`, `rows`). It must never depend on the process, the machine, the number
of nodes or the version of a library: a dataset put twice has the same shards, and the in-process engine cuts as `put` does.

The hash (64 bits, modulo 2**64 throughout), pinned by golden values in the tests:

- ``mix(x)`` is the finaliser of SplitMix64 (Steele, Lea, Flood 2014): ``x += 0x9E3779B97F4A7C15``;
  ``x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9``; ``x = (x ^ x >> 27) * 0x94D049BB133111EB``; ``x ^ x >> 31``.
- A number is one word: an int its two's complement, a bool 0 or 1, a timestamp its microseconds since 1970. A float that is an
  integer within int64 is that int's word (so -0.0 is 0, and a column that is promoted from int to float keeps its shards);
  any other float is its IEEE 754 bits. ``hash = mix(word)``.
- Text is its UTF-8 bytes, cut into little-endian words of 8 bytes, the last padded with zeros: ``hash = mix(length in bytes)``,
  then for each word ``hash = mix(hash ^ word)``.
- A missing value, and NaN, has ``hash = MISSING``.

The shard is the upper half of the hash scaled down, ``(hash >> 32) * shards >> 32``: neighbours stay in order of hash when
the number of shards changes; a remainder would scatter them.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from muskox.errors import CallerError

SHARDS_MAX = 100_000  # what one manifest and one reduction tree are laid out for
MISSING = np.uint64(0x6D75_736B_6F78_0001)  # "muskox", 1: any constant would do
HASH = "hash:"
ROWS = "rows"

Words = NDArray[np.uint64]
Indexes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ByHash:
    """Rows of equal value in `column` lie in one shard."""

    column: str


@dataclass(frozen=True, slots=True)
class ByRows:
    """Shard i of N holds the rows from ``i * rows // N`` up to ``(i + 1) * rows // N``."""


Rule = ByHash | ByRows


def parse_by(by: str, columns: list[str]) -> Rule:
    """Return the rule that `by` names: "rows" or "hash:COLUMN".

    Raises
    ------
    CallerError
        If it is neither, or there is no such column.
    """
    if by == ROWS:
        return ByRows()
    column = by.removeprefix(HASH)
    if not by.startswith(HASH) or not column:
        raise CallerError(f"{by!r} is no way to partition: use 'rows' or 'hash:COLUMN'")
    if column not in columns:
        raise CallerError(f"cannot partition by {by!r}: no column {column!r}; this data has {', '.join(columns)}")
    return ByHash(column)


def check_shards(shards: int) -> int:
    """Return `shards` if a dataset can have so many, else raise CallerError."""
    if not 1 <= shards <= SHARDS_MAX:
        raise CallerError(f"a dataset has between 1 and {SHARDS_MAX} shards, not {shards}")
    return shards


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
    match rule:
        case ByHash(column):
            shard = assign_shards(table.column(column), shards)
        case ByRows():
            shard = assign_rows(0, table.num_rows, table.num_rows, shards)
    order, bounds = group(shard, shards)
    ordered = table if isinstance(rule, ByRows) else table.take(pa.array(order))
    return [ordered.slice(bounds[i], bounds[i + 1] - bounds[i]) for i in range(shards)]


def group(shard: Indexes, shards: int) -> tuple[Indexes, list[int]]:
    """Return the stable order of rows by shard, and the `shards + 1` bounds between which each shard lies in that order."""
    narrow = shard.astype(np.uint16 if shards <= 1 << 16 else np.uint32)  # NumPy sorts 16 bits by radix
    order = np.argsort(narrow, kind="stable")
    bounds = np.zeros(shards + 1, dtype=np.int64)
    np.cumsum(np.bincount(shard, minlength=shards), out=bounds[1:])
    return order, bounds.tolist()


def hash_partition(text: str, parts: int) -> int:
    """Return the partition of `text`: the SHA-256 of its UTF-8 bytes, read as one big-endian integer, modulo `parts`.

    Examples
    --------
    >>> hash_partition("hello world", 4)
    1
    """
    if parts < 1:
        raise CallerError(f"there must be at least one partition, not {parts}")
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big") % parts


def shard_of_hash(hashes: Words, shards: int) -> Indexes:
    return ((hashes >> np.uint64(32)) * np.uint64(shards) >> np.uint64(32)).astype(np.int64)


def hash_values(column: Any) -> Words:
    """Return the 64-bit hash of each value of `column` (pyarrow.Array or ChunkedArray) as uint64 of shape (n,)."""
    if isinstance(column, pa.ChunkedArray):
        parts = [hash_values(chunk) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.empty(0, np.uint64)
    kind = column.type
    if pa.types.is_dictionary(kind):
        known = np.append(hash_values(column.dictionary), MISSING)
        indices = column.indices.cast(pa.int64()).fill_null(len(known) - 1)
        return np.asarray(known[indices.to_numpy(zero_copy_only=False)], np.uint64)
    if pa.types.is_null(kind):
        return np.full(len(column), MISSING)
    if pa.types.is_floating(kind):
        hashes = _hash_floats(column)
    elif _is_text(kind):
        hashes = _hash_text(column.cast(pa.large_string()))
    else:
        hashes = mix(_integers(column))
    if column.null_count:
        hashes[column.is_null().to_numpy(zero_copy_only=False)] = MISSING
    return hashes


def mix(words: Words) -> Words:
    """Return the SplitMix64 finaliser of each word."""
    mixed: Words = words + np.uint64(0x9E37_79B9_7F4A_7C15)
    mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58_476D_1CE4_E5B9)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D0_49BB_1331_11EB)
    return mixed ^ mixed >> np.uint64(31)


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _integers(column: Any) -> Words:
    kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us"), safe=False)
    elif not (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise CallerError(f"a column of type {kind} cannot be hashed: use int, float, bool, string or timestamp")
    words: Words = np.asarray(column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), np.int64).view(np.uint64)
    return words


def _hash_floats(column: Any) -> Words:
    values = pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False)
    whole = (values == np.floor(values)) & (values >= -(2.0**63)) & (values < 2.0**63)
    words = values.view(np.uint64).copy()
    words[whole] = values[whole].astype(np.int64).view(np.uint64)
    hashes = mix(words)
    hashes[np.isnan(values)] = MISSING
    return hashes


def _hash_text(column: Any) -> Words:
    """Hash all rows together, the first word of each, then the second of those that have one, and so on."""
    rows = len(column)
    if rows == 0:
        return np.empty(0, np.uint64)
    _, offset_buffer, data = column.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64, rows + 1, column.offset * 8)
    begin, end = int(offsets[0]), int(offsets[-1])
    padded = np.zeros(end - begin + 8, np.uint8)
    if end > begin:
        padded[: end - begin] = np.frombuffer(data, np.uint8, end - begin, begin)
    words = np.ndarray((end - begin + 1,), "<u8", buffer=padded.data, strides=(1,))  # the word that begins at each byte
    start, left = offsets[:-1] - begin, np.diff(offsets)
    hashes = mix(left.astype(np.uint64))
    active = np.flatnonzero(left > 0)
    start, left = start[active], left[active]
    while len(active):
        word = words[start]
        short = left < 8
        word[short] &= (np.uint64(1) << (left[short] * 8).astype(np.uint64)) - np.uint64(1)
        hashes[active] = mix(hashes[active] ^ word)
        more = left > 8
        active, start, left = active[more], start[more] + 8, left[more] - 8
    return hashes
