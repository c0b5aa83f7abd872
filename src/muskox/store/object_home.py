"""Blobs in an object store, whose replication is its own; the disks of the nodes are caches.

A writer holds a lease while its blobs are on their way, and takes turns with the collection (store/leases.py). Nodes are given
no shards: every one can get them all.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from muskox.coordination import Session
from muskox.errors import Unavailable
from muskox.store.blobs import BlobStore
from muskox.store.client import StoreClient
from muskox.store.directory import Directory
from muskox.store.holders import Holders
from muskox.store.leases import writing
from muskox.store.objects import ObjectBlobs

RETRIES = 3  # of one blob: an object store refuses now and then
RETRY_S = 0.5


class ObjectHome:
    """The home of a cluster that was founded with ``--store URL``."""

    def __init__(self, session: Session, client: StoreClient, url: str) -> None:
        self.session = session
        self.client = client
        self.directory = Directory(session)
        self.objects = ObjectBlobs(url)

    def put(self, data: bytes, replicas: int, *, first: str = "") -> tuple[str, list[str]]:  # noqa: ARG002  # a home's contract
        digest = hashlib.sha256(data).hexdigest()
        with writing(self.session, ""):
            store(self.objects, data, digest)
        return digest, []

    def get(self, digest: str, nodes: Sequence[str]) -> bytes:  # noqa: ARG002  # a home's contract
        return self.objects.get(digest)

    def fetch(self, digest: str, nodes: Sequence[str], into: BlobStore) -> Path:  # noqa: ARG002  # a home's contract
        return self.objects.fetch(digest, into)

    def drop(self, digest: str, nodes: Sequence[str]) -> None:
        """Leave it to the collection: another znode may name the same bytes."""

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
        If it does not take it in RETRIES tries.
    """
    for attempt in range(1, RETRIES + 1):
        try:
            objects.put(data, digest)
        except Unavailable:
            if attempt == RETRIES:
                raise
            time.sleep(RETRY_S * attempt)
        else:
            return
