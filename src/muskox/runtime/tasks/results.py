"""The results that a worker keeps: in an unlinked temporary file, so that memory holds only those it is at work with."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import overload

import numpy as np

from muskox.records import Record, pack, unpack
from muskox.runtime.message import Buffer
from muskox.runtime.tasks.events import Found


class ResultFile:
    """Packed results by task and digest: two workers may have found different ones, and which counts is not known here.

    The file lies where temporary files do, and goes with the process at the latest.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="muskox-results-")  # noqa: SIM115  # closed by close()
        self._places: dict[tuple[int, str], tuple[int, int]] = {}  # begin, bytes
        self._end = 0

    def keep(self, task: int, digest: str, body: Buffer) -> None:
        """Keep `body`, unless it is here already."""
        if (task, digest) in self._places:
            return
        written = 0
        while written < len(body):
            written += os.pwrite(self._file.fileno(), memoryview(body)[written:], self._end + written)
        self._places[task, digest] = (self._end, len(body))
        self._end += len(body)

    def read(self, task: int, digest: str) -> bytes:
        begin, size = self._places[task, digest]
        return os.pread(self._file.fileno(), size, begin)

    def close(self) -> None:
        self._file.close()


class KeptResults(Sequence[Record]):
    """The results of all tasks, those with these digests, each unpacked when it is asked for."""

    def __init__(self, results: ResultFile, digests: Sequence[str]) -> None:
        self._results = results
        self._digests = digests

    def __len__(self) -> int:
        return len(self._digests)

    def __iter__(self) -> Iterator[Record]:
        return (self[task] for task in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[task] for task in range(len(self))[index]]
        task = range(len(self))[index]
        return unpack(self._results.read(task, self._digests[task]))


def pack_piece(results: ResultFile, found: Mapping[int, Found]) -> bytes:
    """Return these results, their digests and who found them as one body."""
    bodies = [results.read(task, known.digest) for task, known in found.items()]
    return pack(
        {
            "tasks": list(found),
            "digests": [known.digest for known in found.values()],
            "finders": [known.finders for known in found.values()],
            "sizes": [len(body) for body in bodies],
            "data": np.frombuffer(b"".join(bodies), np.uint8),
        }
    )


def unpack_piece(body: bytes) -> dict[int, tuple[Found, bytes]]:
    """Return by task what is known and the packed result, as :func:`pack_piece` took them."""
    piece = unpack(body)
    results, begin, data = {}, 0, piece["data"]
    for task, digest, finders, size in zip(piece["tasks"], piece["digests"], piece["finders"], piece["sizes"], strict=True):
        results[task] = (Found(digest, size, tuple(finders)), data[begin : begin + size].tobytes())
        begin += size
    return results
