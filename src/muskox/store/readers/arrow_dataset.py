"""A dataset version as pyarrow.dataset, DuckDB and Polars query it: lazily, and only the columns that a query needs.

It owns the way from column groups to what they take. The files of one column group are one pyarrow dataset. A query
over several joins them by position where the engine can (DuckDB, Polars), for rows have the same order in every group;
pyarrow has no such join and gets a table: its buffers are the mapped files where this machine has them, else in memory.
So does a dataset that was registered in place.

DuckDB and Polars are imported when they are asked for.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as arrow_dataset
from pyarrow import fs

from muskox.store.care.holds import hold_while_alive
from muskox.store.placement.groups import touched
from muskox.store.readers.blob_files import VersionFiles, file_name
from muskox.store.schema import arrow_schema

if TYPE_CHECKING:
    from muskox.store.dataset import Dataset


def to_pyarrow_dataset(dataset: "Dataset", columns: Sequence[str] | None = None) -> Any:
    """Return `columns` (None: all) of a dataset as a pyarrow.dataset.Dataset, its fragments the shards in order.

    If the columns lie in one group, nothing is read before a query, and then only what it needs; the version is held for as
    long as the result is alive. If they lie in several, all their rows are read now.

    Raises
    ------
    CallerError
        If there is no such column, or the version was removed.
    Unavailable
        If no replica of a shard can be read. Queries raise the same, later, each library in its own way.
    """
    parts = part_datasets(dataset, columns)
    if len(parts) == 1:
        return parts[0]
    return arrow_dataset.dataset(dataset.to_arrow(columns))


def part_datasets(dataset: "Dataset", columns: Sequence[str] | None = None) -> list[Any]:
    """Return a pyarrow.dataset.Dataset for each column group that holds some of `columns`, their rows in the same order."""
    wanted = list(dataset.schema(columns).names)
    if dataset.full_manifest.registered is not None:
        return [arrow_dataset.dataset(dataset.to_arrow(columns))]
    handler = VersionFiles(dataset)
    hold_while_alive(handler, dataset.home.session, dataset.name, dataset.version)
    files = fs.PyFileSystem(handler)
    parts = []
    for group in touched(dataset.groups, columns):
        own = [name for name in wanted if name in list(dataset.groups.values())[group]]
        schema = arrow_schema({name: dataset.columns[name] for name in own})
        names = [file_name(shard, group) for shard in range(len(dataset.shards))]
        form = arrow_dataset.IpcFileFormat()
        parts.append(arrow_dataset.FileSystemDataset.from_paths(names, schema=schema, format=form, filesystem=files))
    return parts


def to_duckdb(dataset: "Dataset", connection: Any = None, name: str | None = None) -> Any:
    """Return the dataset as a relation of DuckDB, which reads the columns that a query needs when it runs.

    Of a column group that a query needs nothing of, DuckDB reads one column: rows are joined by position.

    connection : a duckdb.DuckDBPyConnection; None means DuckDB's own default one
    name : what the dataset is called in SQL there, as a temporary view; None makes no view

    Raises
    ------
    CallerError
        If the version was removed.
    """
    import duckdb

    connection = duckdb.default_connection() if connection is None else connection
    tables = []
    for position, part in enumerate(part_datasets(dataset)):
        # named by what it holds, so that whoever opens it again replaces it with the same
        table = f"muskox {dataset.reference} {dataset.digest[:16]} {position}"
        connection.register(table, part)
        tables.append(_quoted(table))
    columns = ", ".join(map(_quoted, dataset.columns))
    query = f"SELECT {columns} FROM {' POSITIONAL JOIN '.join(tables)}"
    if name is not None:
        connection.execute(f"CREATE OR REPLACE TEMPORARY VIEW {_quoted(name)} AS {query}")
    return connection.sql(query)


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def to_polars(dataset: "Dataset", columns: Sequence[str] | None = None) -> Any:
    """Return `columns` (None: all) as a polars.LazyFrame, which reads what a query needs when it is collected.

    Of a column group that a query needs nothing of, Polars reads one column; raises as :func:`to_pyarrow_dataset` does.
    """
    import polars

    frames = [polars.scan_pyarrow_dataset(part) for part in part_datasets(dataset, columns)]
    joined = frames[0] if len(frames) == 1 else polars.concat(frames, how="horizontal")
    return joined.select(dataset.schema(columns).names)


def to_reader(dataset: "Dataset", columns: Sequence[str] | None = None) -> Any:
    """Return a scan as a pyarrow.RecordBatchReader, to be read once."""
    return pa.RecordBatchReader.from_batches(dataset.schema(columns), dataset.scan(columns))
