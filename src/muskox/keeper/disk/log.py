"""The transaction log that is written: append, and make durable.

It owns one open file at a time, preallocated so that a sync has no file size to write. What is known to be on disk goes with
every entry, and behind the last one when there is time, see `entries`. It is used by one process alone.
"""

from pathlib import Path

from muskox.keeper.disk.entries import FILE_HEAD_BYTES, SYNC_MARK_BYTES, file_head, frame_entries, sync_mark
from muskox.keeper.disk.files import SYSTEM_DISK, Disk
from muskox.keeper.disk.names import log_path

PREALLOCATED_BYTES = 4 << 20


class TransactionLog:
    """Append-only; a file begins at the first append, and anew after :meth:`roll`.

    Parameters
    ----------
    folder : where its files lie
    preallocated_bytes : how much of a file is allocated at a time; 0 for no more than is written
    force_sync : whether an append returns once it is on disk; else as soon as the system has it
    disk : what it is written to
    """

    def __init__(
        self,
        folder: Path,
        preallocated_bytes: int = PREALLOCATED_BYTES,
        force_sync: bool = True,
        disk: Disk = SYSTEM_DISK,
    ) -> None:
        self.folder = folder
        self.preallocated_bytes = max(preallocated_bytes, 1)
        self.force_sync = force_sync
        self.disk = disk
        self.file: int | None = None
        self.path: Path | None = None  # of that file
        self.end = 0
        self.synced = 0
        self.marked = 0  # up to where the last mark says that it is on disk
        self.allocated = 0

    def append(self, zxid_first: int, entries: list[bytes]) -> None:
        """Write `entries`, whose first has zxid `zxid_first`, and return once they are on disk.

        Raises
        ------
        OSError
            If the disk refuses; nothing may be acknowledged any more then.
        """
        file = self.begin(zxid_first) if self.file is None else self.file
        data = frame_entries(entries, self.synced)
        end = self.end + len(data)
        # A file in use ends in a zero, so that one that does not is known to have been closed in good order.
        if end + SYNC_MARK_BYTES >= self.allocated:
            self.preallocate(file, end + SYNC_MARK_BYTES + 1)
        if not self.force_sync:
            self.disk.write(file, data, self.end)
            self.end = end
            return
        self.disk.write_synced(file, data, self.end)
        self.end = self.synced = end

    def mark(self) -> None:
        """Note behind the last entry that it is on disk: for when nothing follows that would say so."""
        if self.file is not None and self.marked < self.synced == self.end:
            self.disk.write(self.file, sync_mark(self.end), self.end)
            self.marked = self.end

    def begin(self, zxid_first: int) -> int:
        """Start a file, durable down to its name."""
        path = log_path(self.folder, zxid_first)
        file = self.disk.create(path)
        self.path = path
        self.file, self.end, self.synced, self.marked, self.allocated = file, FILE_HEAD_BYTES, FILE_HEAD_BYTES, 0, 0
        self.disk.write(file, file_head(), 0)
        self.preallocate(file, FILE_HEAD_BYTES)
        self.disk.sync(file)
        self.disk.sync_folder(self.folder)
        return file

    def preallocate(self, file: int, needed: int) -> None:
        steps = -(-needed // self.preallocated_bytes)
        before, allocated = self.allocated, steps * self.preallocated_bytes
        self.disk.allocate(file, before, allocated - before)  # only what is new: without support it is written out
        self.allocated = allocated

    def roll(self) -> None:
        """Let the next append begin a new file, and give back what was preallocated of this one."""
        if self.file is None:
            return
        if self.synced < self.end:
            self.disk.sync(self.file)
        self.disk.truncate(self.file, self.end)
        self.disk.close(self.file)
        self.file = self.path = None
