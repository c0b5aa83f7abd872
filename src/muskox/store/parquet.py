"""Parquet in: files read as a stream of record batches in our five types. The schema is in the file: one pass is enough."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as arrow_parquet

from muskox.errors import CallerError
from muskox.store.schema import Columns, apply_types, columns_of, conform, merge_columns
from muskox.store.source import Source
from muskox.store.text import check_rows

MAGIC = b"PAR1"
BATCH_ROWS = 65_536  # decoded at a time


def open_parquet(paths: list[Path], given: Columns) -> Source:
    """Return what reads all of `paths`, one after the other.

    Raises
    ------
    CallerError
        If one is no Parquet file, its columns differ from the first one's, or a column has a type that is not kept.
    """
    columns: Columns = {}
    rows = 0
    for path in paths:
        with _open(path) as file:
            own = columns_of(file.schema_arrow, str(path))
            columns = merge_columns(columns, own, str(path)) if columns else own
            rows += file.metadata.num_rows
    check_rows(rows, ", ".join(map(str, paths)))
    columns = apply_types(columns, given)
    return Source(columns, rows, lambda: _typed(paths, columns))


def _typed(paths: list[Path], columns: Columns) -> Iterator[Any]:
    for path in paths:
        with _open(path) as file:
            try:
                for batch in file.iter_batches(batch_size=BATCH_ROWS):
                    yield conform(batch, columns, str(path))
            except (pa.ArrowInvalid, OSError) as error:
                raise CallerError(f"{path} cannot be read to its end: {error}") from error


def _open(path: Path) -> Any:
    try:
        return arrow_parquet.ParquetFile(path, pre_buffer=False)  # pre-buffering would hold whole row groups
    except (pa.ArrowInvalid, OSError) as error:
        raise CallerError(f"{path} is no Parquet file that can be read: {error}") from error
