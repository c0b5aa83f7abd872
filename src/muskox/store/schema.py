"""The five types a column can have, and their one Arrow form each: what any table becomes before it is cut into shards.

It owns the mapping from Arrow's many types to "int", "float", "bool", "string", "timestamp" and back. It knows no files.
A timestamp counts microseconds since 1970 in UTC and carries no zone.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from muskox.errors import CallerError

Columns = dict[str, str]  # name -> type, in order
Found = dict[str, str | None]  # the same of one part of the input; None where a column has no value in it

ARROW_TYPES: Mapping[str, Any] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us"),
}


def check_types(types: Mapping[str, str] | None) -> Columns:
    """Return the types that a caller gave by column, checked."""
    given = dict(types or {})
    for column, kind in given.items():
        if kind not in ARROW_TYPES:
            raise CallerError(f"{kind!r} is no type for column {column!r}: the types are {', '.join(ARROW_TYPES)}")
    return given


def apply_types(columns: Columns, given: Mapping[str, str]) -> Columns:
    """Return `columns` with the types of `given` in place of their own; CallerError if one names no column."""
    for column in given:
        if column not in columns:
            raise CallerError(f"there is no column {column!r}, of which a type is given: the columns are {', '.join(columns)}")
    return {name: given.get(name, kind) for name, kind in columns.items()}


def check_column_names(names: list[str], where: str) -> None:
    """Raise CallerError unless every column has a name of its own. `where` opens the message."""
    for position, name in enumerate(names):
        if not name:
            raise CallerError(f"{where}: column {position + 1} of {len(names)} has no name; give every column one")
        if name in names[:position]:
            raise CallerError(f"{where}: there are two columns called {name!r}; give each its own name")
    if not names:
        raise CallerError(f"{where}: there are no columns")


def arrow_schema(columns: Mapping[str, str]) -> Any:
    """Return the pyarrow.Schema that every shard of a dataset with these columns has."""
    return pa.schema([pa.field(name, ARROW_TYPES[kind]) for name, kind in columns.items()])


def columns_of(schema: Any, where: str) -> Columns:
    """Return name -> type for any Arrow schema.

    Raises
    ------
    CallerError
        If a column has a type that none of ours can hold without loss; it names column and type.
    """
    return settle_columns(find_columns(schema, where))


def find_columns(schema: Any, where: str) -> Found:
    """Return name -> type as :func:`columns_of` does, but None for a column of Arrow's null type, which can become any."""
    check_column_names(list(schema.names), where)
    return {field.name: None if pa.types.is_null(field.type) else type_of(field.type, field.name, where) for field in schema}


def settle_columns(found: Found) -> Columns:
    """Return the types of columns of which no more is coming: one without any value is float."""
    return {name: kind or "float" for name, kind in found.items()}


def type_of(kind: Any, column: str, where: str) -> str:
    if pa.types.is_dictionary(kind):
        return type_of(kind.value_type, column, where)
    if pa.types.is_integer(kind):
        return "int"
    if pa.types.is_floating(kind) or pa.types.is_null(kind):
        return "float"  # a column without any value can stand for anything; as float it joins what comes later
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "string"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "timestamp"
    raise CallerError(
        f"{where}: column {column!r} has the type {kind}, which muskox does not keep; "
        "make it an integer, float, bool, string, date or timestamp first"
    )


def merge_columns(first: Found, second: Found, where: str) -> Found:
    """Return the types that hold both inputs (int and float make float); CallerError if the columns differ."""
    if list(first) != list(second):
        raise CallerError(f"{where}: its columns are {', '.join(second)}; those of the first input are {', '.join(first)}")
    merged: Found = {}
    for name, kind in first.items():
        kinds = {kind, second[name]} - {None}
        if len(kinds) > 1 and kinds != {"int", "float"}:
            raise CallerError(f"{where}: column {name!r} is {second[name]} here and {kind} in the first input")
        merged[name] = kind or second[name] if len(kinds) < 2 else "float"
    return merged


def conform(batch: Any, columns: Mapping[str, str], where: str) -> Any:
    """Return the pyarrow.RecordBatch with the columns' own Arrow types.

    Raises
    ------
    CallerError
        If a value does not fit, an unsigned integer beyond int64 or a fraction of a microsecond, say.
    """
    schema = arrow_schema(columns)
    arrays = []
    for field in schema:
        array = batch.column(field.name)
        try:
            arrays.append(_as(array, field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise CallerError(f"{where}: column {field.name!r} cannot become {columns[field.name]}: {error}") from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def conform_table(table: Any, types: Mapping[str, str] | None = None, where: str = "the table") -> Any:
    """Return a pyarrow.Table (or a pandas DataFrame) as a pyarrow.Table in the types that `put` would give it."""
    table = as_table(table)
    columns = apply_types(columns_of(table.schema, where), check_types(types))
    batches = [conform(batch, columns, where) for batch in table.to_batches()]
    return pa.Table.from_batches(batches, schema=arrow_schema(columns))


def as_table(data: Any) -> Any:
    """Return `data` as a pyarrow.Table: one itself, or a pandas DataFrame, whose index is left out.

    Raises
    ------
    CallerError
        If it is neither, or pandas holds something that Arrow cannot.
    """
    if isinstance(data, pa.Table):
        return data
    if type(data).__module__.startswith("pandas"):
        try:
            return pa.Table.from_pandas(data, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise CallerError(f"the DataFrame cannot be kept: {error}") from error
    raise CallerError(f"cannot read rows from a {type(data).__name__}: give a pyarrow.Table, a pandas DataFrame or paths")


def _as(array: Any, kind: Any) -> Any:
    if pa.types.is_dictionary(array.type):
        if pa.types.is_string_view(array.type.value_type):  # polars' categories, which Arrow cannot decode
            array = pa.DictionaryArray.from_arrays(array.indices, array.dictionary.cast(pa.string()))
        array = array.dictionary_decode()
    if array.type == kind:
        return array
    own, wanted = type_of(array.type, "", ""), next(name for name, each in ARROW_TYPES.items() if each == kind)
    if own != wanted and "string" not in (own, wanted) and (own, wanted) != ("int", "float") and array.null_count < len(array):
        raise pa.ArrowInvalid(f"{array.type} is no {wanted}, and nothing is guessed")
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        array = array.cast(pa.timestamp(array.type.unit, "UTC")).cast(pa.timestamp(array.type.unit))
    if pa.types.is_boolean(array.type) and pa.types.is_string(kind):
        return pc.if_else(array, "true", "false")
    if pa.types.is_integer(array.type) and pa.types.is_floating(kind):
        return array.cast(kind, safe=False)  # beyond 2**53 to the nearest float, as reading it as a float would
    return array.cast(kind)
