"""A bounded folder of blobs that can be had again from elsewhere: those that were used last stay.

It owns which blobs go when there are too many, and that one blob is fetched once however many ask for it at a time. It must
never know where blobs come from. The whole BlobStore is the cache's: nothing in it is the only copy of anything.

When a blob was used last stands in its file's access time, which is set here (so it does not matter how the disk is
mounted) and read at the start. A file that goes while somebody has it open or mapped can still be read to its end, as on
any Unix.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from muskox.store.blobs import BlobStore

Fetcher = Callable[[str, BlobStore], object]  # brings the blob of that digest into the store, or raises


class BlobCache:
    """At most `bytes_max` bytes of blobs in `store`, plus those held, on their way or used last. Safe to use from threads."""

    def __init__(self, store: BlobStore, bytes_max: int) -> None:
        self.store = store
        self.bytes_max = bytes_max
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[None]] = {}
        self._held: Counter[str] = Counter()
        stats = [(digest, store.path(digest).stat()) for digest in store.digests()]
        self._sizes = {digest: stat.st_size for digest, stat in sorted(stats, key=lambda each: each[1].st_atime_ns)}
        self._bytes = sum(self._sizes.values())  # of _sizes, which is in the order of last use
        with self._lock:
            self._shrink()

    @property
    def bytes(self) -> int:
        return self._bytes

    def fetch(self, digest: str, fetcher: Fetcher) -> Path:
        """Return the path of the blob, whole, fetched unless it is here. Open it at once, or use :meth:`hold`.

        Raises
        ------
        MuskoxError
            Whatever `fetcher` raises; whoever waited for the same blob gets the same.
        """
        with self.hold(digest, fetcher) as path:
            return path

    @contextmanager
    def hold(self, digest: str, fetcher: Fetcher) -> Iterator[Path]:
        """Give the path of the blob, which stays in the folder for as long as the body runs; raises as :meth:`fetch` does."""
        path = self.store.path(digest)
        with self._lock:
            self._held[digest] += 1
        try:
            self._bring(digest, fetcher)
            yield path
        finally:
            with self._lock:
                self._held[digest] -= 1
                if not self._held[digest]:
                    del self._held[digest]
                self._shrink()

    def _bring(self, digest: str, fetcher: Fetcher) -> None:
        with self._lock:
            flight = self._under_way.get(digest)
            is_ours = flight is None
            if flight is None:
                flight = self._under_way[digest] = Future()
        if not is_ours:
            flight.result()
            return
        try:
            if not self.store.has_whole(digest):
                fetcher(digest, self.store)
            self._note(digest)
        except BaseException as error:  # bulkhead: handed to all who wait, and raised
            flight.set_exception(error)
            raise
        else:
            flight.set_result(None)
        finally:
            with self._lock:
                del self._under_way[digest]

    def _note(self, digest: str) -> None:
        """The blob is here and was used now."""
        path = self.store.path(digest)
        stat = path.stat()
        os.utime(path, ns=(time.time_ns(), stat.st_mtime_ns))
        with self._lock:
            self._bytes += stat.st_size - self._sizes.pop(digest, 0)
            self._sizes[digest] = stat.st_size

    def _shrink(self) -> None:
        """Let blobs go, the longest unused first, until they fit; those that are held stay, and the one that was used last."""
        for digest in list(self._sizes)[:-1]:
            if self._bytes <= self.bytes_max:
                return
            if digest not in self._held:
                self.store.delete(digest)
                self._bytes -= self._sizes.pop(digest)
