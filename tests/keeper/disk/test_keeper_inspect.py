"""What `check` tells of whole, torn and damaged folders: enough to decide."""

from pathlib import Path

import pytest
from folders import Folder

from muskox.errors import CallerError
from muskox.keeper.disk.inspect import APACHE_ENTRY_BYTES_MAX, FileKind, State, check
from muskox.keeper.disk.lock import lock_folder
from muskox.keeper.disk.names import LOG, SNAPSHOT, list_files


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Snapshots at 0, 5 and 9; logs from 1, 6 and 10, the last up to 12."""
    return Folder(tmp_path)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def test_a_whole_folder_is_told_file_by_file(folder: Folder) -> None:
    report = check(folder.data_dir)
    assert [(each.kind, each.zxid_first, each.zxid_last, each.count) for each in report.files] == [
        (FileKind.SNAPSHOT, None, 0, 4),
        (FileKind.SNAPSHOT, None, 5, 8),
        (FileKind.SNAPSHOT, None, 9, 12),
        (FileKind.LOG, 1, 5, 5),
        (FileKind.LOG, 6, 9, 4),
        (FileKind.LOG, 10, 12, 3),
    ]
    assert all(each.state is State.WHOLE for each in report.files)
    assert (report.zxid, report.znodes, report.sessions, report.ephemerals) == (12, 15, 1, 0)
    assert report.is_whole and report.starts and report.digest == "agrees"
    assert report.holder is None
    assert report.advice == "nothing is to be done"


def test_it_says_who_has_the_folder_and_changes_nothing(folder: Folder) -> None:
    lock_folder(folder.data_dir)
    before = {path: path.read_bytes() for path in folder.folder.iterdir()}
    assert check(folder.data_dir).holder
    assert {path: path.read_bytes() for path in folder.folder.iterdir()} == before


def test_a_torn_tail_is_a_note_and_no_problem(folder: Folder) -> None:
    path = folder.logs[-1]
    path.write_bytes(path.read_bytes()[:-3])
    report = check(folder.data_dir)
    assert report.files[-1].state is State.TORN
    assert report.is_whole and report.zxid == 11
    assert "ends, at byte" in report.notes[0]


def test_damage_in_the_last_log_names_file_byte_and_zxid_and_where_to_go_back_to(folder: Folder) -> None:
    flip(folder.logs[-1], 20)
    report = check(folder.data_dir)
    assert not report.starts and report.zxid is None
    assert "log.a is damaged at byte 16, after its start: zxid 0xc" in report.problems[0]
    assert len(report.problems) == 1
    assert report.truncate_at == 9
    assert "--truncate-at 0x9" in report.advice


def test_damage_that_a_start_does_not_need_is_a_problem_all_the_same(folder: Folder) -> None:
    flip(folder.logs[0], 20)
    flip(folder.snapshots[1], 200)
    report = check(folder.data_dir)
    assert report.starts and report.zxid == 12
    assert len(report.problems) == 2
    assert all("a start does not need it" in problem for problem in report.problems)
    assert "loses nothing" in report.advice


def test_a_damaged_last_snapshot_is_made_up_for_by_the_one_before_and_the_logs(folder: Folder) -> None:
    flip(folder.snapshots[-1], 200)
    report = check(folder.data_dir)
    assert report.starts and report.zxid == 12
    folder.logs[1].unlink()
    report = check(folder.data_dir)
    assert not report.starts
    assert any("transactions are missing: log.a goes on with zxid 0xa after 0x5" in problem for problem in report.problems)
    assert report.truncate_at == 5


def test_without_any_whole_snapshot_there_is_no_way_back(folder: Folder) -> None:
    for path in folder.snapshots:
        path.write_bytes(b"ZKSN")
    report = check(folder.data_dir)
    assert report.truncate_at is None
    assert "no snapshot can be read" in report.advice


def test_a_snapshot_whose_digest_is_not_its_trees_is_told(folder: Folder) -> None:
    for file in (*list_files(folder.folder, SNAPSHOT)[:-1], *list_files(folder.folder, LOG)):
        file.path.unlink()
    folder.write_snapshot(digest=77)
    assert check(folder.data_dir).digest == "differs"


def test_a_transaction_that_apache_would_refuse_to_read_is_noted(folder: Folder) -> None:
    folder.world.create(1, "/long", b"x" * APACHE_ENTRY_BYTES_MAX)
    folder.log.append(13, [folder.world.entries[-1]])
    folder.log.roll()
    report = check(folder.data_dir)
    assert report.is_whole
    assert "log.d has a transaction of" in report.notes[0] and "-Djute.maxbuffer=" in report.notes[0]


def test_what_is_no_folder_of_a_keeper_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="name the one that has version-2 in it"):
        check(tmp_path)
