"""The results that a worker keeps: in an unlinked temporary file, so that memory holds only those it is at work with."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from muskox.records import Record, pack, unpack
from muskox.runtime.message import Buffer


class ResultFile:
    """Packed results by task. The file lies where temporary files do, and goes with the process at the latest."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="muskox-results-")  # noqa: SIM115  # closed by close()
        self._places: dict[int, tuple[int, int, str]] = {}  # begin, bytes, digest
        self._end = 0

    def keep(self, task: int, digest: str, body: Buffer) -> None:
        """Keep `body`, in place of what was kept of the task."""
        written = 0
        while written < len(body):
            written += os.pwrite(self._file.fileno(), memoryview(body)[written:], self._end + written)
        self._places[task] = (self._end, len(body), digest)
        self._end += len(body)

    def read(self, task: int) -> bytes:
        begin, size, _ = self._places[task]
        return os.pread(self._file.fileno(), size, begin)

    def digest(self, task: int) -> str:
        return self._places[task][2]

    def close(self) -> None:
        self._file.close()


class KeptResults(Sequence[Record]):
    """The results of tasks 0 to `count`, each unpacked when it is asked for."""

    def __init__(self, results: ResultFile, count: int) -> None:
        self._results = results
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Record]:
        return (self[task] for task in range(self._count))

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[task] for task in range(self._count)[index]]
        return unpack(self._results.read(range(self._count)[index]))


def pack_piece(results: ResultFile, tasks: Sequence[int]) -> bytes:
    """Return the results of `tasks` and their digests as one body."""
    bodies = [results.read(task) for task in tasks]
    sizes = [len(body) for body in bodies]
    data = np.frombuffer(b"".join(bodies), np.uint8)
    return pack({"tasks": list(tasks), "digests": [results.digest(task) for task in tasks], "sizes": sizes, "data": data})


def unpack_piece(body: bytes) -> dict[int, tuple[str, bytes]]:
    """Return digest and packed result by task, as :func:`pack_piece` took them."""
    piece = unpack(body)
    found, begin, data = {}, 0, piece["data"]
    for task, digest, size in zip(piece["tasks"], piece["digests"], piece["sizes"], strict=True):
        found[task] = (digest, data[begin : begin + size].tobytes())
        begin += size
    return found
