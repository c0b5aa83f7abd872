"""A bounded folder of blobs that can be had again from elsewhere: those that were used last stay.

It owns which blobs go when there are too many, and that one blob is fetched or made once however many ask for it at a time. It
must never know where blobs come from. The whole BlobStore is the cache's: nothing in it is the only copy of anything.

A blob that is *made* here (a shard of a dataset that lies elsewhere in another form) is asked for by a key that says what it is
made of; under which digest it lies is known for as long as the process lives, and then made anew.

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

from muskox.errors import Corrupt, Unavailable
from muskox.store.disk.blobs import BlobStore

Fetcher = Callable[[str, BlobStore], object]  # brings the blob of that digest into the store, or raises
Maker = Callable[[BlobStore], str]  # makes a blob in the store and returns its digest, or raises
MADE_MAX = 100_000  # blobs made here whose digests are remembered


class BlobCache:
    """At most `bytes_max` bytes of blobs in `store`, plus those held, on their way or used last. Safe to use from threads."""

    def __init__(self, store: BlobStore, bytes_max: int) -> None:
        self.store = store
        self.bytes_max = bytes_max
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[str]] = {}
        self._held: Counter[str] = Counter()
        self._made: dict[str, str] = {}
        store.remove_unfinished()  # of a process that was killed
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
            self._once(digest, lambda: self._bring(digest, fetcher))
            yield path
        finally:
            with self._lock:
                self._held[digest] -= 1
                if not self._held[digest]:
                    del self._held[digest]
                self._shrink()

    @contextmanager
    def hold_made(self, key: str, make: Maker) -> Iterator[Path]:
        """Give the path of the blob that `make` makes, made unless it is here, and hold it as :meth:`hold` does.

        key : what it is made of; no digest of another blob

        Raises
        ------
        MuskoxError
            Whatever `make` raises; whoever waited for the same blob gets the same.
        """
        digest = self._once(key, lambda: self._find_made(key) or self._make(key, make))

        def again(name: str, _: BlobStore) -> None:  # it went before we held it
            if self._make(key, make) != name:
                raise Unavailable(f"the cache in {self.store.folder} has no room for what is made there: free some space")

        with self.hold(digest, again) as path:
            yield path

    def recheck(self, digest: str) -> None:
        """Read the blob again, should it be here, and let it go if its bytes have changed: the next use brings it anew."""
        try:
            self.store.check(digest)
        except (Corrupt, Unavailable):
            with self._lock:
                self.store.delete(digest)
                self._bytes -= self._sizes.pop(digest, 0)

    def _once(self, name: str, work: Callable[[], str]) -> str:
        """Return what `work` does, which is done once for all who ask under the same name meanwhile."""
        with self._lock:
            flight = self._under_way.get(name)
            is_ours = flight is None
            if flight is None:
                flight = self._under_way[name] = Future()
        if not is_ours:
            return flight.result()
        try:
            result = work()
        except BaseException as error:  # bulkhead: handed to all who wait, and raised
            flight.set_exception(error)
            raise
        else:
            flight.set_result(result)
            return result
        finally:
            with self._lock:
                del self._under_way[name]

    def _bring(self, digest: str, fetcher: Fetcher) -> str:
        if not self.store.has_whole(digest):
            fetcher(digest, self.store)
        self._note(digest)
        return digest

    def _find_made(self, key: str) -> str | None:
        digest = self._made.get(key)
        return digest if digest is not None and self.store.has_whole(digest) else None

    def _make(self, key: str, make: Maker) -> str:
        digest = make(self.store)
        self._note(digest)
        with self._lock:
            while len(self._made) >= MADE_MAX:
                del self._made[next(iter(self._made))]
            self._made[key] = digest
        return digest

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
