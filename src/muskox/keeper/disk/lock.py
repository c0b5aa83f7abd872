"""One server a folder: a lock on ``keeper.lock`` that lasts as long as the process, with its number in the file."""

import fcntl
import os
import time
from pathlib import Path

from muskox.errors import Unavailable

LOCK_NAME = "keeper.lock"
TRIES = 100  # the log's process of a server that was killed finishes its last write first
TRY_SECONDS = 0.02


def lock_folder(data_dir: Path) -> int:
    """Return the file handle that holds the lock; it goes with the process.

    Raises
    ------
    Unavailable
        If another process holds it.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / LOCK_NAME
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not try_flock(handle):
        holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        raise Unavailable(f"{data_dir} is in use by the keeper with pid {holder}; stop it first, or take another folder")
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def find_holder(data_dir: Path) -> str | None:
    """Return the pid, in decimal, of the keeper that has a folder locked; None if nobody has."""
    try:
        handle = os.open(data_dir / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
    finally:
        os.close(handle)
    return None


def try_flock(handle: int) -> bool:
    """Take the lock; somebody who only looks whether it is free may hold it for a moment."""
    for _ in range(TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(TRY_SECONDS)
        else:
            return True
    return False
