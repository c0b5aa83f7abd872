"""Rows on their way to shards, on the client's disk: however large the input, memory holds SPILL_BYTES of it and a few copies.

Rows are gathered, sorted by shard and appended to one file, a run of rows of one shard at a time; where each run lies is kept
in memory. (Rejected: a file a shard. 100,000 shards are more than the files that a process may open.)
"""

import io
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from muskox.store.blobs import refused_write, write_all
from muskox.store.partition import Indexes, group

SPILL_BYTES = 32 << 20  # of rows, gathered before they are sorted and written


class Spill:
    """Rows by shard, in the order in which they were added. Use as a context manager; `path` is removed at its end."""

    def __init__(self, path: Path, schema: Any, shards: int) -> None:
        self._path = path
        self.schema = schema
        self._runs: list[list[tuple[int, int]]] = [[] for _ in range(shards)]
        self._rows = [0] * shards
        self._batches: list[Any] = []
        self._assigned: list[Indexes] = []
        self._bytes = 0
        self._end = 0
        self._file = io.FileIO(path, "wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def add(self, batch: Any, shard: Indexes) -> None:
        """Take in a record batch whose row i belongs to shard[i].

        Raises
        ------
        Unavailable
            If the disk is full.
        """
        self._batches.append(batch)
        self._assigned.append(shard)
        self._bytes += batch.nbytes
        if self._bytes >= SPILL_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is still gathered; call it after the last :meth:`add`."""
        if not self._batches:
            return
        rows = pa.concat_batches(self._batches)
        order, bounds = group(np.concatenate(self._assigned), len(self._runs))
        self._batches, self._assigned, self._bytes = [], [], 0
        if not _is_sorted(order):
            rows = rows.take(pa.array(order))
        try:
            for shard, runs in enumerate(self._runs):
                first, end = bounds[shard], bounds[shard + 1]
                if first < end:
                    run = rows.slice(first, end - first).serialize()
                    runs.append((self._end, run.size))
                    self._rows[shard] += end - first
                    write_all(self._file, run)
                    self._end += run.size
        except OSError as error:
            raise refused_write(error, self._path.parent) from error

    def batches(self, shard: int) -> Iterator[Any]:
        """Yield the rows of a shard as record batches, one run in memory at a time."""
        if not self._runs[shard]:
            return
        with pa.OSFile(str(self._path)) as file:
            for offset, size in self._runs[shard]:
                file.seek(offset)
                yield pa.ipc.read_record_batch(file.read_buffer(size), self.schema)

    def has_rows(self, shard: int) -> bool:
        return bool(self._runs[shard])

    def rows(self, shard: int) -> int:
        return self._rows[shard]


def _is_sorted(order: Indexes) -> bool:
    return bool((order[1:] > order[:-1]).all())
