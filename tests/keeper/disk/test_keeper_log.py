"""The log under power cuts, kills and flipped bits: thousands of histories on a disk that tears and reorders.

A history is its seed: `Story(folder, seed)` is played the same again.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from torn_disk import PowerCutError, TornDisk
from world import World

from muskox.errors import Corrupt
from muskox.keeper.disk.log import TransactionLog
from muskox.keeper.disk.recovery import Recovered, recover
from muskox.keeper.disk.snapshot import write_snapshot
from muskox.keeper.machine.database import Database
from muskox.keeper.machine.tree import new_tree
from muskox.keeper.wire.transactions import Entry, decode_entry

HISTORIES = 400  # of three lives each
FLIPS = 750
CALLS_MAX = 60
PREALLOCATED = 3_000  # several steps in a history


def make_entries() -> list[bytes]:
    world = World()
    world.open(1)
    rng = Random(7)
    for index in range(400):
        size = rng.choice((0, 5, 60, 1_500))
        if index % 3 == 2:
            world.set(1, f"/n{index - 2}", rng.randbytes(size))
        elif index % 11 == 10:
            world.delete(1, f"/n{index - 10}")
        else:
            world.create(1, f"/n{index}", b"\0" * size)
    return world.entries


ENTRIES = make_entries()
DECODED: list[Entry] = [decode_entry(entry) for entry in ENTRIES]


class Story:
    """Servers that live one after the other on one folder; what was acknowledged is noted."""

    def __init__(self, data_dir: Path, seed: int) -> None:
        self.rng = Random(seed)
        self.data_dir = data_dir
        self.folder = data_dir / "version-2"
        for path in self.folder.glob("*"):
            path.unlink()
        self.recovered = recover(data_dir)
        self.acknowledged = self.acknowledged_before = self.ordered = 0

    def live(self, calls_max: int) -> TornDisk:
        """Serve until the power is cut or the stream of transactions ends."""
        disk = TornDisk(self.rng, self.folder, self.rng.randrange(1, calls_max))
        log = TransactionLog(self.folder, PREALLOCATED, disk=disk)
        database = self.recovered.database
        try:
            while self.ordered < len(ENTRIES):
                count = self.rng.choice((1, 1, 2, 5))
                first = self.ordered
                self.ordered = min(first + count, len(ENTRIES))
                log.append(first + 1, ENTRIES[first : self.ordered])
                self.acknowledged_before, self.acknowledged = self.acknowledged, self.ordered
                for entry in DECODED[first : self.ordered]:
                    database.replay(entry)
                if self.rng.random() < 0.5:
                    log.mark()
                if self.rng.random() < 0.1:
                    log.roll()
                    newest = write_snapshot(self.folder, database.image(), disk)
                    for path in [each for each in disk.names if each.name.startswith("snapshot") and each != newest]:
                        disk.remove(path)  # so that all hangs on the one that is said to be on disk
        except PowerCutError:
            pass
        return disk

    def recover(self) -> Recovered:
        """Start again; what is found is one of the states that were, and no acknowledged one is missing."""
        self.recovered = recover(self.data_dir)
        zxid = self.recovered.database.zxid
        assert self.acknowledged <= zxid <= self.ordered
        check_state(self.recovered)
        self.ordered = self.acknowledged = self.acknowledged_before = zxid
        return self.recovered


def check_state(recovered: Recovered) -> None:
    """Assert that the database is just what its transactions make: none is there by half."""
    database = recovered.database
    expected = DECODED[database.zxid - 1].digest if database.zxid else None
    wanted = Database(new_tree(), {}, 0).digest if expected is None else expected.tree_digest
    assert database.digest == wanted
    assert not any("digest" in note for note in recovered.notes)


@pytest.fixture(scope="module")
def fast_folder() -> Iterator[Path]:
    """A folder whose syncs cost nothing, where there is one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def test_a_power_cut_at_any_call_loses_nothing_acknowledged_and_leaves_nothing_by_half(fast_folder: Path) -> None:
    for seed in range(HISTORIES):
        story = Story(fast_folder, seed)
        for _ in range(3):
            try:
                story.live(CALLS_MAX).cut_power(story.folder)
                story.recover()
            except (AssertionError, Corrupt) as error:
                raise AssertionError(f"seed {seed}") from error


@pytest.mark.parametrize("end", ["kill", "stop", "power cut"])
def test_a_flipped_bit_is_refused_or_mended_never_used(fast_folder: Path, end: str) -> None:
    outcomes = {"refused": 0, "mended": 0, "cut": 0}
    for seed in range(FLIPS // 3):
        story = Story(fast_folder, seed)
        disk = story.live(CALLS_MAX)
        if end == "power cut":
            disk.cut_power(story.folder)
        else:
            disk.leave(story.folder)
        if end == "stop":
            story.recover()  # which closes the log in good order, as a stop does
        where = flip(story)
        try:
            recovered = recover(story.data_dir)
        except Corrupt as error:
            assert "snapshot" in str(error) or "log" in str(error)
            outcomes["refused"] += 1
            continue
        check_state(recovered)
        zxid = recovered.database.zxid
        if zxid >= story.acknowledged:
            outcomes["mended"] += 1
            continue
        # The one place where damage cannot be told from a tear: the last sync, if nothing that was kept says that it was one.
        outcomes["cut"] += 1
        assert end != "stop", (seed, where)
        assert zxid >= story.acknowledged_before, (seed, where)
    assert outcomes["refused"] > FLIPS // 30
    assert outcomes["mended"] > FLIPS // 30


def flip(story: Story) -> str:
    path = story.rng.choice(sorted(story.folder.iterdir()))
    data = bytearray(path.read_bytes())
    used = len(data.rstrip(b"\0"))
    if not used:
        return "nowhere"
    at = story.rng.randrange(used)
    data[at] ^= 1 << story.rng.randrange(8)
    path.write_bytes(data)
    return f"{path.name} byte {at} of {len(data)}"
