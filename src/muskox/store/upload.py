"""Bringing blobs to the nodes that shall hold them, each durable on all of its replicas before it counts.

It owns where each blob goes in the end: where placement wants it, or on a stand-in if a node fails on the way. It knows
nothing of what the blobs hold.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

from muskox.errors import Unavailable
from muskox.store.client import StoreClient
from muskox.store.directory import Directory
from muskox.store.placement import place, stand_ins


class Uploader:
    """Uploads for one put, safe to use from several threads.

    replicas : how many nodes shall hold each blob; with fewer live nodes at the start, as many as there are
    """

    def __init__(self, directory: Directory, client: StoreClient, replicas: int) -> None:
        self._client = client
        self._directory = directory
        self._live = directory.live()
        self._failed: dict[str, str] = {}
        self._lock = threading.Lock()
        self.replicas = min(replicas, max(len(self._live), 1))

    def place(self, shards: int) -> list[list[str]]:
        """Return the nodes that shall hold each shard; raises as :func:`muskox.store.placement.place` does."""
        return place(shards, list(self._live), self.replicas)

    def preferred(self, shard: int) -> list[str]:
        """Return the live nodes that a single blob would go to, were it that shard."""
        return stand_ins(shard, list(self._live), list(self._failed))[: self.replicas]

    def upload(self, shard: int, data: bytes | Path, digest: str, nodes: Sequence[str]) -> list[str]:
        """Store the blob on each of `nodes`, or on others in their stead; return those that hold it.

        Raises
        ------
        Unavailable
            If fewer than `replicas` live nodes took it; the message says why each other did not.
        """
        holders: list[str] = []
        queue = list(nodes)
        while len(holders) < self.replicas:
            if not queue:
                queue = stand_ins(shard, list(self._live), [*holders, *self._failed])[:1]
            if not queue:
                reasons = "; ".join(self._failed.values()) or "there are no others"
                raise Unavailable(f"{len(holders)} of {self.replicas} replicas could be stored: {reasons}")
            node = queue.pop(0)
            if node not in self._failed and self._store(node, data, digest):
                holders.append(node)
        return holders

    def _store(self, node: str, data: bytes | Path, digest: str) -> bool:
        """Try the node at its address, and once more if it has come back at another one meanwhile."""
        address = self._live[node]
        try:
            self._client.put_blob(address, data, digest)
            return True
        except Unavailable as error:
            now = self._look_again(node)
            if now is not None and now != address:
                return self._store(node, data, digest)
            with self._lock:
                self._failed[node] = str(error)
            return False

    def _look_again(self, node: str) -> str | None:
        with self._lock:
            self._live = {**self._live, **self._directory.live()}
            return self._live.get(node)
