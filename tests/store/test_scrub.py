"""A node reads its disk again and again: damage is put aside and told of, and the round goes on where it was."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store_cluster import StoreCluster

from muskox.coordination import Config, layout, stored
from muskox.store import BlobStore
from muskox.store.scrub import Scrubber

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
    from muskox.store.blobs import ASIDE_MAX

    for number in range(ASIDE_MAX + 5):
        blobs.put_aside(blobs.put_bytes(f"blob {number}".encode()))
    assert len(list((blobs.folder / "damaged").iterdir())) == ASIDE_MAX
    assert blobs.digests() == []
