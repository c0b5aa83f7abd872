"""JSON rows to an Arrow record batch in exactly the columns and types that a model was trained on, or a refusal by name.

A key that is missing, or null, is a missing value. Nothing is guessed: text is no number, 1 is no bool, 1.5 is no int.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from muskox.errors import CallerError

INT64 = range(-(2**63), 2**63)


class RowReader:
    """Reads rows for one fitted model.

    columns : name -> type ("int", "float", "bool", "string") of every column that the model reads
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._columns = dict(columns)
        types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "string": pa.string()}
        self._schema = pa.schema([pa.field(name, types[kind]) for name, kind in columns.items()])

    @classmethod
    def of_model(cls, predictor: Any) -> "RowReader":
        return cls({column.name: column.kind.value for column in predictor.columns})

    def read(self, rows: Sequence[Any]) -> Any:
        """Return the rows as a pyarrow.RecordBatch.

        Raises
        ------
        CallerError
            If a row is no object, has a column that the model does not know, or a value of another type.
        """
        for index, row in enumerate(rows):
            if not isinstance(row, dict):
                raise CallerError(f"row {index} is {_named(row)}: a row is an object, column name to value")
            for name in row:
                if name not in self._columns:
                    raise CallerError(f"row {index}: no column {name!r}; the model reads {', '.join(self._columns)}")
        columns = [[_value(row.get(name), kind, index, name) for index, row in enumerate(rows)] for name, kind in self._items]
        arrays = [pa.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    @property
    def _items(self) -> Sequence[tuple[str, str]]:
        return list(self._columns.items())


def _value(value: Any, kind: str, index: int, name: str) -> Any:
    """Return `value` as the column's kind has it."""
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        raise CallerError(f"row {index}, column {name!r}: the number is too large")
    match kind:
        case "float" if is_number:
            return float(value)
        case "int" if is_number and float(value).is_integer() and int(value) in INT64:
            return int(value)
        case "bool" if isinstance(value, bool):
            return value
        case "string" if isinstance(value, str):
            return value
    raise CallerError(f"row {index}, column {name!r}: {_named(value)} is no {kind}")


def _named(value: Any) -> str:
    match value:
        case str():
            return f"the text {value[:40]!r}"
        case bool():
            return "true" if value else "false"
        case list():
            return "a list"
        case dict():
            return "an object"
        case None:
            return "null"
        case _:
            return f"the number {str(value)[:40]}"
