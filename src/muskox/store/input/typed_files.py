"""Files that carry their schema, Parquet and Arrow: one dataset of several, in our five types, in one pass.

It owns how the schemas of several files become one. How a file is opened is a `TypedFormat`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from muskox.errors import CallerError
from muskox.store.input.input_files import InputFiles
from muskox.store.input.source import Source
from muskox.store.input.text import check_rows
from muskox.store.schema import Found, apply_types, conform, find_columns, merge_columns, settle_columns

BATCH_ROWS = 65_536  # decoded at a time


class TypedFormat(Protocol):
    """A format of files that carry their schema. What it raises is pa.ArrowInvalid or OSError."""

    noun: str

    def look(self, path: Path) -> tuple[Any, int]:
        """Return the file's pyarrow.Schema and its number of rows."""

    def read(self, path: Path, names: list[str]) -> Iterator[Any]:
        """Yield the rows as record batches with at least the columns `names`, of about BATCH_ROWS rows."""


def open_typed_files(files: InputFiles, kind: TypedFormat) -> Source:
    """Return what reads all of `files`, one after the other.

    Raises
    ------
    CallerError
        If one is no file of the format, its columns differ from the first one's, or a column has a type that is not kept.
    """
    found: Found = {}
    rows = 0
    for file in files.files:
        try:
            schema, count = kind.look(file.path)
        except (pa.ArrowInvalid, OSError) as error:
            raise CallerError(f"{file.path} is no {kind.noun} file that can be read: {error}") from error
        own = find_columns(schema, str(file.path))
        files.check_own(list(own), file.path)
        found = merge_columns(found, own, str(file.path)) if found else own
        rows += count
    check_rows(rows, files.names, "")
    own_columns = apply_types(settle_columns(found), files.given)
    columns = {**own_columns, **files.partition_columns}

    def batches(wanted: Sequence[str] | None = None) -> Iterator[Any]:
        chosen = list(columns if wanted is None else wanted)
        read = {name: kind for name, kind in own_columns.items() if name in chosen} or dict([next(iter(own_columns.items()))])
        for file in files.files:
            try:
                for batch in kind.read(file.path, list(read)):
                    yield files.extend(conform(batch, read, str(file.path)), file).select(chosen)
            except KeyError as error:
                raise CallerError(f"{file.path} was changed while it was read: column {error} is gone") from error
            except (pa.ArrowInvalid, OSError) as error:
                raise CallerError(f"{file.path} cannot be read to its end: {error}") from error

    return Source(columns, rows, batches, bytes=files.bytes)
