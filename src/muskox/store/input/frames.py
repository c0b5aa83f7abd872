"""Tables that are not files: Arrow's, pandas' and polars' in memory, Arrow datasets, readers, and iterables of any of these.

It owns what of Python counts as a table. What lies in memory is read where it lies; a dataset is scanned anew each time; what
can be read only once goes to a spool first, in bounded memory.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from muskox.errors import CallerError
from muskox.store.input.reading import Reading
from muskox.store.input.source import Source
from muskox.store.input.spool import Spool
from muskox.store.input.text import check_rows
from muskox.store.schema import (
    Columns,
    Found,
    apply_types,
    as_table,
    columns_of,
    conform,
    conform_table,
    find_columns,
    merge_columns,
    settle_columns,
)

BATCH_ROWS = 65_536
READAHEAD = 2  # batches and files of a dataset on their way at a time


def open_frames(data: Any, given: Columns, reading: Reading) -> Source:
    """Return the rows of a table, a dataset, a reader or an iterable of tables and dicts of columns.

    Raises
    ------
    CallerError
        If it is none of these, has no rows, or a column has a type that is not kept.
    Unavailable
        If what can be read only once does not fit on the disk.
    """
    if is_in_memory(data):
        return _open_table(to_table(data, "the data"), given)
    if _is_dataset(data):
        return _open_dataset(data, given)
    if isinstance(data, pa.RecordBatchReader) or hasattr(data, "__arrow_c_stream__"):
        return _open_once(_parts_of_reader(_reader(data)), given, reading)
    if isinstance(data, Iterable) and not isinstance(data, Mapping):
        return _open_once(_parts_of_items(data), given, reading)
    raise refuse(data, "rows")


def refuse(data: Any, what: str) -> CallerError:
    return CallerError(
        f"cannot read {what} from a {type(data).__name__}: give a pyarrow.Table, a pandas DataFrame or paths, "
        "or an iterator of tables or of dicts of columns"
    )


def is_in_memory(data: Any) -> bool:
    if isinstance(data, pa.Table | pa.RecordBatch):
        return True
    module, name = type(data).__module__.split(".")[0], type(data).__name__
    return module in ("pandas", "polars") and name == "DataFrame"


def to_table(data: Any, where: str) -> Any:
    """Return what is in memory as a pyarrow.Table: a frame, a RecordBatch, or a dict of columns."""
    try:
        if isinstance(data, Mapping):
            return pa.table(dict(data))
        if isinstance(data, pa.RecordBatch):
            return pa.Table.from_batches([data])
        return pa.table(data) if type(data).__module__.startswith("polars") else as_table(data)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError) as error:
        raise CallerError(f"{where}: this {type(data).__name__} has no Arrow form: {error}") from error


def _open_table(data: Any, given: Columns) -> Source:
    table = conform_table(data, given)
    if table.num_rows == 0:
        raise CallerError("the table has no rows")

    def batches(wanted: Sequence[str] | None = None) -> Iterator[Any]:
        chosen = table if wanted is None else table.select(list(wanted))
        return iter(chosen.to_batches(max_chunksize=BATCH_ROWS))

    return Source(columns_of(table.schema, "the table"), table.num_rows, batches, bytes=table.nbytes)


def _is_dataset(data: Any) -> bool:
    return type(data).__module__.startswith("pyarrow._dataset") and hasattr(data, "count_rows") and hasattr(data, "to_batches")


def _open_dataset(dataset: Any, given: Columns) -> Source:
    """Scan a pyarrow.dataset.Dataset (or one filtered) for each stream; its order is that of its fragments."""
    where = "the dataset"
    columns = apply_types(columns_of(dataset.schema, where), given)
    try:
        rows = dataset.count_rows()
    except (pa.ArrowInvalid, OSError) as error:
        raise CallerError(f"{where} cannot be read: {error}") from error
    check_rows(rows, where, "")

    def batches(wanted: Sequence[str] | None = None) -> Iterator[Any]:
        chosen = columns if wanted is None else {name: columns[name] for name in wanted}
        options: dict[str, Any] = {"batch_size": BATCH_ROWS, "batch_readahead": READAHEAD, "fragment_readahead": 1}
        if getattr(getattr(dataset, "format", None), "default_extname", "") == "parquet":
            from pyarrow.dataset import ParquetFragmentScanOptions

            options["fragment_scan_options"] = ParquetFragmentScanOptions(use_buffered_stream=True, pre_buffer=False)
        try:
            for batch in dataset.to_batches(columns=list(chosen), **options):
                if batch.num_rows:
                    yield conform(batch, chosen, where)
        except (pa.ArrowInvalid, OSError) as error:
            raise CallerError(f"{where} cannot be read to its end: {error}") from error

    return Source(columns, rows, batches)


def _reader(data: Any) -> Any:
    if isinstance(data, pa.RecordBatchReader):
        return data
    try:
        return pa.RecordBatchReader.from_stream(data)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError) as error:
        raise CallerError(f"cannot read rows from the {type(data).__name__}: {error}") from error


def _parts_of_reader(reader: Any) -> Iterator[tuple[str, Any, Iterator[Any]]]:
    yield "the reader", reader.schema, iter(reader)


def _parts_of_items(items: Iterable[Any]) -> Iterator[tuple[str, Any, Iterator[Any]]]:
    """Yield where each item stands, its schema and its record batches."""
    for number, item in enumerate(items, start=1):
        where = f"item {number} of the iterator"
        if is_in_memory(item) or isinstance(item, Mapping):
            table = to_table(item, where)
            yield where, table.schema, iter(table.to_batches(max_chunksize=BATCH_ROWS))
        elif hasattr(item, "__arrow_c_stream__"):
            reader = _reader(item)
            yield where, reader.schema, iter(reader)
        else:
            raise refuse(item, f"{where}, rows")


def _open_once(parts: Iterator[tuple[str, Any, Iterator[Any]]], given: Columns, reading: Reading) -> Source:
    """Spool what can be read only once. A column is written as what the parts so far have made of it."""
    spool = Spool(reading.folder)
    found: Found = {}
    rows = bytes_read = 0
    try:
        for where, schema, batches in parts:
            own = find_columns(schema, where)
            found = merge_columns(found, own, where) if found else own
            kinds: Found = {**found, **apply_types(settle_columns(found), given)} if given else found
            known = {name: kind for name, kind in kinds.items() if name in given or found[name] is not None}
            for batch in batches:
                spool.add(_conform_known(batch, known, where))
                rows += batch.num_rows
                bytes_read += batch.nbytes
                reading.tell(bytes_read, 0)
        spool.finish()
        check_rows(rows, "the input", "")
    except BaseException:  # bulkhead: whatever ended it, the temporary files go, and the error goes on
        spool.close()
        raise
    columns = apply_types(settle_columns(found), given)
    return Source(
        columns,
        rows,
        lambda wanted=None: spool.batches(columns if wanted is None else {name: columns[name] for name in wanted}),
        spool.close,
        bytes_read,
    )


def _conform_known(batch: Any, known: Mapping[str, Any], where: str) -> Any:
    """Return the batch with the columns of `known` in their types, and the others, which hold no value, as Arrow's null."""
    typed = conform(batch, known, where)
    arrays = [typed.column(name) if name in known else pa.nulls(batch.num_rows) for name in batch.schema.names]
    return pa.RecordBatch.from_arrays(arrays, names=list(batch.schema.names))
