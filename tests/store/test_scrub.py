"""A node reads its disk again and again: damage is put aside and told of, and the round goes on where it was."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from store_cluster import StoreCluster

from muskox.coordination import Config, layout, stored
from muskox.store import BlobStore
from muskox.store.disk.scrub import FOLDERS, Round, Scrubber, is_news

FAST = {"scrub_days": 0.00001, "scrub_mb_per_s": 10_000.0}
SLOW = {"scrub_days": 365.0}
BOUND_S = 20.0


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def damage(blobs: BlobStore, digest: str) -> None:
    data = bytearray(blobs.path(digest).read_bytes())
    data[len(data) // 2] ^= 4
    blobs.path(digest).write_bytes(data)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "node")


@pytest.fixture
def scrubber(cluster: StoreCluster, blobs: BlobStore) -> Iterator[Callable[[dict], Scrubber]]:
    begun: list[Scrubber] = []

    def begin(values: dict) -> Scrubber:
        begun.append(Scrubber(cluster.session, blobs, "ann", "f", lambda: Config(layout.ConfigRecord(values=values))))
        begun[-1].start()
        return begun[-1]

    yield begin
    for each in begun:
        each.stop()
        each.join(BOUND_S)


def disk(cluster: StoreCluster) -> stored.DiskRecord | None:
    found = cluster.session.find(layout.disk("ann"), stored.DiskRecord)
    return None if found is None else found[0]


def test_damage_is_found_by_itself_put_aside_and_told_of(
    cluster: StoreCluster, blobs: BlobStore, scrubber: Callable[[dict], Scrubber]
) -> None:
    digests = [blobs.put_bytes(f"blob {number}".encode() * 100) for number in range(8)]
    damage(blobs, digests[5])
    scrubber(FAST)
    until(lambda: not blobs.has(digests[5]), "the damaged blob is put aside")
    assert (blobs.folder / "damaged" / digests[5]).exists()
    assert sorted(blobs.digests()) == sorted(set(digests) - {digests[5]}), "nothing else is touched"
    until(lambda: (told := disk(cluster)) is not None and told.bad >= 1, "the coordinator can see it")


def test_a_doubt_is_looked_into_at_once(cluster: StoreCluster, blobs: BlobStore, scrubber: Callable[[dict], Scrubber]) -> None:
    digests = [blobs.put_bytes(f"blob {number}".encode() * 100) for number in range(3)]
    running = scrubber(SLOW)
    until(lambda: disk(cluster) is not None, "the disk is told of at the start")
    assert (told := disk(cluster)) is not None and (told.blobs, told.bad, told.folder_id) == (3, 0, "f")
    for digest in digests:
        damage(blobs, digest)
        running.doubt(digest)
    until(lambda: blobs.digests() == [], "all three are put aside")
    running.doubt("0" * 64)
    until(lambda: (told := disk(cluster)) is not None and told.bad == 4, "one that is gone counts, too")


def test_a_round_goes_on_where_the_last_process_was(
    blobs: BlobStore, scrubber: Callable[[dict], Scrubber], monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = sorted(blobs.put_bytes(f"blob {number}".encode()) for number in range(6))
    (blobs.folder / "scrubbed").write_text(digests[3])
    looked: list[str] = []
    monkeypatch.setattr(blobs, "check", looked.append)
    scrubber(FAST)
    until(lambda: len(looked) >= 8, "a round and the beginning of the next")
    assert looked[:8] == [*digests[4:], *digests]


def test_what_is_put_aside_is_bounded(blobs: BlobStore) -> None:
    from muskox.store.disk.blobs import ASIDE_MAX

    for number in range(ASIDE_MAX + 5):
        blobs.put_aside(blobs.put_bytes(f"blob {number}".encode()))
    assert len(list((blobs.folder / "damaged").iterdir())) == ASIDE_MAX
    assert blobs.digests() == []


def make_unreadable(blobs: BlobStore, digest: str) -> None:
    """Lay a blob there whose file opens, and whose first read is a real EIO: address 0 of this process is not mapped."""
    blobs.path(digest).parent.mkdir(exist_ok=True)
    blobs.path(digest).symlink_to("/proc/self/mem")


def test_what_the_disk_cannot_read_is_put_aside_and_the_round_goes_on(
    cluster: StoreCluster, blobs: BlobStore, scrubber: Callable[[dict], Scrubber], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muskox.store.disk.scrub.REPORT_S", 0.1)
    digests = sorted(blobs.put_bytes(f"blob {number}".encode()) for number in range(5))
    make_unreadable(blobs, "00" + "0" * 62)  # before all others
    make_unreadable(blobs, digests[2][:60] + "beef")  # and among them
    scrubber(FAST)
    until(lambda: (told := disk(cluster)) is not None and told.scrubbed_ms > 0 and told.bad == 2, "the round ends, and says so")
    assert blobs.digests() == digests
    assert len(list((blobs.folder / "damaged").iterdir())) == 2


def test_a_doubt_about_what_cannot_be_read_does_not_end_the_scrub(
    cluster: StoreCluster, blobs: BlobStore, scrubber: Callable[[dict], Scrubber]
) -> None:
    running = scrubber(SLOW)
    until(lambda: disk(cluster) is not None, "the disk is told of at the start")
    for digest in ("1" * 64, "2" * 64):
        make_unreadable(blobs, digest)
        running.doubt(digest)
        until(lambda digest=digest: not blobs.has(digest), "it is put aside")
    assert running.is_alive()


def test_damage_that_cannot_be_moved_stops_neither_the_round_nor_the_thread(
    cluster: StoreCluster, blobs: BlobStore, scrubber: Callable[[dict], Scrubber], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muskox.store.disk.scrub.REPORT_S", 0.1)
    digests = sorted(blobs.put_bytes(f"blob {number}".encode() * 10) for number in range(4))
    damage(blobs, digests[1])
    (blobs.folder / "damaged").write_text("a file in the way")
    running = scrubber(FAST)
    until(lambda: (told := disk(cluster)) is not None and told.scrubbed_ms > 0, "the round ends")
    running.doubt(digests[1])
    until(lambda: (told := disk(cluster)) is not None and told.bad >= 2, "and a doubt is heeded")
    assert running.is_alive() and blobs.has(digests[1])


def test_an_error_at_one_blob_does_not_hold_the_round_there(
    blobs: BlobStore, scrubber: Callable[[dict], Scrubber], monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = sorted(blobs.put_bytes(f"blob {number}".encode()) for number in range(4))
    looked: list[str] = []

    def check(digest: str) -> None:
        looked.append(digest)
        if digest == digests[1]:
            raise RuntimeError("what nobody has thought of")

    monkeypatch.setattr("muskox.store.disk.scrub.REPORT_S", 0.01)
    monkeypatch.setattr(blobs, "check", check)
    scrubber(FAST)
    until(lambda: len(looked) >= 4, "the rest of the round")
    assert looked[:4] == digests


def test_a_round_lists_each_folder_once_and_skips_what_is_deleted_meanwhile(blobs: BlobStore) -> None:
    digests = sorted(blobs.put_bytes(f"blob {number}".encode()) for number in range(40))
    listed: list[str] = []

    class Watched(BlobStore):
        def digests(self, folder: str = "??") -> list[str]:
            listed.append(folder)
            return super().digests(folder)

    scan = Round(Watched(blobs.folder), "", 0.0)
    found = [scan.next()]
    assert scan.count == 40 and listed[:256] == FOLDERS, "counted once, folder by folder"
    blobs.delete(digests[7])
    while (digest := scan.next()) is not None:
        found.append(digest)
    assert found == digests[:7] + digests[8:]
    assert listed[256:] == FOLDERS, "and read folder by folder"


def test_what_comes_and_goes_is_told_soon_and_nothing_else_wakes_the_coordinator(
    cluster: StoreCluster, blobs: BlobStore, scrubber: Callable[[dict], Scrubber], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muskox.store.disk.scrub.NEWS_S", 0.1)
    scrubber(SLOW)
    until(lambda: disk(cluster) is not None, "the disk is told of at the start")
    digest = blobs.put_bytes(b"a blob that came")
    until(lambda: (told := disk(cluster)) is not None and told.bytes_held == 16, "what came")
    blobs.delete(digest)
    until(lambda: (told := disk(cluster)) is not None and told.blobs == 0, "what went")


def test_only_news_are_written() -> None:
    told = stored.DiskRecord(bytes_free=10_000, bytes_held=5, blobs=1)
    assert is_news(told, None, 100_000)
    for change, expected in (({"bytes_free": 9_500}, False), ({"bytes_free": 8_000}, True), ({"bytes_held": 6}, True)):
        assert is_news(msgspec.structs.replace(told, **change), told, 100_000) is expected
