"""The rule ``range:COLUMN``: bounds that cut a column's values into shards of about equal size, and the shard of a value.

It owns the sample, the bounds and the search. The sample is the rows whose numbers have the smallest `mix`: a function of the
data alone, however it is batched. Its quantiles are the bounds, `shards` - 1 of them; a value's shard is the number of bounds
that are not above it. So equal values lie in one shard, and order of shards is order of values: numbers and timestamps as such,
False before True, text by its UTF-8 bytes (not by any language's alphabet). Missing values and NaN come last: they lie in the
last shard, and a bound above every value in the sample is None.

A value that more rows have than a shard should hold counts as one full shard when bounds are chosen, so that the others are
shared out evenly among the shards that are left, and few shards stay empty.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from muskox.errors import CallerError
from muskox.store.partition.hashing import Words, is_text, mix, whole_numbers

SAMPLE_ROWS = 131_072  # 12 shards of 10,900 rows in the sample differ by 1 %
SAMPLE_ROWS_PER_SHARD = 32  # of very many shards, sizes differ by a fifth; a bigger sample would not fit a small machine
BOUND_CHARACTERS_MAX = 256  # a bound of text is cut off here, so that 100,000 of them fit a manifest

Bound = int | float | str | None  # None: above every value
Bounds = tuple[Bound, ...]
Indexes = NDArray[np.int64]


def range_bounds(columns: Iterable[Any], shards: int) -> Bounds:
    """Return the bounds between `shards` shards of a column, given as consecutive pieces (pyarrow.Array) from row 0 on.

    They are JSON: ints (a bool's is 0 or 1, a timestamp's its microseconds since 1970), finite floats, text or None.
    """
    sample = _Sample(max(SAMPLE_ROWS, SAMPLE_ROWS_PER_SHARD * shards))
    for column in columns:
        sample.add(column)
    keys = sample.keys()
    if keys is None:
        return (None,) * (shards - 1)
    counted = keys.drop_null().value_counts()
    order = pc.sort_indices(counted.field("values"))
    values, counts = counted.field("values").take(order), counted.field("counts").take(order).to_numpy()
    weights = np.append(counts, keys.null_count) if keys.null_count else counts
    first = np.searchsorted(_spread(weights, shards), np.arange(1, shards), side="left")  # the first value of each shard
    bounds = values.take(pa.array(np.where(first < len(values), first, -1), mask=first >= len(values)))
    if pa.types.is_floating(bounds.type):
        most = float(np.finfo(np.float64).max)  # JSON knows no infinity; what is beyond still lies in one shard
        bounds = pc.min_element_wise(pc.max_element_wise(bounds, -most, skip_nulls=False), most, skip_nulls=False)
    return tuple(bounds.to_pylist())


def range_shards(column: Any, shards: int, bounds: Sequence[Bound]) -> Indexes:
    """Return the shard of each of the n values of `column` (pyarrow.Array), as int64 of shape (n,).

    Raises
    ------
    CallerError
        If these are no bounds between `shards` shards.
    """
    if len(bounds) != shards - 1:
        raise CallerError(f"{shards} shards by range have {shards - 1} bounds between them, not {len(bounds)}")
    keys, known = _keys(column), [bound for bound in bounds if bound is not None]
    if is_text(keys.type):
        shard = _positions_of_text(keys, known)
    else:
        whole = pa.types.is_integer(keys.type)
        values = keys.fill_null(0).to_numpy(zero_copy_only=False)
        shard = np.searchsorted(np.array(known, np.int64 if whole else np.float64), values, side="right")
    if keys.null_count:
        shard[keys.is_null().to_numpy(zero_copy_only=False)] = shards - 1
    return shard


class _Sample:
    """The keys of the rows whose numbers have the smallest mixes, `size` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rows = 0
        self._limit = np.uint64((1 << 64) - 1)
        self._ranks: list[Words] = []
        self._keys: list[Any] = []
        self._held = 0

    def add(self, column: Any) -> None:
        ranks = mix(np.arange(self._rows, self._rows + len(column), dtype=np.uint64))
        self._rows += len(column)
        chosen = np.flatnonzero(ranks <= self._limit)
        keys = _keys(column.take(pa.array(chosen)))
        if is_text(keys.type):
            keys = pc.utf8_slice_codeunits(keys, 0, BOUND_CHARACTERS_MAX)
        self._ranks.append(ranks[chosen])
        self._keys.append(keys)
        self._held += len(chosen)
        if self._held >= 2 * self._size:
            self._shrink()

    def keys(self) -> Any:
        """Return them as one pyarrow.Array, or None if there was no row."""
        if not self._keys:
            return None
        self._shrink()
        return self._keys[0]

    def _shrink(self) -> None:
        ranks, keys = np.concatenate(self._ranks), pa.concat_arrays(self._keys)
        if len(ranks) > self._size:
            kept = np.argpartition(ranks, self._size - 1)[: self._size]  # mix is one to one: no two ranks are equal
            ranks, keys = ranks[kept], keys.take(pa.array(kept))
            self._limit = ranks.max()
        self._ranks, self._keys, self._held = [ranks], [keys], len(ranks)


def _keys(column: Any) -> Any:
    """Return a column as int64, float64 or large_string, NaN as missing and -0.0 as 0.0."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_null(kind):
        return column.cast(pa.float64())
    if is_text(kind):
        return column.cast(pa.large_string())
    if pa.types.is_floating(kind):
        column = pc.add(column.cast(pa.float64()), 0.0)
        return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
    return whole_numbers(column)


def _spread(counts: NDArray[np.int64], shards: int) -> Indexes:
    """Return the shard of each distinct value, in order, from how many rows have it: int64 of the same shape, never falling.

    In exact integers. A value lies where the middle of its rows does, once no value counts for more than a full shard.
    """
    distinct = len(counts)
    if distinct <= shards:
        return (2 * np.arange(distinct, dtype=np.int64) + 1) * shards // (2 * max(distinct, 1))
    largest, rest, full = np.sort(counts)[::-1].tolist(), int(counts.sum()), 0
    while largest[full] * (shards - full) > rest:  # ends at the last shard: no value has more rows than all that are left
        rest -= largest[full]
        full += 1
    weights = np.minimum(counts.astype(np.int64) * (shards - full), rest)
    return (2 * (np.cumsum(weights) - weights) + weights) // (2 * rest)


def _positions_of_text(keys: Any, bounds: list[Any]) -> Indexes:
    """Return for each key how many bounds are not above it, by sorting the distinct keys among the bounds.

    (pyarrow.compute.search_sorted would do this, but only newer versions than the one we require have it.)
    """
    encoded = keys.dictionary_encode()
    order = pc.sort_indices(pa.concat_arrays([pa.array(bounds, pa.large_string()), encoded.dictionary])).to_numpy()
    is_bound = order < len(bounds)  # the sort is stable: a bound comes before an equal key
    position = np.zeros(len(encoded.dictionary) + 1, np.int64)
    position[order[~is_bound] - len(bounds)] = np.cumsum(is_bound)[~is_bound]
    indices = encoded.indices.cast(pa.int64()).fill_null(len(position) - 1)
    return np.asarray(position[indices.to_numpy(zero_copy_only=False)], np.int64)
