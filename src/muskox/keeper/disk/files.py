"""The few calls by which anything is written, as one small door: the tests put a disk behind it that tears and forgets."""

import errno
import os
from pathlib import Path
from typing import Protocol

DSYNC = getattr(os, "RWF_DSYNC", 0)  # Linux's
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
MODE = 0o600


class Disk(Protocol):
    """Files are known by a number; each call raises OSError if the disk refuses."""

    def create(self, path: Path) -> int:
        """Open an empty file for writing, in place of any other."""

    def write(self, file: int, data: bytes, at: int) -> None:
        """Write all of `data`; it is on disk after the next sync."""

    def write_synced(self, file: int, data: bytes, at: int) -> None:
        """Write all of `data` and return once it, and the file's length, is on disk."""

    def allocate(self, file: int, start: int, size: int) -> None:
        """Make room for `size` bytes from byte `start` on, which read as zeros."""

    def truncate(self, file: int, size: int) -> None: ...

    def sync(self, file: int) -> None:
        """Return once all that was written, and the file's length, is on disk."""

    def close(self, file: int) -> None: ...

    def rename(self, old: Path, new: Path) -> None: ...

    def remove(self, path: Path) -> None: ...

    def sync_folder(self, folder: Path) -> None:
        """Return once the names in `folder` are on disk."""


class SystemDisk:
    """The operating system's."""

    def __init__(self) -> None:
        self.dsync = DSYNC

    def create(self, path: Path) -> int:
        return os.open(path, NEW_FILE, MODE)

    def write(self, file: int, data: bytes, at: int) -> None:
        self.write_flagged(file, data, at, 0)

    def write_synced(self, file: int, data: bytes, at: int) -> None:
        # One call, not two: a sync of its own would wait for more than this.
        if self.dsync:
            try:
                self.write_flagged(file, data, at, self.dsync)
                return
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    raise
                self.dsync = 0
        self.write_flagged(file, data, at, 0)
        self.sync(file)

    def write_flagged(self, file: int, data: bytes, at: int, flags: int) -> None:
        written = os.pwritev(file, (data,), at, flags) if flags else os.pwrite(file, data, at)
        if written < len(data):
            view = memoryview(data)
            while written < len(data):
                written += os.pwritev(file, (view[written:],), at + written, flags)

    def allocate(self, file: int, start: int, size: int) -> None:
        os.posix_fallocate(file, start, size)

    def truncate(self, file: int, size: int) -> None:
        os.ftruncate(file, size)

    def sync(self, file: int) -> None:
        os.fdatasync(file)

    def close(self, file: int) -> None:
        os.close(file)

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


SYSTEM_DISK = SystemDisk()
