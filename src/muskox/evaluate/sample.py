"""A sample of a dataset's rows, the same whoever draws it: each row draws a number from its shard's stream, the smallest stay.

A sample is a record, merged exactly: that of all shards holds the rows of the smallest numbers of all. Its columns are kept as
numbers: floats with NaN, ints and bools with a mark of those that are there, text as its bytes.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from muskox.errors import CallerError
from muskox.program import Block, Shard
from muskox.records import Array, Record
from muskox.streams import least, stream

NUMBER, WHOLE, FLAG, TEXT = "float", "int", "bool", "string"  # the kinds of columns, by the names that a manifest gives them
TYPES = {NUMBER: pa.float64(), WHOLE: pa.int64(), FLAG: pa.bool_(), TEXT: pa.string()}


def draw(  # a sample of which shard, of which columns, how large, by which stream
    shard: Shard, blocks: Iterator[Block], columns: Sequence[tuple[str, str]], rows_max: int, seed: int, purpose: str
) -> Record:
    """Return at most `rows_max` rows of a shard; `columns` are pairs of name and kind."""
    lots = stream(seed, purpose, shard.index).random(shard.rows)
    taken = np.zeros(shard.rows, dtype=bool)
    taken[least(lots, rows_max)] = True
    parts: list[list[Any]] = [[] for _ in columns]
    first = 0
    for block in blocks:
        here = pa.array(taken[first : first + block.rows])
        first += block.rows
        for part, (name, kind) in zip(parts, columns, strict=True):
            part.append(column_of(block, name, kind).filter(here))
    arrays = [
        pa.concat_arrays(part) if part else pa.array([], TYPES[kind]) for part, (_, kind) in zip(parts, columns, strict=True)
    ]
    return sorted_by_lot(lots[taken], arrays, rows_max)


def merge(left: Record, right: Record, kinds: Sequence[str], rows_max: int) -> Record:
    """Return the sample of two neighbours' rows."""
    pairs = zip(arrays_of(left, kinds), arrays_of(right, kinds), strict=True)
    arrays = [pa.concat_arrays(pair) for pair in pairs]
    return sorted_by_lot(np.concatenate([left["lots"], right["lots"]]), arrays, rows_max)


def sorted_by_lot(lots: Array, arrays: Sequence[Any], rows_max: int) -> Record:
    order = least(lots, rows_max)
    take = pa.array(order)
    return {"lots": lots[order], "columns": {str(index): kept(array.take(take)) for index, array in enumerate(arrays)}}


def arrays_of(sample: Record, kinds: Sequence[str]) -> list[Any]:
    """Return the columns of a sample as Arrow arrays."""
    return [restored(sample["columns"][str(index)], kind) for index, kind in enumerate(kinds)]


def kept(array: Any) -> Record:
    """Return an Arrow array as a record that depends on its values only."""
    if pa.types.is_floating(array.type):
        return {"values": array.fill_null(np.nan).to_numpy(zero_copy_only=False)}
    there = array.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_string(array.type):
        texts = [value.encode() for value in array.fill_null("").to_pylist()]
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        return {"text": np.frombuffer(b"".join(texts), dtype=np.uint8), "lengths": lengths, "there": there}
    return {"values": array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), "there": there}


def restored(record: Record, kind: str) -> Any:
    """Return the Arrow array that :func:`kept` kept; missing floats are NaN."""
    if kind == NUMBER:
        return pa.array(record["values"])
    if kind == TEXT:
        ends = np.append(0, np.cumsum(record["lengths"]))
        whole = record["text"].tobytes()
        texts = [whole[first:last].decode() for first, last in pairwise(ends)]
        return pa.array(texts, pa.string(), mask=~record["there"])
    return pa.array(record["values"], mask=~record["there"]).cast(TYPES[kind])


def column_of(block: Block, name: str, kind: str) -> Any:
    """Return a column of a block as an Arrow array of the type of its kind."""
    position = block.batch.schema.get_field_index(name)
    if position < 0:
        raise CallerError(f"no column {name!r} in these rows: they have {', '.join(map(str, block.batch.schema.names))}")
    column = block.batch.column(position)
    return column if column.type == TYPES[kind] else pc.cast(column, TYPES[kind], safe=False)
