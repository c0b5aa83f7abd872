"""Arrow files and streams in (Feather version 2 is an Arrow file).

They are memory-mapped: a large record batch costs memory only if it is compressed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from muskox.store.input.input_files import ARROW_FILE, InputFiles
from muskox.store.input.source import Source
from muskox.store.input.typed_files import BATCH_ROWS, open_typed_files


def open_arrow_files(files: InputFiles) -> Source:
    """Return what reads all of `files`, one after the other; raises CallerError as `open_typed_files` does."""
    return open_typed_files(files, _Arrow())


class _Arrow:
    noun = "Arrow"

    def look(self, path: Path) -> tuple[Any, int]:
        with pa.memory_map(str(path)) as file:
            schema = _open(file).schema
        return schema, sum(batch.num_rows for batch in _batches(path, schema.names[:1]))

    def read(self, path: Path, names: list[str]) -> Iterator[Any]:
        for batch in _batches(path, names):
            for first in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(first, BATCH_ROWS)


def _batches(path: Path, names: list[str]) -> Iterator[Any]:
    with pa.memory_map(str(path)) as file:
        indexes = [_open(file).schema.names.index(name) for name in names]
        file.seek(0)
        reader = _open(file, pa.ipc.IpcReadOptions(included_fields=indexes))
        if isinstance(reader, pa.RecordBatchFileReader):
            yield from (reader.get_batch(index) for index in range(reader.num_record_batches))
        else:
            yield from reader


def _open(file: Any, options: Any = None) -> Any:
    """Return a reader of the file or of the stream, whichever it is."""
    magic = file.read(len(ARROW_FILE))
    file.seek(0)
    return (pa.ipc.open_file if magic == ARROW_FILE else pa.ipc.open_stream)(file, options=options)
