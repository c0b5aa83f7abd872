"""A node's blobs: immutable files named by the SHA-256 of their bytes, under ``<folder>/blobs/ab/abcd...``.

It owns how bytes become durable (a temporary file, fsync, rename, fsync of the directory) and how they are checked again.
A blob is there whole or not at all: what a crash leaves is a temporary file, which the next start removes. It must never
know what a blob means.
"""

import contextlib
import errno
import hashlib
import io
import os
import stat
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from muskox.errors import CallerError, Corrupt, Unavailable

CHUNK_BYTES = 4 << 20  # read, hashed and sent at a time
DIGEST_LENGTH = 64
NAME_LENGTH = 32
ASIDE_MAX = 16  # damaged blobs that are kept to be looked at
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DAMAGED = (errno.EIO, errno.EBADMSG, errno.EUCLEAN, errno.ENODATA, errno.EREMOTEIO)  # how disks and file systems say so


class BlobStore:
    """The blobs below `folder`, which is made if it is not there, unless it is another process's (`is_ours`), only to be read.

    One process at a time should own a folder's writing.
    """

    def __init__(self, folder: Path, *, is_ours: bool = True) -> None:
        self.folder = folder
        self.changes = 0  # of what is here, made through this object: tells one state of the folder from another
        self._blobs = folder / "blobs"
        self._arriving = self._blobs / "arriving"
        if is_ours:
            self._arriving.mkdir(parents=True, exist_ok=True)

    def remove_unfinished(self, older_than_s: float = 0.0) -> None:
        """Remove what writers that died left behind: all of it before this process's first writer, later only what is old."""
        for path in self._arriving.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime >= older_than_s:
                    path.unlink()

    def path(self, digest: str) -> Path:
        """Return where the blob is, or would be.

        Raises
        ------
        CallerError
            If `digest` is no SHA-256 in lower-case hexadecimal: it comes from the network and ends in a path.
        """
        if len(digest) != DIGEST_LENGTH or not set(digest) <= set("0123456789abcdef"):
            raise CallerError(f"{digest[:80]!r} is no blob: a blob is named by {DIGEST_LENGTH} hexadecimal digits")
        return self._blobs / digest[:2] / digest

    def has(self, digest: str) -> bool:
        """Return whether the disk finds such a blob; its bytes are not looked at."""
        try:
            return self.path(digest).exists()
        except OSError:
            return False

    def has_whole(self, digest: str) -> bool:
        """Return whether the blob is here with the bytes that its name tells; read once a process."""
        try:
            check_once(self.path(digest))
        except (Unavailable, Corrupt):
            return False
        return True

    def size(self, digest: str) -> int:
        """Return the blob's bytes.

        Raises
        ------
        Unavailable
            If it is not here.
        Corrupt
            If the disk cannot tell.
        """
        try:
            return self.path(digest).stat().st_size
        except OSError as error:
            raise refused_read(error, self.path(digest)) from error

    def digests(self, folder: str = "??") -> list[str]:
        """Return the names of all blobs here, or of those in one folder ("ab"), sorted."""
        return sorted(path.name for path in self._files(folder))

    def sizes(self) -> dict[str, int]:
        """Return the size of every blob here, by name."""
        found = {}
        for path in self._files("??"):
            with _passing_over_damage():
                found[path.name] = path.stat().st_size
        return found

    def _files(self, folder: str) -> Iterator[Path]:
        """Yield the blob files; what the disk cannot list any more is not here."""
        for each in self._blobs.glob(folder):
            with _passing_over_damage():
                yield from list(each.iterdir())

    def read(self, digest: str) -> bytes:
        """Return the blob's bytes, checked against their name.

        Raises
        ------
        Unavailable
            If it is not here, or is not for us to read.
        Corrupt
            If its bytes have changed, or the disk cannot read them.
        """
        try:
            data = self.path(digest).read_bytes()
        except OSError as error:
            raise refused_read(error, self.path(digest)) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise self._corrupt(digest)
        return data

    def check(self, digest: str) -> None:
        """Read the blob and compare it with its name; raises as :meth:`read` does. Memory stays bounded."""
        try:
            found = file_digest(self.path(digest))
        except OSError as error:
            raise refused_read(error, self.path(digest)) from error
        if found != digest:
            raise self._corrupt(digest)

    def writer(self) -> "BlobWriter":
        """Return a writer for one blob whose digest is known at its end. Use as a context manager."""
        try:
            self._arriving.mkdir(parents=True, exist_ok=True)  # somebody may have emptied the folder of a living node
            return BlobWriter(self, self._arriving / uuid.uuid4().hex)
        except OSError as error:
            raise refused_write(error, self.folder) from error

    def put_bytes(self, data: bytes) -> str:
        """Store `data` durably and return its digest.

        Raises
        ------
        Unavailable
            If the disk is full; nothing is left behind.
        """
        with self.writer() as writer:
            writer.write(data)
            return writer.commit()

    def put_file(self, source: Path) -> str:
        """Store a copy of the file durably and return its digest; raises as :meth:`put_bytes` does."""
        with self.writer() as writer, source.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                writer.write(chunk)
            return writer.commit()

    def arriving(self, name: str) -> Path:
        """Return where a file called `name` is to be laid that :meth:`adopt` shall make a blob.

        Raises
        ------
        CallerError
            If the name is not 32 hexadecimal digits: it comes from the network and ends in a path.
        """
        if len(name) != NAME_LENGTH or not set(name) <= set("0123456789abcdef"):
            raise CallerError(f"{name[:80]!r} is no name of a file that arrives: that has {NAME_LENGTH} hexadecimal digits")
        return self._arriving / name

    def adopt(self, name: str, digest: str) -> None:
        """Make a file that somebody on this machine laid into the folder a blob: read, digested and synced here.

        Raises
        ------
        Corrupt
            If it has another digest.
        Unavailable
            If it is not there, no file of this process's user, or the disk is full.
        """
        path, laid = self.path(digest), self.arriving(name)
        try:
            with io.FileIO(os.open(laid, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                    raise Unavailable(f"{laid} is no file of the node's user: upload it")
                found = hashlib.file_digest(file, "sha256").hexdigest()
                if found != digest:
                    raise Corrupt(f"blob {digest} was handed over with other bytes, of digest {found}: send it again")
                os.utime(file.fileno())  # a collection spares what is newer than its look
                os.fsync(file.fileno())
            settle(laid, path)
            self.changes += 1
        except OSError as error:
            raise refused_write(error, self.folder) from error

    def put_aside(self, digest: str) -> None:
        """Move a damaged blob to ``<folder>/damaged``, where a person can look at it; the newest ASIDE_MAX stay there.

        Raises
        ------
        Unavailable
            If the disk does not let it be moved.
        """
        aside = self.folder / "damaged"
        try:
            aside.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self.path(digest).replace(aside / digest)
            for path in sorted(aside.iterdir(), key=lambda path: path.lstat().st_mtime_ns)[:-ASIDE_MAX]:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise refused_write(error, self.folder) from error

    def delete(self, digest: str, unless_newer_than_ns: int | None = None) -> bool:
        """Delete the blob, unless it was written after that time (`time.time_ns`); return whether it is gone."""
        path = self.path(digest)
        try:
            if unless_newer_than_ns is not None and path.stat().st_mtime_ns > unless_newer_than_ns:
                return False
            path.unlink()
        except FileNotFoundError:
            return True
        self.changes += 1
        return True

    def _corrupt(self, digest: str) -> Corrupt:
        return Corrupt(f"blob {digest} in {self.folder} has other bytes than were written: take another replica")


class BlobWriter:
    """One blob on its way in. Without :meth:`commit` nothing of it stays."""

    def __init__(self, store: BlobStore, path: Path) -> None:
        self._store = store
        self._path = path
        self._sha = hashlib.sha256()
        self.bytes = 0
        self._file = io.FileIO(path, "wb")

    def write(self, data: bytes | memoryview) -> None:
        self._sha.update(data)
        self.bytes += len(data)
        try:
            write_all(self._file, data)
        except OSError as error:
            raise refused_write(error, self._store.folder) from error

    def commit(self, expected: str | None = None) -> str:
        """Make the blob durable and visible; return its digest.

        Raises
        ------
        Corrupt
            If `expected` is given and is not its digest: bytes were changed on the way.
        Unavailable
            If the disk is full.
        """
        digest = self._sha.hexdigest()
        if expected is not None and digest != expected:
            raise Corrupt(f"blob {expected} arrived with other bytes, of digest {digest}: send it again")
        path = self._store.path(digest)
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            settle(self._path, path)
            self._store.changes += 1
        except OSError as error:
            raise refused_write(error, self._store.folder) from error
        return digest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def settle(arrived: Path, path: Path) -> None:
    """Give a synced file, whose bytes have been digested, its name as a blob, durably."""
    if not path.parent.exists():
        path.parent.mkdir(exist_ok=True)
        sync_folder(path.parent.parent)
    arrived.replace(path)
    sync_folder(path.parent)
    remember_checked(path)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of the file's bytes, in bounded memory (a mapping would count as ours while it is read)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


CHECKED_MAX = 100_000  # files that one process remembers to have checked
CHECKED_S = 3600.0  # for so long: what rots on the disk meanwhile is found by the scrub, or by the next look
_checked: dict[tuple[str, int, int, int], float] = {}


def check_once(path: Path) -> None:
    """Compare the blob file with its name, once an hour and process as long as nobody has written to it.

    Raises
    ------
    Corrupt
        If they differ, or the disk cannot read the file.
    Unavailable
        If the file is not there, or is not for us to read.
    """
    try:
        key = _identity(path)
        if time.monotonic() < _checked.get(key, -CHECKED_S) + CHECKED_S:
            return
        found = file_digest(path)
    except OSError as error:
        raise refused_read(error, path) from error
    if found != path.name:
        raise Corrupt(f"blob file {path} has other bytes than were written: take another replica")
    remember_checked(path, key)


def remember_checked(path: Path, key: tuple[str, int, int, int] | None = None) -> None:
    while len(_checked) >= CHECKED_MAX:
        _checked.pop(next(iter(_checked)), None)
    _checked[key or _identity(path)] = time.monotonic()


def _identity(path: Path) -> tuple[str, int, int, int]:
    stat = path.stat()
    return str(path), stat.st_ino, stat.st_size, stat.st_ctime_ns  # not st_mtime: that can be set back


def write_all(file: io.FileIO, data: Any) -> None:
    """Write all of `data` to an unbuffered file: nothing is left in a buffer that a full disk would refuse at close."""
    view = memoryview(data)
    while view.nbytes:
        view = view[file.write(view) :]


def refused_write(error: OSError, folder: Path) -> Unavailable:
    """Return what an error of the disk under `folder` means to who wanted to write."""
    if error.errno in FULL:
        return Unavailable(f"the disk under {folder} is full: free some space and try again")
    return Unavailable(f"cannot write under {folder}: {error.strerror or error}")


def refused_read(error: OSError, path: Path) -> Corrupt | Unavailable:
    """Return what an error of the disk means to who wanted to read a blob's file.

    Only what a disk says of itself is damage: who has too many files open, or may not read it, has no reason to put it aside.
    """
    if isinstance(error, FileNotFoundError):
        return Unavailable(f"blob file {path} is not there: take another replica")
    why = error.strerror or error
    if error.errno in DAMAGED:
        return Corrupt(f"blob file {path} cannot be read from the disk ({why}): take another replica")
    return Unavailable(f"blob file {path} cannot be read now ({why}): take another replica, or try again")


@contextlib.contextmanager
def _passing_over_damage() -> Iterator[None]:
    """Pass over a file or folder that is gone, or that the disk cannot read."""
    try:
        yield
    except OSError as error:
        if not isinstance(error, FileNotFoundError) and error.errno not in DAMAGED:
            raise


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
