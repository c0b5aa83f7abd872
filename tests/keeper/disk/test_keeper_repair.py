"""Going back by hand: to any transaction that can be reached, with nothing deleted and nothing half done."""

from pathlib import Path

import pytest
from folders import Folder

from muskox.errors import CallerError, Corrupt, Unavailable
from muskox.keeper.disk.lock import lock_folder
from muskox.keeper.disk.recovery import recover
from muskox.keeper.disk.repair import repair


@pytest.mark.parametrize("apart", [False, True], ids=["one folder", "logs elsewhere"])
@pytest.mark.parametrize("zxid", range(1, 13))
def test_each_transaction_can_be_gone_back_to_and_all_that_goes_is_kept(tmp_path: Path, zxid: int, apart: bool) -> None:
    log_dir = tmp_path / "log" if apart else None
    folder = Folder(tmp_path / "data", log_dir)
    before = {path.name: path.read_bytes() for path in (*folder.snapshots, *folder.logs)}
    report = repair(folder.data_dir, zxid, log_dir)
    assert report.zxid == zxid
    recovered = recover(folder.data_dir, log_dir)
    assert recovered.database.image() == folder.images[zxid]
    assert recovered.notes == []
    removed = {path.name: path.read_bytes() for path in tmp_path.rglob("removed-*/*")}
    kept = {path.name: path.read_bytes() for path in (*folder.snapshots, *folder.logs)}
    assert {**kept, **removed} == before
    assert (report.removed_to is None) == (zxid == 12)
    assert {path.name for path in report.moved} | {path.name for path, _ in report.cut} == set(removed)


def test_a_damaged_log_is_cut_where_the_damage_begins(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    data = bytearray(folder.logs[-1].read_bytes())
    data[len(data) // 2] ^= 1
    folder.logs[-1].write_bytes(data)
    with pytest.raises(Corrupt):
        recover(tmp_path)
    with pytest.raises(CallerError, match=r"zxid 0xc cannot be reached: .* lead to 0xa"):
        repair(tmp_path, 12)
    assert not list(tmp_path.glob("removed-*"))
    repair(tmp_path, 10)
    assert recover(tmp_path).database.image() == folder.images[10]
    assert next(tmp_path.glob("removed-*/log.a")).read_bytes() == data


def test_a_log_damaged_before_a_snapshot_is_not_needed_to_go_back_to_the_snapshot(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.snapshots[-1].unlink()
    for path in folder.logs[1:]:
        data = bytearray(path.read_bytes())
        data[20] ^= 1
        path.write_bytes(data)
    repair(tmp_path, 5)
    assert recover(tmp_path).database.image() == folder.images[5]


def test_what_cannot_be_reached_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    before = {path: path.read_bytes() for path in folder.folder.iterdir()}
    with pytest.raises(CallerError, match="lead to 0xc"):
        repair(tmp_path, 13)
    folder.snapshots[0].unlink()
    with pytest.raises(CallerError, match="no whole snapshot at or before zxid 0x3"):
        repair(tmp_path, 3)
    assert {path: path.read_bytes() for path in folder.folder.iterdir()} == {
        path: data for path, data in before.items() if path.name != "snapshot.0"
    }


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    Folder(tmp_path)
    lock_folder(tmp_path)
    with pytest.raises(Unavailable, match="in use by the keeper"):
        repair(tmp_path, 5)
