"""A cache keeps what was used last within its bound, and fetches a blob once however many ask for it."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from muskox.errors import CallerError, Unavailable
from muskox.store.disk.blobs import BlobStore
from muskox.store.disk.cache import BlobCache, Maker

WAIT_SECONDS_MAX = 30.0


class Origin:
    """Where blobs come from: data of one length by digest, and how often each was asked for."""

    def __init__(self, count: int, length: int = 100) -> None:
        self.data = {hashlib.sha256(each).hexdigest(): each for each in (bytes([i]) * length for i in range(count))}
        self.digests = list(self.data)
        self.asked: list[str] = []

    def fetch(self, digest: str, into: BlobStore) -> Path:
        self.asked.append(digest)
        if digest not in self.data:
            raise Unavailable(f"no {digest}")
        return into.path(into.put_bytes(self.data[digest]))


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


def test_a_blob_is_fetched_when_it_is_not_here_and_found_when_it_is(store: BlobStore) -> None:
    origin, cache = Origin(2), BlobCache(store, 1000)
    for digest in origin.digests * 3:
        assert cache.fetch(digest, origin.fetch).read_bytes() == origin.data[digest]
    assert origin.asked == origin.digests and cache.bytes == 200


def test_the_longest_unused_go_first(store: BlobStore) -> None:
    origin, cache = Origin(4), BlobCache(store, 300)
    a, b, c, d = origin.digests
    for digest in (a, b, c, a, d):
        cache.fetch(digest, origin.fetch)
    assert store.digests() == sorted([a, c, d]) and cache.bytes == 300
    cache.fetch(b, origin.fetch)
    assert store.digests() == sorted([a, b, d]) and origin.asked == [a, b, c, d, b]


def test_what_was_used_last_is_known_after_a_restart(store: BlobStore) -> None:
    origin = Origin(3)
    a, b, c = origin.digests
    first = BlobCache(store, 300)
    for digest in (a, b, c, a):
        first.fetch(digest, origin.fetch)
    for age, digest in enumerate((a, c, b)):  # in the order of use, far enough apart for any file system's clock
        stat = store.path(digest).stat()
        os.utime(store.path(digest), ns=(stat.st_atime_ns - age * 10**9, stat.st_mtime_ns))
    again = BlobCache(store, 200)
    assert store.digests() == sorted([a, c]) and again.bytes == 200


def test_a_use_does_not_make_a_file_seem_written_to(store: BlobStore) -> None:
    """What is known to have been checked would be read again."""
    origin, cache = Origin(1), BlobCache(store, 300)
    path = cache.fetch(origin.digests[0], origin.fetch)
    os.utime(path, ns=(1, 1))
    cache.fetch(origin.digests[0], origin.fetch)
    assert path.stat().st_mtime_ns == 1 and path.stat().st_atime_ns > 1


def test_a_blob_that_is_held_stays_and_an_open_file_can_be_read_after_it_went(store: BlobStore) -> None:
    origin, cache = Origin(4), BlobCache(store, 100)
    a, b, c, d = origin.digests
    with cache.hold(a, origin.fetch) as path, cache.hold(a, origin.fetch):
        cache.fetch(b, origin.fetch)
        cache.fetch(c, origin.fetch)
        assert path.exists() and not store.has(b)
    assert store.digests() == [c]
    with cache.fetch(a, origin.fetch).open("rb") as file:
        cache.fetch(d, origin.fetch)
        assert not path.exists() and file.read() == origin.data[a]
    assert cache.bytes == 100


def test_a_blob_beyond_the_bound_is_given_and_goes_with_the_next_use(store: BlobStore) -> None:
    origin, cache = Origin(2, length=1000), BlobCache(store, 100)
    for digest in origin.digests:
        assert cache.fetch(digest, origin.fetch).read_bytes() == origin.data[digest]
        assert store.digests() == [digest] and cache.bytes == 1000


def test_a_damaged_or_lost_file_is_fetched_again(store: BlobStore) -> None:
    origin, cache = Origin(1), BlobCache(store, 300)
    digest = origin.digests[0]
    path = cache.fetch(digest, origin.fetch)
    path.write_bytes(b"damaged")
    assert cache.fetch(digest, origin.fetch).read_bytes() == origin.data[digest] and cache.bytes == 100
    path.unlink()
    assert cache.fetch(digest, origin.fetch).read_bytes() == origin.data[digest] and cache.bytes == 100
    assert origin.asked == [digest] * 3


def test_many_who_ask_for_one_blob_fetch_it_once(store: BlobStore) -> None:
    origin, cache = Origin(1), BlobCache(store, 300)
    started, go = threading.Event(), threading.Event()

    def slow(digest: str, into: BlobStore) -> None:
        started.set()
        assert go.wait(WAIT_SECONDS_MAX)
        origin.fetch(digest, into)

    with ThreadPoolExecutor(8) as pool:
        paths = [pool.submit(cache.fetch, origin.digests[0], slow) for _ in range(8)]
        assert started.wait(WAIT_SECONDS_MAX)
        go.set()
        assert {path.result(WAIT_SECONDS_MAX) for path in paths} == {store.path(origin.digests[0])}
    assert origin.asked == origin.digests


def test_a_fetch_that_fails_fails_for_all_who_wait_and_is_tried_again_by_the_next(store: BlobStore) -> None:
    origin, cache = Origin(0), BlobCache(store, 300)
    digest = hashlib.sha256(b"late").hexdigest()
    with pytest.raises(Unavailable):
        cache.fetch(digest, origin.fetch)
    origin.data[digest] = b"late"
    assert cache.fetch(digest, origin.fetch).read_bytes() == b"late"
    with pytest.raises(CallerError):
        cache.fetch("no digest", origin.fetch)


def test_many_threads_and_few_bytes_keep_the_count_right(store: BlobStore) -> None:
    origin, cache = Origin(20), BlobCache(store, 450)

    def read(index: int) -> bool:
        digest = origin.digests[index * 7 % 20]
        with cache.hold(digest, origin.fetch) as path:
            return path.read_bytes() == origin.data[digest]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(400)))
    sizes = [store.size(digest) for digest in store.digests()]
    assert cache.bytes == sum(sizes) <= 450


class Workshop:
    """Makes blobs out of words, and remembers which it was asked for."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.data: dict[str, bytes] = {}

    def maker(self, word: str) -> Maker:
        def make(into: BlobStore) -> str:
            self.made.append(word)
            return into.put_bytes(self.data.get(word, word.encode() * 20))

        return make


def test_what_is_made_here_is_made_once_and_lies_under_its_own_digest(store: BlobStore) -> None:
    workshop, cache = Workshop(), BlobCache(store, 1000)
    for word in ("ox", "cow", "ox"):
        with cache.hold_made(word, workshop.maker(word)) as path:
            assert path.read_bytes() == word.encode() * 20 and path.name == hashlib.sha256(path.read_bytes()).hexdigest()
    assert workshop.made == ["ox", "cow"] and cache.bytes == 100


def test_what_was_made_and_went_is_made_again_and_what_is_held_stays(store: BlobStore) -> None:
    workshop, cache = Workshop(), BlobCache(store, 1)
    with cache.hold_made("ox", workshop.maker("ox")) as ox:
        with cache.hold_made("cow", workshop.maker("cow")):
            assert ox.exists()
    with cache.hold_made("calf", workshop.maker("calf")):
        assert not ox.exists()
    with cache.hold_made("ox", workshop.maker("ox")) as again:
        assert again == ox and again.exists()
    assert workshop.made == ["ox", "cow", "calf", "ox"]


def test_one_key_may_come_to_mean_other_bytes_and_a_failure_is_told(store: BlobStore) -> None:
    workshop, cache = Workshop(), BlobCache(store, 1)
    with cache.hold_made("ox", workshop.maker("ox")):
        pass
    with cache.hold_made("cow", workshop.maker("cow")):
        pass
    workshop.data["ox"] = b"written by another version"
    with cache.hold_made("ox", workshop.maker("ox")) as path:
        assert path.read_bytes() == b"written by another version"

    def fail(_: BlobStore) -> str:
        raise Unavailable("no hay")

    with pytest.raises(Unavailable, match="no hay"), cache.hold_made("calf", fail):
        pass


def test_a_bit_that_flipped_unseen_is_found_when_somebody_says_so(store: BlobStore) -> None:
    """A use checks a file once: what a disk forgets tells nobody."""
    origin, cache = Origin(2), BlobCache(store, 300)
    a, b = origin.digests
    path = cache.fetch(a, origin.fetch)
    cache.fetch(b, origin.fetch)
    stat = path.stat()
    with path.open("r+b") as file:
        file.write(b"!")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    for digest in (a, b, "0" * 64):
        cache.recheck(digest)
    assert store.digests() == [b] and cache.bytes == 100
    assert cache.fetch(a, origin.fetch).read_bytes() == origin.data[a] and cache.bytes == 200


def test_what_a_killed_process_left_half_fetched_is_removed(store: BlobStore) -> None:
    writer = store.writer()
    writer.write(b"half")
    assert len(list(store.folder.rglob("arriving/*"))) == 1
    BlobCache(store, 300)
    assert list(store.folder.rglob("arriving/*")) == []
    writer.__exit__(None, None, None)
