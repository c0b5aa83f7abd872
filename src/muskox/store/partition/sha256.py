"""The rule ``sha256:COLUMN``: the whole SHA-256 of a key's text as one big-endian integer, modulo the number of shards.

It owns what the text of a key is, so that anybody can find a key's shard with three lines of hashlib:

- text is itself, in UTF-8; an int in decimal; a bool ``true`` or ``false``;
- a float that is an integer within int64 is that int, in decimal (so a column that is promoted from int to float keeps its
  shards); any other is Python's ``repr``: the shortest decimal that reads back as the same float, ``inf`` or ``-inf``;
- a timestamp is ``2013-01-01T05:00:00.000000``, in UTC, always with six digits;
- a missing value, and NaN, has no text and lies in shard 0.
"""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from muskox.errors import CallerError
from muskox.store.partition.hashing import is_moment, is_text, whole_numbers

MISSING_SHARD = 0


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


def sha256_shards(column: Any, shards: int) -> NDArray[np.int64]:
    """Return the shard of each of the n values of `column` (pyarrow.Array), as int64 of shape (n,)."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        return np.full(len(column), MISSING_SHARD, np.int64)
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
    elif is_moment(column.type):
        column = whole_numbers(column).cast(pa.timestamp("us"))
    elif not (is_text(column.type) or pa.types.is_boolean(column.type)):
        column = whole_numbers(column)
    encoded = column.dictionary_encode()
    digests = b"".join([hashlib.sha256(text).digest() for text in plain_texts(encoded.dictionary)])
    known = np.append(_modulo(digests, shards), MISSING_SHARD)
    indices = encoded.indices.cast(pa.int64()).fill_null(len(known) - 1)
    return np.asarray(known[indices.to_numpy(zero_copy_only=False)], np.int64)


def plain_texts(values: Any) -> list[bytes]:
    """Return the text of each value of an Array of text, float64, bool, timestamp[us] or int64, none missing, as UTF-8."""
    kind = values.type
    if pa.types.is_floating(kind):
        return [_float_text(value).encode() for value in values.to_pylist()]
    if is_moment(kind):
        return [str(text).encode() for text in np.datetime_as_string(values.to_numpy())]
    texts = pc.if_else(values, "true", "false") if pa.types.is_boolean(kind) else values.cast(pa.large_string())
    return list(texts.cast(pa.large_binary()).to_pylist())


def _float_text(value: float) -> str:
    return str(int(value)) if value.is_integer() and -(2.0**63) <= value < 2.0**63 else repr(value)


def _modulo(digests: bytes, shards: int) -> NDArray[np.int64]:
    """Divide each 32 bytes as one integer, a 32-bit digit at a time: a remainder below 2**31 and a digit fit 64 bits."""
    rest = np.zeros(len(digests) // 32, np.int64)
    for digit in np.frombuffer(digests, ">u4").reshape(-1, 8).T:
        rest = (rest << 32 | digit.astype(np.int64)) % shards
    return rest
