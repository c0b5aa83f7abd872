"""Blobs in an object store, whose replication is its own; the disks of the nodes are caches.

Whoever holds a lease for blobs on their way takes turns with the collection (care/leases.py). Nodes are given no shards: every
one can get them all.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from muskox.coordination import Session
from muskox.errors import Corrupt, MuskoxError, Unavailable
from muskox.store.care.leases import writing
from muskox.store.disk.blobs import BlobStore
from muskox.store.objects.filesystems import find_refusal
from muskox.store.objects.object_blobs import ObjectBlobs
from muskox.store.placement.holders import Holders
from muskox.store.service.client import StoreClient
from muskox.store.service.directory import Directory

TRIES = 3  # of one blob: an object store refuses now and then
RETRY_S = 0.5  # before the second; longer before each further one

T = TypeVar("T")


class ObjectHome:
    """The home of a cluster that was founded with ``--store URL``."""

    def __init__(self, session: Session, client: StoreClient, url: str) -> None:
        self.session = session
        self.client = client
        self.directory = Directory(session)
        self.objects = ObjectBlobs(url)

    def writing(self) -> contextlib.AbstractContextManager[str]:
        return writing(self.session, "")

    def put(self, data: bytes, replicas: int, *, first: str = "") -> tuple[str, list[str]]:  # noqa: ARG002  # a home's contract
        digest = hashlib.sha256(data).hexdigest()
        store(self.objects, data, digest)
        return digest, []

    def get(self, digest: str, nodes: Sequence[str]) -> bytes:  # noqa: ARG002  # a home's contract
        return _tried(lambda: self.objects.get(digest))

    def fetch(self, digest: str, nodes: Sequence[str], into: BlobStore) -> Path:  # noqa: ARG002  # a home's contract
        return _tried(lambda: self.objects.fetch(digest, into))

    def verify(self, digest: str) -> str:
        """Read a blob again; return "good", "corrupt", "missing", or "unreachable"."""
        try:
            _tried(lambda: self.objects.verify(digest))
        except Corrupt:
            return "corrupt"
        except Unavailable as error:
            return "missing" if is_missing(error) else "unreachable"
        return "good"

    def drop(self, digest: str, nodes: Sequence[str]) -> None:  # noqa: ARG002  # a home's contract
        with contextlib.suppress(MuskoxError):
            self.objects.delete([digest])

    def uploads(self, replicas: int) -> "ObjectUploads":  # noqa: ARG002  # a home's contract
        return ObjectUploads(self.objects)


class ObjectUploads:
    """The uploads of one put; each blob is durable once the store says so."""

    def __init__(self, objects: ObjectBlobs) -> None:
        self._objects = objects

    def begin(self, groups: Sequence[str], shards: int, before: Sequence[Holders] = ()) -> None:
        """Nothing is to be decided: where it lies is the store's."""

    def upload(self, part: tuple[int, int], path: Path, digest: str) -> None:  # noqa: ARG002  # an upload's contract
        store(self._objects, path, digest)

    def adopt(self, part: tuple[int, int], digest: str, size: int, nodes: Sequence[str]) -> None:
        """It is there already, and named by the version that is appended to."""

    def settle(self) -> list[Holders]:
        return []

    def keep(self, data: bytes, digest: str) -> list[str]:
        store(self._objects, data, digest)
        return []


def store(objects: ObjectBlobs, data: bytes | Path, digest: str) -> None:
    """Put a blob, again if the store does not take it at once.

    Raises
    ------
    Unavailable
        If it does not take it in TRIES tries.
    """
    _tried(lambda: objects.put(data, digest))


def _tried(work: Callable[[], T]) -> T:
    """Return what `work` does, tried again if the store failed; not if there is no such blob, or it will refuse for ever."""
    for attempt in range(1, TRIES):
        try:
            return work()
        except (Unavailable, Corrupt) as error:  # wrong bytes may have been changed on their way
            if is_missing(error) or find_refusal(error.__cause__) is not None:
                raise
            time.sleep(RETRY_S * attempt)
    return work()


def is_missing(error: BaseException) -> bool:
    """Return whether this Unavailable says that the store answered, and has no such blob."""
    return isinstance(error.__cause__, FileNotFoundError)
