"""What a start makes of damaged files: a torn tail goes, anything else is refused by name and place."""

import os
from pathlib import Path
from typing import Any
from zlib import adler32

import pytest
from folders import Folder
from world import World, replayed

from muskox.errors import CallerError, Corrupt
from muskox.keeper.disk.entries import END_MARK, ENTRY_BYTES_MAX, ENTRY_HEAD, FILE_HEAD_BYTES, SYNCED_UP_TO, file_head
from muskox.keeper.disk.log import TransactionLog
from muskox.keeper.disk.names import LOG, SNAPSHOT, list_files, log_path, snapshot_path
from muskox.keeper.disk.purge import purge
from muskox.keeper.disk.recovery import Recovered, recover
from muskox.keeper.disk.snapshot import write_snapshot

SYNC_AFTER = 3  # transactions a sync, in these tests


class Disk:
    """A folder with the log of a world in it, written `SYNC_AFTER` transactions at a time."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.folder = data_dir / "version-2"
        recover(data_dir)
        self.world = World()
        self.log = TransactionLog(self.folder, preallocated_bytes=1 << 14)
        self.written = 0
        self.world.open(1)

    def live(self, count: int) -> "Disk":
        for index in range(count):
            self.world.create(1, f"/n{self.written + index}", b"\0" * 20)
        self.write()
        return self

    def write(self) -> None:
        entries = self.world.entries[self.written :]
        for at in range(0, len(entries), SYNC_AFTER):
            self.log.append(self.written + at + 1, entries[at : at + SYNC_AFTER])
        self.written = len(self.world.entries)

    def recover(self) -> Recovered:
        """Return what a start finds after a kill: the log is closed as it is."""
        if self.log.file is not None:
            os.close(self.log.file)
            self.log.file = None
        return recover(self.data_dir)


def image_after(count: int, world: World) -> Any:
    """Return the image after the first `count` transactions of a world's log."""
    return replayed(world.log()[:count]).image()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def last_log(disk: Disk) -> Path:
    return list_files(disk.folder, LOG)[-1].path


def offsets(data: bytes) -> list[int]:
    """Return where each entry starts, and where the last ends."""
    found = [FILE_HEAD_BYTES]
    while (size := ENTRY_HEAD.unpack_from(data, found[-1])[1]) > 0:
        found.append(found[-1] + ENTRY_HEAD.size + size + 1)
    return found


def test_a_new_folder_becomes_that_of_a_new_server(tmp_path: Path) -> None:
    recovered = recover(tmp_path / "new")
    assert recovered.database.zxid == 0
    assert recovered.notes == []
    assert snapshot_path(tmp_path / "new" / "version-2", 0).exists()


def test_what_was_written_comes_back(disk: Disk) -> None:
    recovered = disk.live(10).recover()
    assert recovered.database.image() == disk.world.machine.image()
    assert recovered.transactions == 11
    assert recovered.notes == []


def test_a_tail_torn_at_any_byte_loses_only_what_is_torn(disk: Disk) -> None:
    disk.live(5)
    path = last_log(disk)
    whole = path.read_bytes()
    starts = offsets(whole)
    for cut in range(starts[-3], starts[-1]):
        path.write_bytes(whole[:cut])
        recovered = disk.recover()
        kept = sum(end <= cut for end in starts[1:])
        assert recovered.database.image() == image_after(kept, disk.world), cut
        assert whole[: starts[kept]].startswith(path.read_bytes().rstrip(b"\0"))
        assert disk.recover().notes == []  # what was cut off once is not found again


def test_a_write_whose_first_page_never_came_is_torn_too(disk: Disk) -> None:
    disk.live(8)  # nine transactions: three syncs of three
    path = last_log(disk)
    data = bytearray(path.read_bytes())
    starts = offsets(bytes(data))
    data[starts[6] : starts[7]] = bytes(starts[7] - starts[6])  # the last write's first entry; its others are whole
    path.write_bytes(data)
    recovered = disk.recover()
    assert recovered.database.image() == image_after(6, disk.world)
    assert len(recovered.notes) == 1


@pytest.mark.parametrize("entry", [0, 2, 5])
def test_a_flipped_bit_in_what_was_acknowledged_is_refused_by_file_place_and_zxid(disk: Disk, entry: int) -> None:
    disk.live(8)
    path = last_log(disk)
    whole = path.read_bytes()
    starts = offsets(whole)
    for at in range(starts[entry], starts[entry + 1]):
        data = bytearray(whole)
        data[at] ^= 0x10
        path.write_bytes(data)
        after = "its start" if entry == 0 else f"zxid {entry:#x}"
        with pytest.raises(Corrupt, match=f"{path.name} is damaged at byte {starts[entry]}, after {after}: zxid 0x9 at byte"):
            disk.recover()
    assert len(path.read_bytes()) == len(whole)  # a refusal changes nothing


def test_an_entry_of_apaches_that_is_damaged_in_the_middle_is_refused(disk: Disk) -> None:
    # Apache's entries do not say what was on disk, so a whole one behind a damaged one is taken for acknowledged.
    entries = disk.live(5).world.entries
    path = last_log(disk)
    bodies = [ENTRY_HEAD.pack(adler32(body), len(body)) + body + END_MARK for body in entries]
    path.write_bytes(file_head() + b"".join(bodies))
    assert disk.recover().database.image() == disk.world.machine.image()
    bodies[2] = bytes(len(bodies[2]))
    path.write_bytes(file_head() + b"".join(bodies))
    with pytest.raises(Corrupt, match="after zxid 0x2"):
        disk.recover()


def test_a_missing_log_is_refused(disk: Disk) -> None:
    disk.live(3)
    disk.log.roll()
    disk.live(3)
    disk.log.roll()
    disk.live(3)
    list_files(disk.folder, LOG)[1].path.unlink()
    with pytest.raises(Corrupt, match="transactions are missing"):
        disk.recover()


def test_logs_without_a_snapshot_of_what_was_before_are_refused(disk: Disk) -> None:
    disk.live(3)
    disk.log.roll()
    disk.live(3)
    for file in (*list_files(disk.folder, SNAPSHOT), list_files(disk.folder, LOG)[0]):
        file.path.unlink()
    with pytest.raises(Corrupt, match="no snapshot"):
        disk.recover()


def test_a_damaged_snapshot_is_passed_over_for_an_older_one(disk: Disk) -> None:
    disk.live(4)
    newest = write_snapshot(disk.folder, disk.world.machine.image())
    disk.live(2)
    data = bytearray(newest.read_bytes())
    for at in (5, len(data) // 2, len(data) - 40):
        data[at] ^= 1
        newest.write_bytes(data)
        recovered = disk.recover()
        assert recovered.database.image() == disk.world.machine.image()
        assert newest.name in recovered.notes[0]
    for file in list_files(disk.folder, SNAPSHOT):
        file.path.write_bytes(b"ZKSN")
    with pytest.raises(Corrupt, match="none of the 2 snapshots"):
        disk.recover()


def test_a_log_that_was_only_just_begun_is_no_damage(disk: Disk) -> None:
    disk.live(3)
    path = log_path(disk.folder, disk.written + 1)
    for content in (b"", b"ZK", bytes(4096)):
        path.write_bytes(content)
        assert disk.recover().database.image() == disk.world.machine.image()
        assert not path.exists()


def test_a_snapshot_makes_earlier_transactions_unneeded(disk: Disk) -> None:
    disk.live(4)
    write_snapshot(disk.folder, disk.world.machine.image())
    disk.log.roll()
    disk.live(2)
    recovered = disk.recover()
    assert recovered.transactions == 2
    assert recovered.database.image() == disk.world.machine.image()


def test_purge_keeps_three_snapshots_and_the_logs_that_the_oldest_needs(disk: Disk) -> None:
    for _ in range(5):
        disk.live(3)
        write_snapshot(disk.folder, disk.world.machine.image())
        disk.log.roll()
    disk.live(1)
    gone = purge(disk.folder, disk.folder)
    assert len(list_files(disk.folder, SNAPSHOT)) == 3
    assert gone
    newest = list_files(disk.folder, SNAPSHOT)[-2:]
    for file in newest:
        file.path.write_bytes(b"")
    assert disk.recover().database.image() == disk.world.machine.image()


def test_each_entry_says_up_to_where_the_file_was_on_disk(disk: Disk) -> None:
    disk.live(5)
    data = last_log(disk).read_bytes()
    starts = offsets(data)
    told = [SYNCED_UP_TO.unpack_from(data, end - 1 - SYNCED_UP_TO.size)[0] for end in starts[1:]]
    assert told == [starts[0]] * 3 + [starts[3]] * 3


@pytest.mark.parametrize("how", ["marked", "stopped"])
def test_damage_in_the_last_sync_is_refused_if_anything_says_that_it_was_one(disk: Disk, how: str) -> None:
    disk.live(8)
    if how == "marked":
        disk.log.mark()
    else:
        disk.log.roll()
    path = last_log(disk)
    whole = path.read_bytes()
    starts = offsets(whole + bytes(ENTRY_HEAD.size))
    for at in range(starts[-2], starts[-1]):
        data = bytearray(whole)
        data[at] ^= 0x10
        path.write_bytes(data)
        with pytest.raises(Corrupt, match=f"{path.name} is damaged at byte {starts[-2]}, after zxid 0x8"):
            disk.recover()
    path.write_bytes(whole)
    recovered = disk.recover()
    assert recovered.database.zxid == 9
    assert recovered.notes == []


def test_a_mark_that_is_damaged_loses_nothing(disk: Disk) -> None:
    disk.live(3)
    disk.log.mark()
    path = last_log(disk)
    whole = path.read_bytes()
    for at in range(offsets(whole)[-1], len(whole.rstrip(b"\0"))):
        data = bytearray(whole)
        data[at] ^= 0x10
        path.write_bytes(data)
        assert disk.recover().database.zxid == 4


def test_ending_before_the_last_snapshot_is_refused_even_if_that_is_damaged(disk: Disk) -> None:
    disk.live(3)
    newest = write_snapshot(disk.folder, disk.world.machine.image())
    newest.write_bytes(newest.read_bytes()[:-1])
    assert disk.recover().database.zxid == 4  # the log has it all
    last_log(disk).unlink()
    with pytest.raises(Corrupt, match=f"{newest.name} is not whole, and what is left ends with zxid 0x0"):
        disk.recover()


def test_a_log_without_snapshots_gets_one_since_apache_wants_it(disk: Disk) -> None:
    disk.live(3)
    for file in list_files(disk.folder, SNAPSHOT):
        file.path.unlink()
    assert disk.recover().database.zxid == 4
    assert [file.zxid for file in list_files(disk.folder, SNAPSHOT)] == [4]


def test_logs_may_lie_elsewhere_but_not_half_of_them(tmp_path: Path) -> None:
    data_dir, log_dir = tmp_path / "data", tmp_path / "log"
    recover(data_dir, log_dir)
    world = World()
    world.open(1)
    log = TransactionLog(log_dir / "version-2")
    log.append(1, world.entries)
    log.roll()
    assert recover(data_dir, log_dir).database.zxid == 1
    with pytest.raises(CallerError, match="has snapshots, but is the log folder"):
        recover(tmp_path / "new", data_dir)
    with pytest.raises(CallerError, match="has logs, but the log folder is"):
        recover(log_dir, tmp_path / "other")
    (tmp_path / "link").symlink_to(data_dir)
    assert recover(data_dir, tmp_path / "link").database.zxid == 0  # one folder by two names


def test_without_syncs_nothing_is_taken_for_acknowledged(tmp_path: Path) -> None:
    recover(tmp_path)
    world = World()
    world.open(1)
    for index in range(5):
        world.create(1, f"/n{index}")
    log = TransactionLog(tmp_path / "version-2", force_sync=False)
    for zxid, entry in enumerate(world.entries, 1):
        log.append(zxid, [entry])
    path = log_path(tmp_path / "version-2", 1)
    data = bytearray(path.read_bytes())
    data[offsets(bytes(data))[2] + 20] ^= 1
    path.write_bytes(data)
    recovered = recover(tmp_path)
    assert recovered.database.zxid == 2
    assert "torn" in recovered.notes[0]


def test_without_preallocation_a_log_is_written_all_the_same(disk: Disk) -> None:
    disk.log = TransactionLog(disk.folder, preallocated_bytes=0)
    disk.live(8)
    assert disk.recover().database.zxid == 9


def test_an_entry_too_long_to_be_read_again_is_refused(disk: Disk) -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return ENTRY_BYTES_MAX + 1

    with pytest.raises(OSError, match="a transaction of"):
        disk.log.append(1, [Long()])
    assert disk.live(1).recover().database.zxid == 2


def test_a_snapshot_that_is_ahead_of_itself_is_no_mismatch_once_the_log_agrees(tmp_path: Path) -> None:
    """Apache goes on while it writes one: what a later transaction changed may be in it already."""
    folder = Folder(tmp_path)
    at, ahead = folder.images[9], folder.images[10]
    for path in folder.snapshots[1:]:
        path.unlink()
    write_snapshot(folder.folder, ahead._replace(zxid=9, digest=at.digest))
    recovered = recover(tmp_path)
    assert recovered.database.image() == folder.images[12]
    assert not any("digest" in note for note in recovered.notes)


def test_a_mismatch_that_nothing_explains_is_told(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for path in folder.snapshots[1:]:
        path.unlink()
    write_snapshot(folder.folder, folder.images[12]._replace(digest=folder.images[9].digest))
    assert any("the tree's digest differs from the one in snapshot.c" in note for note in recover(tmp_path).notes)
