"""The transaction log that is written: append, and make durable.

It owns one open file at a time, preallocated so that a sync has no file size to write. `synced_up_to` goes with every entry,
see `entries`. It is used by one thread at a time.
"""

import os
from pathlib import Path

from muskox.keeper.disk.entries import FILE_HEAD_BYTES, file_head, frame_entries
from muskox.keeper.disk.names import log_path

PREALLOCATED_BYTES = 4 << 20


class TransactionLog:
    """Append-only; a file begins at the first append, and anew after :meth:`roll`."""

    def __init__(self, folder: Path, preallocated_bytes: int = PREALLOCATED_BYTES) -> None:
        self.folder = folder
        self.preallocated_bytes = preallocated_bytes
        self.file: int | None = None
        self.end = 0
        self.allocated = 0

    def append(self, zxid_first: int, entries: list[bytes]) -> None:
        """Write `entries`, whose first has zxid `zxid_first`, and return once they are on disk.

        Raises
        ------
        OSError
            If the disk refuses; nothing may be acknowledged any more then.
        """
        file = self.begin(zxid_first) if self.file is None else self.file
        data = frame_entries(entries, self.end)
        if self.end + len(data) > self.allocated:
            self.preallocate(file, self.end + len(data))
        view = memoryview(data)
        while view:
            written = os.pwrite(file, view, self.end)
            view = view[written:]
            self.end += written
        os.fdatasync(file)

    def begin(self, zxid_first: int) -> int:
        """Start a file, durable down to its name."""
        file = os.open(log_path(self.folder, zxid_first), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self.file, self.end, self.allocated = file, FILE_HEAD_BYTES, 0
        os.pwrite(file, file_head(), 0)
        self.preallocate(file, FILE_HEAD_BYTES)
        os.fsync(file)
        sync_folder(self.folder)
        return file

    def preallocate(self, file: int, needed: int) -> None:
        steps = -(-needed // self.preallocated_bytes)
        before, self.allocated = self.allocated, steps * self.preallocated_bytes
        os.posix_fallocate(file, before, self.allocated - before)  # only what is new: without support it is written out

    def roll(self) -> None:
        """Let the next append begin a new file, and give back what was preallocated of this one."""
        if self.file is not None:
            os.ftruncate(self.file, self.end)
            os.close(self.file)
            self.file = None


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
