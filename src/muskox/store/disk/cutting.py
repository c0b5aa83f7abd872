"""Rows on their way into the files of their shards: gathered, sorted by shard, and given to the writer of each.

It owns what waits in memory, within one bound. The last rows of each shard, fewer than a block, wait at its writer. Where those
of all shards do not fit (many columns, long texts), where there are more files than a process should open, or where other rows
come first (an append), rows wait in the spill instead. It must never know which rule cuts, nor where shards go.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from muskox.store.disk.shard import ShardFiles, ShardWriter, joined, read_blocks
from muskox.store.disk.spill import Spill
from muskox.store.partition.assignment import Indexes, group

GATHERED = 64  # a 64th of the memory is gathered before it is cut; more only costs the time to copy it into one batch
GATHERED_TO_SPILL = 16  # more where it makes a shard's runs in the spill longer; while it is cut, there are a few copies of it
WAITING = 4  # a fourth of the memory waits at the writers
FILES_MAX = 128  # open at a time
CUTTERS = min(4, os.cpu_count() or 1)  # threads; which one cuts what makes no difference


class Cutting:
    """The files of `shards` shards, ``<folder>/shard-<index>-<group>``. Use as a context manager: at its end the spill goes.

    groups : the columns of each file of a shard
    memory_bytes : bounds what waits, and what is cut at a time
    before : gives the rows with which a shard begins, before those that are added here; None where there are none
    """

    def __init__(
        self,
        folder: Path,
        schema: Any,
        shards: int,
        groups: Sequence[Sequence[str]],
        *,
        memory_bytes: int,
        before: Callable[[int], Iterable[Any]] | None = None,
    ) -> None:
        self.schema = schema
        self._folder = folder
        self._groups = groups
        self._before = before
        self._memory_bytes = memory_bytes
        self._rows = [0] * shards
        self._batches: list[Any] = []
        self._assigned: list[Indexes] = []
        self._bytes = 0
        self._writers: dict[int, ShardWriter] = {}
        self._finished: dict[int, ShardFiles] = {}
        self._is_spilling = before is not None or shards * max(len(groups), 1) > FILES_MAX
        self._spill = Spill(folder / "spill", schema, shards)
        self._pool = ThreadPoolExecutor(CUTTERS, thread_name_prefix="cut")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)
        for writer in self._writers.values():
            writer.close()
        self._spill.__exit__(kind, error, trace)

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
        if self._bytes * (GATHERED_TO_SPILL if self._is_spilling else GATHERED) >= self._memory_bytes:
            self.flush()

    def flush(self) -> None:
        """Cut what is still gathered; call it after the last :meth:`add`."""
        if not self._batches:
            return
        rows = self._batches[0] if len(self._batches) == 1 else pa.concat_batches(self._batches)
        order, ends = group(np.concatenate(self._assigned), len(self._rows))
        self._batches, self._assigned, self._bytes = [], [], 0
        present = [shard for shard in range(len(self._rows)) if ends[shard] < ends[shard + 1]]
        for shard in present:
            self._rows[shard] += ends[shard + 1] - ends[shard]
            if not self._is_spilling and shard not in self._writers:
                self._writers[shard] = ShardWriter(self._path(shard), self.schema, self._groups)
        takes = ((shard, order[ends[shard] : ends[shard + 1]]) for shard in present)
        if self._is_spilling:
            for shard, own in takes:
                self._spill.add(shard, _taken(rows, own))
            return
        for _ in self._pool.map(lambda take: self._writers[take[0]].add(_taken(rows, take[1])), takes):
            pass
        if WAITING * sum(writer.waiting_bytes for writer in self._writers.values()) > self._memory_bytes:
            self._begin_to_spill()

    def _begin_to_spill(self) -> None:
        self._is_spilling = True
        for shard, writer in self._writers.items():
            for batch in writer.give_back():
                self._spill.add(shard, batch)

    def _path(self, shard: int) -> Path:
        return self._folder / f"shard-{shard}"

    def rows(self, shard: int) -> int:
        """Return how many rows were added to a shard."""
        return self._rows[shard]

    def batches(self, shard: int, columns: Sequence[str]) -> Iterator[Any]:
        """Yield these columns of the rows that were added to a shard."""
        if self._before is not None:
            yield from (batch.select(columns) for batch in self._spill.batches(shard))
            return
        readers = [pa.ipc.open_file(pa.OSFile(str(part.path))) for part in self.finish(shard).parts]
        yield from joined([read_blocks(reader) for reader in readers], columns)

    def finish(self, shard: int) -> ShardFiles:
        """Return the shard's files, complete.

        Raises
        ------
        Unavailable
            If the disk is full.
        """
        if shard not in self._finished:
            begun = self._writers.pop(shard, None)
            before = () if self._before is None else self._before(shard)
            with begun if begun is not None else ShardWriter(self._path(shard), self.schema, self._groups) as writer:
                for batch in chain(before, self._spill.batches(shard)):
                    writer.add(batch)
                self._finished[shard] = writer.finish()
        return self._finished[shard]


def _taken(rows: Any, order: Indexes) -> Any:
    """Return the rows of that order: all that was gathered, or memory of their own."""
    if order[-1] - order[0] != len(order) - 1:  # ascending, so there are others between
        return rows.take(pa.array(order))
    return rows if len(order) == rows.num_rows else pa.concat_batches([rows.slice(order[0], len(order))])
