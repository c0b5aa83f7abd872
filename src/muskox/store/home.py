"""Where a cluster's blobs are durable, and how to put, get and fetch one there: on the nodes, or in an object store.

A home is what the rest of muskox holds of the store: it carries the session, the Flight client and the directory of nodes. A
blob is named by its digest; `nodes` says who holds it, and is empty in an object store, whose replication is its own. Until a
znode names it, a lease keeps it from being collected (care/leases.py).
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from muskox.coordination import Session, layout
from muskox.errors import MuskoxError, Unavailable
from muskox.store.care.leases import writing
from muskox.store.disk.blobs import BlobStore
from muskox.store.disk.cache import BlobCache
from muskox.store.service.client import StoreClient
from muskox.store.service.directory import Directory

if TYPE_CHECKING:
    from muskox.store.upload import Uploads


class Home(Protocol):
    """Where blobs are durable. Safe to use from several threads."""

    session: Session
    client: StoreClient
    directory: Directory

    def writing(self) -> AbstractContextManager[str]:
        """Hold a lease for what is put here, and yield its id, which the commit that names the blobs checks."""

    def put(self, data: bytes, replicas: int, *, first: str = "") -> tuple[str, list[str]]:
        """Keep a small blob durably, under a lease and before any znode points at it; return its digest and who holds it."""

    def get(self, digest: str, nodes: Sequence[str]) -> bytes:
        """Return a blob's bytes, checked; Unavailable if nobody can give them."""

    def fetch(self, digest: str, nodes: Sequence[str], into: BlobStore) -> Path:
        """Bring a blob into a local folder, unless it is there and whole, and return its path; raises as :meth:`get` does."""

    def drop(self, digest: str, nodes: Sequence[str]) -> None:
        """Delete a blob that only one znode could ever name, and that it names no more, where it can be reached; never raises.

        Any other blob is the collection's: somebody else may be about to name the same bytes.
        """

    def uploads(self, replicas: int) -> "Uploads":
        """Return what brings the shards of one put here."""


def open_home(session: Session, client: StoreClient) -> Home:
    """Return the home of the cluster's blobs, as its record says; the nodes, where there is no record yet."""
    found = session.find(layout.CLUSTER, layout.ClusterRecord)
    if found is None or not found[0].store:
        return NodeHome(session, client)
    from muskox.store.objects.object_home import ObjectHome

    return ObjectHome(session, client, found[0].store)


def supplier(home: Home, cache: BlobCache) -> Callable[[str], Path] | None:
    """Return what gets a blob that a node has not: from the object store behind it; None where there is none."""
    if isinstance(home, NodeHome):
        return None
    return lambda digest: cache.fetch(digest, lambda name, into: home.fetch(name, [], into))


class NodeHome:
    """Blobs on the nodes themselves, each on as many as asked."""

    def __init__(self, session: Session, client: StoreClient) -> None:
        self.session = session
        self.client = client
        self.directory = Directory(session)

    def writing(self) -> AbstractContextManager[str]:
        return writing(self.session, "")

    def put(self, data: bytes, replicas: int, *, first: str = "") -> tuple[str, list[str]]:
        """Store `data` on `replicas` live nodes, `first` among them if named, and return its digest and the nodes.

        A node that does not answer is passed over for the next; fewer nodes than asked are accepted if there are no more.

        Raises
        ------
        Unavailable
            If no node takes it.
        """
        digest = hashlib.sha256(data).hexdigest()
        members = self.directory.open_to_shards()
        nodes: list[str] = []
        reasons: list[str] = []
        for node in preference(digest, list(members), first):
            if len(nodes) == replicas:
                break
            try:
                self.client.put_blob(members[node].address, data)
            except MuskoxError as error:  # away, full, or somebody else's by now: another node will do
                reasons.append(f"{node}: {error}")
            else:
                nodes.append(node)
        if not nodes:
            raise Unavailable(f"no node takes {len(data)} bytes: {'; '.join(reasons) or 'the cluster has no live node'}")
        return digest, nodes

    def get(self, digest: str, nodes: Sequence[str]) -> bytes:
        return self.client.get_blob(self.directory.candidates(nodes), digest)

    def fetch(self, digest: str, nodes: Sequence[str], into: BlobStore) -> Path:
        return self.client.fetch_blob(self.directory.candidates(nodes), digest, into)

    def drop(self, digest: str, nodes: Sequence[str]) -> None:
        for node in nodes:
            with contextlib.suppress(MuskoxError):
                address = self.directory.address(node)
                if address is not None:
                    self.client.delete(address, [digest], self.client.clock_ns(address))

    def uploads(self, replicas: int) -> "Uploads":
        from muskox.store.upload import NodeUploads

        return NodeUploads(self.directory, self.client, replicas)


def preference(digest: str, nodes: Iterable[str], first: str) -> list[str]:
    """Return `nodes` in the order in which they are to hold this blob: rendezvous hashing, `first` before all."""
    score = {node: hashlib.sha256(f"{digest}/{node}".encode()).digest() for node in nodes}
    return sorted(score, key=lambda node: (node != first, score[node]))
