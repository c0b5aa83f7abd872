"""Rows of shards that do not fit in memory, on the client's disk.

They are appended to one file, a run of rows of one shard at a time; where each run lies is kept in memory. (Rejected: a file a
shard. 100,000 shards are more than the files that a process may open.)
"""

import io
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from muskox.store.disk.blobs import refused_write, write_all


class Spill:
    """Rows by shard, in the order in which they were added. Use as a context manager; `path` is removed at its end."""

    def __init__(self, path: Path, schema: Any, shards: int) -> None:
        self._path = path
        self._schema = schema
        self._runs: list[list[tuple[int, int]]] = [[] for _ in range(shards)]
        self._end = 0
        self._file = io.FileIO(path, "wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def add(self, shard: int, rows: Any) -> None:
        """Append a record batch to a shard.

        Raises
        ------
        Unavailable
            If the disk is full.
        """
        run = rows.serialize()
        try:
            write_all(self._file, run)
        except OSError as error:
            raise refused_write(error, self._path.parent) from error
        self._runs[shard].append((self._end, run.size))
        self._end += run.size

    def batches(self, shard: int) -> Iterator[Any]:
        """Yield the rows of a shard as record batches, one run in memory at a time."""
        if not self._runs[shard]:
            return
        with pa.OSFile(str(self._path)) as file:
            for offset, size in self._runs[shard]:
                file.seek(offset)
                yield pa.ipc.read_record_batch(file.read_buffer(size), self._schema)
