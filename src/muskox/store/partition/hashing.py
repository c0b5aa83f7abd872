"""The stable 64-bit hash of a value: the same in every process, on every machine, with every version of a library, for ever.

It owns the hash of numbers, text and several columns together. It must never know shards. It is defined modulo 2**64
throughout, and pinned by golden values in the tests:

- ``mix(x)`` is the finaliser of SplitMix64 (Steele, Lea, Flood 2014): ``x += 0x9E3779B97F4A7C15``;
  ``x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9``; ``x = (x ^ x >> 27) * 0x94D049BB133111EB``; ``x ^ x >> 31``.
- A number is one word: an int its two's complement, a bool 0 or 1, a timestamp its microseconds since 1970. A float that is an
  integer within int64 is that int's word (so -0.0 is 0, and a column that is promoted from int to float keeps its shards);
  any other float is its IEEE 754 bits. ``hash = mix(word)``.
- Text is its UTF-8 bytes, cut into little-endian words of 8 bytes, the last padded with zeros: ``hash = mix(length in bytes)``,
  then for each word ``hash = mix(hash ^ word)``.
- A missing value, and NaN, has ``hash = MISSING``.
- Several columns: the first one's hash, then for each next one ``hash = mix(mix(hash) ^ its hash)``. (Without the inner mix
  equal values would cancel out, and (a, b) would be (b, a).)
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from muskox.errors import CallerError

MISSING = np.uint64(0x6D75_736B_6F78_0001)  # "muskox", 1: any constant would do
CACHE_ROWS = 65_536  # hashed in one go: ten million ints at once take 3.5 times as long, for all goes through memory

Words = NDArray[np.uint64]


def hash_columns(columns: Sequence[Any]) -> Words:
    """Return the 64-bit hash of each row of one column or several of n rows, as uint64 of shape (n,).

    Examples
    --------
    >>> [f"{word:016x}" for word in hash_columns([pa.array(["a"]), pa.array([1])])]
    ['6f2dfe22bf1e7aca']
    """
    return combine([hash_values(column) for column in columns])


def combine(hashes: Sequence[Words]) -> Words:
    """Return the hash of each row from the hashes of its values, one array a column, in their order."""
    return reduce(lambda left, right: mix(mix(left) ^ right), hashes)


def hash_values(column: Any) -> Words:
    """Return the 64-bit hash of each value of `column` (pyarrow.Array or ChunkedArray) as uint64 of shape (n,)."""
    if isinstance(column, pa.ChunkedArray):
        parts = [hash_values(chunk) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.empty(0, np.uint64)
    kind = column.type
    if len(column) > CACHE_ROWS and not pa.types.is_dictionary(kind):
        return np.concatenate([hash_values(column.slice(row, CACHE_ROWS)) for row in range(0, len(column), CACHE_ROWS)])
    if pa.types.is_dictionary(kind):
        known = np.append(hash_values(column.dictionary), MISSING)
        indices = column.indices.cast(pa.int64()).fill_null(len(known) - 1)
        return np.asarray(known[indices.to_numpy(zero_copy_only=False)], np.uint64)
    if pa.types.is_null(kind):
        return np.full(len(column), MISSING)
    if pa.types.is_floating(kind):
        hashes = _hash_floats(column)
    elif is_text(kind):
        hashes = _hash_text(column.cast(pa.large_string()))
    else:
        hashes = mix(whole_numbers(column).fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64))
    if column.null_count:
        hashes[column.is_null().to_numpy(zero_copy_only=False)] = MISSING
    return hashes


def mix(words: Words) -> Words:
    """Return the SplitMix64 finaliser of each word."""
    mixed: Words = words + np.uint64(0x9E37_79B9_7F4A_7C15)
    mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58_476D_1CE4_E5B9)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D0_49BB_1331_11EB)
    return mixed ^ mixed >> np.uint64(31)


def is_text(kind: Any) -> bool:
    """Return whether an Arrow type is text, in any of its layouts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_moment(kind: Any) -> bool:
    """Return whether an Arrow type is a date or a timestamp."""
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def whole_numbers(column: Any) -> Any:
    """Return a column of ints, bools, dates or timestamps (pyarrow.Array) as int64: 0 or 1, or microseconds since 1970."""
    kind = column.type
    if is_moment(kind):
        column = column.cast(pa.timestamp("us"), safe=False)
    elif not (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise CallerError(f"a column of type {kind} cannot be a key: use int, float, bool, string or timestamp")
    return column.cast(pa.int64())


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
