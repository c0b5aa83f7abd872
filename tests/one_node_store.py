"""A fake of the store's client with one node, for tests of who keeps and deletes which blob."""

import hashlib
from collections.abc import Callable
from typing import Any

from muskox.errors import Unavailable


class Stores:
    """Keeps every blob on the one node that there is, and remembers what was deleted."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.deleted: list[str] = []
        self.on_put: Callable[[], object] = lambda: None

    def put_blob(self, address: str, data: bytes) -> str:
        self.on_put()
        self.blobs[hashlib.sha256(data).hexdigest()] = data
        return hashlib.sha256(data).hexdigest()

    def get_blob(self, addresses: Any, digest: str) -> bytes:
        if digest not in self.blobs:
            raise Unavailable(f"no node can give blob {digest}")
        return self.blobs[digest]

    def clock_ns(self, address: str) -> int:
        return 0

    def delete(self, address: str, digests: list[str], unless_newer_than_ns: int) -> None:
        self.deleted += digests
        for digest in digests:
            del self.blobs[digest]
