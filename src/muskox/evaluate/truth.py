"""Truth: the rows of a block with what is true of them: a class or a number of the target, and a weight.

Rows that cannot be compared with (no target, a bad weight) are left out and counted; the count is refused when the whole is
known, so that the same data gives the same sentence however it is cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from muskox.errors import CallerError
from muskox.program import Block
from muskox.records import Array, Record

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COUNTS = ("rows", "missing", "strange", "bad")


@dataclass(frozen=True, slots=True)
class Known:
    """Rows whose truth is known.

    batch : pyarrow.RecordBatch
    truth : shape (rows,), a class's index (int64) or a number (float64)
    weights : shape (rows,), above 0; None where every row counts once
    """

    batch: Any
    truth: Array
    weights: Floats | None


class Counts:
    """How many rows there are, and of these have no target ("missing"), a strange one, or a weight that is none ("bad")."""

    def __init__(self) -> None:
        self.by_name = dict.fromkeys(COUNTS, 0)

    def add(self, **found: int) -> None:
        for name, count in found.items():
            self.by_name[name] += count

    def record(self) -> Record:
        return dict(self.by_name)


def weighed(block: Block, weight: str | None, counts: Counts) -> tuple[Any, Floats | None]:
    """Return the rows of `block` that count (of a weight above 0) as a batch, and their weights."""
    if weight is None:
        counts.add(rows=block.rows)
        return block.batch, None
    weights = numbers(block.batch, weight, "weight")
    good = np.isfinite(weights) & (weights >= 0.0)
    counted = good & (weights > 0.0)
    counts.add(rows=int(np.count_nonzero(counted)), bad=int(good.size - np.count_nonzero(good)))
    return block.batch.filter(pa.array(counted)), weights[counted]


def known_classes(block: Block, target: str, classes: Sequence[Any], weight: str | None, counts: Counts) -> Known:
    """Return the rows whose target is one of `classes`, with its index there."""
    batch, weights = weighed(block, weight, counts)
    column = column_of(batch, target, "compare with")
    encoded = pc.dictionary_encode(column)
    index_of = {value: index for index, value in enumerate(classes)}
    codes = np.array([index_of.get(value, -1) for value in encoded.dictionary.to_pylist()], dtype=np.int64)
    missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=bool)
    places = encoded.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False).astype(np.int64)
    found = np.append(codes, -1)[places]
    strange = (found < 0) & ~missing
    counts.add(missing=int(np.count_nonzero(missing)), strange=int(np.count_nonzero(strange)))
    return kept(batch, found, weights, found >= 0)


def known_numbers(block: Block, target: str, weight: str | None, counts: Counts) -> Known:
    """Return the rows whose target is a finite number."""
    batch, weights = weighed(block, weight, counts)
    found = numbers(batch, target, "target")
    missing, finite = np.isnan(found), np.isfinite(found)
    counts.add(missing=int(np.count_nonzero(missing)), strange=int(np.count_nonzero(~finite & ~missing)))
    return kept(batch, found, weights, finite)


def kept(batch: Any, truth: Array, weights: Floats | None, good: NDArray[np.bool_]) -> Known:
    if good.all():
        return Known(batch, truth, weights)
    return Known(batch.filter(pa.array(good)), truth[good], None if weights is None else weights[good])


def column_of(batch: Any, name: str, purpose: str) -> Any:
    """Return a column, null where a value is missing (NaN counts as missing)."""
    position = batch.schema.get_field_index(name)
    if position < 0:
        raise CallerError(f"no column {name!r} to {purpose} in these rows: they have {', '.join(map(str, batch.schema.names))}")
    column = batch.column(position)
    return pc.if_else(pc.is_nan(column), None, column) if pa.types.is_floating(column.type) else column


def numbers(batch: Any, name: str, what: str) -> Floats:
    """Return a column as float64, NaN where a value is missing."""
    column = column_of(batch, name, f"take as {what}")
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_null(column.type)):
        raise CallerError(f"the {what} {name!r} holds {column.type}: it must be a column of numbers (int or float)")
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def merge_counts(left: Record, right: Record) -> Record:
    return {name: left[name] + right[name] for name in COUNTS}


def check_counts(counts: Record, target: str | None, weight: str | None, wanted: str) -> None:
    """Refuse what cannot be evaluated; `wanted` says what the target is to be.

    Raises
    ------
    CallerError
        If there are no rows, or some whose target or weight will not do.
    """
    rows = counts["rows"]
    if counts["bad"]:
        raise CallerError(
            f"the weight {weight!r} is negative, infinite or missing in {counts['bad']} rows: "
            f"a weight is a finite number, 0 or above"
        )
    if not rows:
        raise CallerError("this dataset has no rows: there is nothing to evaluate")
    if counts["missing"]:
        raise CallerError(f"the target {target!r} is missing in {counts['missing']} of {rows} rows: drop those rows first")
    if counts["strange"]:
        raise CallerError(f"the target {target!r} is {wanted} in {counts['strange']} of {rows} rows")


def neither(classes: Sequence[Any]) -> str:
    """Return what a target is that is no class."""
    told = [repr(value) for value in classes[:20]] + ["..."] * (len(classes) > 20)
    return f"neither {' or '.join(told)}" if len(classes) == 2 else f"none of {', '.join(told)}"
