"""Blobs in an object store or a shared file system, named by their digests: ``<prefix>/blobs/ab/abcd...``.

It owns how a blob gets there whole or not at all, and how it is checked when it comes back. It must never know what a blob
means, nor which are still referred to: commits rely on ZooKeeper, and a blob that no commit points at does not count.

On S3 a blob of up to SMALL_BYTES_MAX is one PUT; a larger one is a multipart upload, which becomes visible when it is
completed. Other file systems get a file of a unique name, which is then moved. What uploads that died left behind is not a
blob: files under ``blobs/arriving`` go by :meth:`ObjectBlobs.remove_unfinished`, parts on S3 by a lifecycle rule of the
bucket (AbortIncompleteMultipartUpload). Moving onto a file that is there takes two steps on HDFS: for a moment the blob is
not there.
"""

import hashlib
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from muskox.errors import CallerError, Corrupt, MuskoxError, Unavailable
from muskox.store.disk.blobs import CHUNK_BYTES, DIGEST_LENGTH, BlobStore, file_digest, sync_folder
from muskox.store.objects.filesystems import PATIENCE, Patience, find_refusal, open_place, told

SMALL_BYTES_MAX = 8 << 20  # below pyarrow's 10 MB, from which on an upload has parts
IN_FLIGHT_BYTES_MAX = 64 << 20  # of one upload: pyarrow itself would hold all that is written faster than it is sent
READ_BYTES = 16 << 20  # in one request
DELETES_MAX = 16  # under way at a time
NO_MOVE_ONTO = ("hdfs", "viewfs")  # do not move a file onto another
DIGEST = re.compile(f"[0-9a-f]{{{DIGEST_LENGTH}}}")
BLOBS, ARRIVING = "blobs", "blobs/arriving"


class ObjectBlobs:
    """The blobs below `url`, safe to use from several threads. Opening it does not ask the store; :meth:`check` does.

    Raises
    ------
    CallerError
        If `url` cannot be one, or carries a password: see :func:`muskox.store.objects.filesystems.open_place`.
    """

    def __init__(self, url: str, patience: Patience = PATIENCE) -> None:
        self._place = open_place(url, patience)

    @property
    def url(self) -> str:
        return self._place.url

    def path(self, digest: str) -> str:
        """Return where the blob is, or would be, in the file system; CallerError if `digest` is none."""
        return self._place.path(_name(digest))

    def put(self, data: bytes | Path, digest: str) -> None:
        """Store `data`, or a file's bytes, as the blob `digest`, durably. One that is there is written again: its age is new.

        Raises
        ------
        Corrupt
            If the bytes have another digest; nothing becomes visible.
        Unavailable
            If the store does not answer, refuses or is full; nothing becomes visible, and what was there before still is.
        """
        what, path = f"blob {digest}", self.path(digest)
        size = len(data) if isinstance(data, bytes) else _size(data)
        with told(self._place, what):
            if self._place.scheme == "s3":
                self._put_object(path, data, size, digest)
            else:
                self._put_file(path, data, digest)
            found = self._place.filesystem.get_file_info(path)
        if found.size != size:
            raise Unavailable(f"{what}: {self._shown} holds {found.size} bytes of it instead of {size}: put it again")

    def get(self, digest: str) -> bytes:
        """Return the blob's bytes, checked.

        Raises
        ------
        Unavailable
            If it is not there, or the store does not answer.
        Corrupt
            If its bytes have changed.
        """
        data = b"".join(self._chunks(digest))
        if hashlib.sha256(data).hexdigest() != digest:
            raise self._corrupt(digest)
        return data

    def fetch(self, digest: str, into: BlobStore) -> Path:
        """Bring the blob into a node's blobs, unless it is there and whole; return its path. Raises as :meth:`get` does."""
        if not into.has_whole(digest):
            with into.writer() as writer:
                for chunk in self._chunks(digest):
                    writer.write(chunk)
                try:
                    writer.commit(digest)
                except Corrupt as error:
                    raise self._corrupt(digest) from error
        return into.path(digest)

    def verify(self, digest: str) -> None:
        """Read the blob to its end and compare it with its name; raises as :meth:`get` does. Memory stays bounded."""
        sha = hashlib.sha256()
        for chunk in self._chunks(digest):
            sha.update(chunk)
        if sha.hexdigest() != digest:
            raise self._corrupt(digest)

    def open(self, digest: str) -> Any:
        """Return a pyarrow.NativeFile to read ranges of the blob from, unchecked; raises as :meth:`get` does."""
        with told(self._place, f"blob {digest}"):
            return self._place.filesystem.open_input_file(self.path(digest))

    def has(self, digest: str) -> bool:
        return self._find(digest) is not None

    def size(self, digest: str) -> int:
        """Return the blob's bytes; Unavailable if it is not there."""
        found = self._find(digest)
        if found is None:
            raise Unavailable(f"blob {digest} is not in {self._shown}")
        return int(found.size)

    def list(self) -> Iterator[tuple[str, int, int]]:
        """Yield (digest, bytes, when it was written in ns since 1970) of every blob, by digest; a 256th in memory at a time.

        A file system that tells no times has only new blobs. On S3 times are whole seconds of the store's own clock.
        """
        for folder in self._list(BLOBS):
            if re.fullmatch("[0-9a-f]{2}", folder.base_name):
                for found in self._list(f"{BLOBS}/{folder.base_name}"):
                    if DIGEST.fullmatch(found.base_name) and found.is_file:
                        yield found.base_name, int(found.size), found.mtime_ns or time.time_ns()

    def delete(self, digests: Iterable[str], check: Callable[[], object] = lambda: None) -> None:
        """Delete these blobs; one that is not there is gone already. Unavailable if the store does not answer.

        check : called before each is deleted; if it raises, the rest is left
        """

        def delete(path: str) -> None:
            check()
            self._delete(path)

        with ThreadPoolExecutor(DELETES_MAX, thread_name_prefix="delete") as pool:
            try:
                for _ in pool.map(delete, [self.path(digest) for digest in digests]):
                    pass
            finally:
                pool.shutdown(cancel_futures=True)

    def remove_unfinished(self, before_ns: int) -> None:
        """Remove what uploads that died before that time (ns since 1970) left behind, where it is seen."""
        for found in self._list(ARRIVING):
            if found.is_file and (found.mtime_ns or time.time_ns()) < before_ns:
                self._delete(found.path)

    def check(self) -> None:
        """Write, read, find and delete a blob, as is done once when a cluster is founded on this store.

        Raises
        ------
        CallerError
            If it refuses: there is no such bucket, no access.
        Unavailable
            If it does not answer: a wrong endpoint, say.
        """
        probe = f"muskox probe {uuid.uuid4().hex}".encode()
        digest = hashlib.sha256(probe).hexdigest()
        try:
            self.put(probe, digest)
            self.get(digest)
            if digest not in (found.base_name for found in self._list(f"{BLOBS}/{digest[:2]}")):
                raise Unavailable(f"{self._shown} does not list what was just written there: commits cannot rely on it")
            self.delete([digest])
            if self.has(digest):
                raise Unavailable(f"{self._shown} still has what was just deleted there")
        except Unavailable as error:
            cause = error.__cause__
            if find_refusal(cause) is not None or isinstance(cause, PermissionError):
                raise CallerError(str(error).replace(f"blob {digest}", "a first blob")) from error
            raise Unavailable(str(error).replace(f"blob {digest}", "a first blob")) from error

    # -- writing ----------------------------------------------------------------------------------------------------------

    def _put_object(self, path: str, data: bytes | Path, size: int, digest: str) -> None:
        if size <= SMALL_BYTES_MAX:  # written in one go, it is there whole or not at all, however often it is tried
            whole = b"".join(_read(data))
            self._compare(hashlib.sha256(whole).hexdigest(), digest)
            _write_whole(self._place.filesystem.open_output_stream(path), whole)
            return
        self._compare(_digest(data), digest)
        with ThreadPoolExecutor(1, thread_name_prefix="upload") as pool:  # so that Ctrl-C waits for its end
            pool.submit(self._put_parts, path, data, digest).result()

    def _put_parts(self, path: str, data: bytes | Path, digest: str) -> None:
        """Upload in parts. pyarrow's stream cannot be aborted: closing or dropping it completes the upload with what it has.

        Only a part that failed prevents that. Hence the source is read and compared before, and should it fail now all the
        same, the torn object is deleted. (Rejected: to hold such a stream for good; the process then hangs at its end.)
        """
        stream = self._place.parts.open_output_stream(path)
        try:
            self._send(stream, data, digest)
        except OSError:
            with suppress(OSError):
                stream.close()  # completes nothing, and frees what else would hold the GIL until it gives up
            raise
        except MuskoxError:
            stream.close()
            self._place.filesystem.delete_file(path)
            raise
        stream.close()

    def _put_file(self, path: str, data: bytes | Path, digest: str) -> None:
        filesystem, temporary = self._place.filesystem, self._place.path(f"{ARRIVING}/{uuid.uuid4().hex}")
        folder = path.rpartition("/")[0]
        for each in (self._place.path(ARRIVING), folder):
            filesystem.create_dir(each, recursive=True)
        try:
            with filesystem.open_output_stream(temporary) as stream:
                self._send(stream, data, digest)
            if self._place.scheme == "file":
                _sync(temporary)
            if self._place.scheme in NO_MOVE_ONTO and filesystem.get_file_info(path).is_file:
                filesystem.delete_file(path)
            filesystem.move(temporary, path)
        except BaseException:  # bulkhead: whatever it was, tidy up
            with suppress(OSError):
                filesystem.delete_file(temporary)
            raise
        if self._place.scheme == "file":
            sync_folder(Path(folder))
            sync_folder(Path(folder).parent)

    def _send(self, stream: Any, data: bytes | Path, digest: str) -> None:
        sha, in_flight = hashlib.sha256(), 0
        for chunk in _read(data):
            sha.update(chunk)
            stream.write(chunk)
            in_flight += len(chunk)
            if in_flight >= IN_FLIGHT_BYTES_MAX:
                stream.flush()
                in_flight = 0
        stream.flush()
        self._compare(sha.hexdigest(), digest)

    def _compare(self, found: str, digest: str) -> None:
        if found != digest:
            raise Corrupt(f"what was to be put in {self._shown} as blob {digest} has the digest {found}: read it again")

    # -- reading ----------------------------------------------------------------------------------------------------------

    def _chunks(self, digest: str) -> Iterator[bytes]:
        with self.open(digest) as file:
            while True:
                with told(self._place, f"blob {digest}"):
                    chunk = file.read(READ_BYTES)
                if not chunk:
                    return
                yield chunk

    def _find(self, digest: str) -> Any:
        with told(self._place, f"blob {digest}"):
            found = self._place.filesystem.get_file_info(self.path(digest))
        return found if found.is_file else None

    def _list(self, folder: str) -> Sequence[Any]:
        from pyarrow.fs import FileSelector

        with told(self._place, f"the list of {folder}"):
            found = self._place.filesystem.get_file_info(FileSelector(self._place.path(folder), allow_not_found=True))
        return sorted(found, key=lambda each: str(each.base_name))

    def _delete(self, path: str) -> None:
        with told(self._place, f"deleting {path}"), suppress(FileNotFoundError):
            self._place.filesystem.delete_file(path)

    @property
    def _shown(self) -> str:
        return self._place.shown("")

    def _corrupt(self, digest: str) -> Corrupt:
        return Corrupt(f"blob {digest} in {self._shown} has other bytes than were written: restore it, or put it again")


def _name(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise CallerError(f"{digest[:80]!r} is no blob: a blob is named by {DIGEST_LENGTH} hexadecimal digits")
    return f"{BLOBS}/{digest[:2]}/{digest}"


def _size(source: Path) -> int:
    try:
        return source.stat().st_size
    except OSError as error:
        raise CallerError(f"cannot read {source}: {error.strerror}") from error


def _digest(data: bytes | Path) -> str:
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    try:
        return file_digest(data)
    except OSError as error:
        raise CallerError(f"cannot read {data}: {error.strerror}") from error


def _read(data: bytes | Path) -> Iterator[bytes | memoryview]:
    """Yield the bytes in chunks; a file's error is no OSError of the store, so it leaves as CallerError."""
    if isinstance(data, bytes):
        view = memoryview(data)
        yield from (view[first : first + CHUNK_BYTES] for first in range(0, len(data), CHUNK_BYTES))
        return
    try:
        with data.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise CallerError(f"cannot read {data}: {error.strerror}") from error


def _write_whole(stream: Any, data: bytes) -> None:
    try:
        stream.write(data)
    finally:
        stream.close()


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
