"""The encoder: tables of mixed columns to numbers, by statistics that a training's first round tells and its model keeps.

Numeric columns: a missing value (null or NaN) becomes the mean of those present; then (x - mean) / scale, where scale is the
standard deviation after imputation (what scikit-learn's SimpleImputer and StandardScaler give), or 1 for a constant column.
Categorical columns: one indicator per category that occurred in training, sorted (text by its UTF-8 bytes, ints by value),
then one for "missing" if that occurred; a category never seen gives zeros only. They are kept as codes, never as a matrix.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from muskox.errors import CallerError
from muskox.learn.columns import ARROW_TYPES, Codes, Column, Floats, from_record, to_record
from muskox.learn.tables import to_table
from muskox.program import ArrayPartition, RunOptions, Runs, in_process
from muskox.records import Record

CATEGORIES_MAX = 1000  # of one column, unless the caller says otherwise: beyond it a column is an identifier, not a category


class Encoder:
    """A fitted encoder: pure data, from rows to numbers.

    Encoded features are ordered: all numeric columns first, then the indicators of each categorical column.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.columns = from_record(record["columns"])
        self.numeric = [column for column in self.columns if not column.categorical]
        self.categorical = [column for column in self.columns if column.categorical]
        self.mean: Floats = record["mean"]
        self.scale: Floats = record["scale"]
        self.categories: list[list[Any]] = record["categories"]
        self._sets = [
            pa.array(values, type=ARROW_TYPES[column.kind])
            for column, values in zip(self.categorical, self.categories, strict=True)
        ]

    @classmethod
    def from_record(cls, record: Record) -> "Encoder":
        return cls(record)

    @classmethod
    def fit(cls, table: Any, *, features: Sequence[str] | None = None, categorical: Sequence[str] = (),
            standardise: bool = True, categories_max: int = CATEGORIES_MAX) -> "Encoder":  # fmt: skip
        """Return the encoder of a table or DataFrame in memory, or of any dataset that runs programs.

        Examples
        --------
        >>> import muskox, pyarrow as pa
        >>> encoder = Encoder.fit(pa.table({"x": [1.0, 3.0, None], "city": ["Rome", "Oslo", None]}))
        >>> encoder.feature_names_out()
        ['x', 'city=Oslo', 'city=Rome', 'city is missing']
        >>> encoder.transform(pa.table({"x": [None], "city": ["Rome"]})).tolist()
        [[0.0, 0.0, 1.0, 0.0]]
        """
        from muskox.learn.inputs import Inputs  # which stand on encoders
        from muskox.learn.pipeline.encode import EncodeProgram

        dataset = table if isinstance(table, Runs) else in_process(to_table(table), ArrayPartition())
        chosen = None if features is None else tuple(features)
        inputs = Inputs(features=chosen, categorical=tuple(categorical), standardise=standardise, categories_max=categories_max)
        return cls(dataset.run(EncodeProgram(inputs=inputs), RunOptions()).result["encoder"])

    def to_record(self) -> Record:
        return self.record

    @property
    def widths(self) -> list[int]:
        """How many indicators each categorical column has."""
        missing = self.record["missing"]
        return [len(values) + int(seen) for values, seen in zip(self.categories, missing, strict=True)]

    @property
    def width(self) -> int:
        return len(self.numeric) + sum(self.widths)

    def feature_names_out(self) -> list[str]:
        names = [column.name for column in self.numeric]
        for column, values, seen in zip(self.categorical, self.categories, self.record["missing"], strict=True):
            names += [f"{column.name}={text(value)}" for value in values]
            names += [f"{column.name} is missing"] if seen else []
        return names

    def numbers(self, batch: Any) -> Floats:
        """Return the standardised numeric columns of `batch`: C-ordered, one row a *column*, shape (columns, rows).

        Raises
        ------
        CallerError
            If a column is not there, or holds an infinity, or a number that becomes one.
        """
        out = np.empty((len(self.numeric), batch.num_rows))
        for column, mean, scale, row in zip(self.numeric, self.mean, self.scale, out, strict=True):
            numbers = column.numbers(batch)
            with np.errstate(over="ignore"):
                np.subtract(numbers, mean, out=row)
                np.divide(row, scale, out=row)
            beyond = np.isinf(row)
            if beyond.any():
                place = int(np.argmax(beyond))
                what = "infinite" if np.isinf(numbers[place]) else "too large"
                raise CallerError(f"column {column.name!r} is {what} in row {place} of these rows")
            row[np.isnan(row)] = 0.0  # the mean, standardised
        return out

    def imputed(self, batch: Any) -> Floats:
        """Return the numeric columns of `batch` as they are, the mean where a value is missing, shape (columns, rows)."""
        out = np.empty((len(self.numeric), batch.num_rows))
        for column, mean, row in zip(self.numeric, self.mean, out, strict=True):
            row[:] = column.numbers(batch)
            beyond = np.isinf(row)
            if beyond.any():
                raise CallerError(f"column {column.name!r} is infinite in row {int(np.argmax(beyond))} of these rows")
            row[np.isnan(row)] = mean
        return out

    def prepared(self, batch: Any) -> Floats:
        """Return the numeric columns as models take them: standardised if the encoder does so, else imputed only."""
        return self.numbers(batch) if self.record["standardise"] else self.imputed(batch)

    def codes(self, batch: Any) -> list[Codes]:
        """Return for each categorical column which of its indicators is 1, or its width where none is; shape (rows,) each."""
        fields = zip(self.categorical, self._sets, self.record["missing"], strict=True)
        return [encode(column.values(batch), values, bool(seen)) for column, values, seen in fields]

    def transform(self, table: Any) -> Floats:
        """Return a dense C-ordered float64 matrix, shape (rows, width), for use outside muskox's own models."""
        batches = to_table(table).to_batches()
        return np.concatenate([np.zeros((0, self.width)), *(self.transform_batch(batch) for batch in batches)])

    def transform_batch(self, batch: Any) -> Floats:
        """Return what `transform` does, of an Arrow record batch."""
        out = np.zeros((batch.num_rows, self.width))
        out[:, : len(self.numeric)] = self.prepared(batch).T
        start = len(self.numeric)
        for codes, width in zip(self.codes(batch), self.widths, strict=True):
            rows = np.flatnonzero(codes < width)
            out[rows, start + codes[rows]] = 1.0
            start += width
        return out


def encoder_record(columns: Sequence[Column], total: Mapping[str, Any], standardise: bool) -> Record:
    """Return the encoder that the statistics of the whole dataset call for.

    Raises
    ------
    CallerError
        If there are no rows, or a column holds an infinity, no value at all, numbers too large, or too many categories.
    """
    if total["rows"] == 0:
        raise CallerError("this dataset has no rows: there is nothing to learn from")
    numeric = [column for column in columns if not column.categorical]
    categorical = [column for column in columns if column.categorical]
    for index, column in enumerate(numeric):
        check_numbers(column, total, index)
    for column, values, limit in zip(categorical, total["values"], total["limits"], strict=False):
        if len(values) > limit:
            raise CallerError(
                f"column {column.name!r} has more than {limit} categories: leave it out with features=, "
                f"group its rare values, or raise categories_max"
            )
    constant = total["low"] == total["high"]
    deviation = np.sqrt(total["squares"] / total["rows"])
    return {
        "kind": "encoder",
        "columns": to_record(columns),
        "standardise": standardise,
        "mean": np.where(constant, total["low"], total["mean"]) + 0.0,  # never -0.0
        "scale": np.where(constant | (deviation == 0.0), 1.0, deviation),
        "categories": list(total["values"][: len(categorical)]),
        "missing": [count > 0 for count in total["missing"][: len(categorical)]],
    }


def check_numbers(column: Column, total: Mapping[str, Any], index: int) -> None:
    shard, row = (int(place) for place in total["infinite"][index])
    if shard >= 0:
        raise CallerError(f"column {column.name!r} is infinite in row {row} of shard {shard}: remove or replace such values")
    if total["count"][index] == 0:
        raise CallerError(f"column {column.name!r} has no value in any row: leave it out with features=")
    if not np.isfinite(total["squares"][index]):
        raise CallerError(f"column {column.name!r} holds numbers too large to standardise: scale it down")


def encode(values: Any, categories: Any, missing_seen: bool) -> Codes:
    """Return the index in `categories` of each value; missing gets the next index if it was seen; unknown the one after."""
    unknown = len(categories) + int(missing_seen)
    found = pc.index_in(values, value_set=categories)
    if found.null_count:
        found = found.fill_null(unknown)
    codes: Codes = np.asarray(found.to_numpy(zero_copy_only=False))
    if missing_seen and values.null_count:
        codes = np.where(values.is_null().to_numpy(zero_copy_only=False), np.int32(unknown - 1), codes)
    return codes


def text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
