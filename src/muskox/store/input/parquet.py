"""Parquet in: files read as a stream of record batches in our five types, pages at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as arrow_parquet

from muskox.store.input.input_files import InputFiles
from muskox.store.input.source import Source
from muskox.store.input.typed_files import BATCH_ROWS, open_typed_files

BUFFER_BYTES = 1 << 20  # read of each column at a time; without a buffer Arrow reads a column of a whole row group at once


def open_parquet(files: InputFiles) -> Source:
    """Return what reads all of `files`, one after the other; raises CallerError as `open_typed_files` does."""
    return open_typed_files(files, _Parquet())


class _Parquet:
    noun = "Parquet"

    def look(self, path: Path) -> tuple[Any, int]:
        with _open(path) as file:
            return file.schema_arrow, int(file.metadata.num_rows)

    def read(self, path: Path, names: list[str]) -> Iterator[Any]:
        with _open(path) as file:
            yield from file.iter_batches(batch_size=BATCH_ROWS, columns=names)


def _open(path: Path) -> Any:
    return arrow_parquet.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES)  # pre-buffering holds whole row groups
