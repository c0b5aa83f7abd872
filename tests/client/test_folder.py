"""The folder of a local cluster: where things lie, and that a process lives as long as its lock is held."""

import os
from pathlib import Path

import pytest

from muskox.client import LocalFolder, default_folder
from muskox.client.folder import LocalCluster, live_pid
from muskox.errors import CallerError, Unavailable
from muskox.runtime import KeeperCommand, try_lock

CLUSTER = LocalCluster(url="zk://127.0.0.1:1/muskox", nodes=["node-1"], has_keeper=True, session_timeout_s=2.0)


def test_a_kept_cluster_is_found_again(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    assert folder.find() is None
    folder.keep(CLUSTER)
    assert LocalFolder(tmp_path).get() == CLUSTER


def test_an_empty_folder_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=r"there is no cluster in .*: start one with `muskox up`, or name one with --zk"):
        LocalFolder(tmp_path).get()


def test_a_cluster_of_which_nothing_lives_says_how_to_start_it_again(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    folder.keep(LocalCluster(url="zk://127.0.0.1:2181/muskox", nodes=["node-1"], has_keeper=True, session_timeout_s=2.0))
    with pytest.raises(Unavailable, match="is down: `muskox up` starts it again"):
        folder.get_living()


def test_a_folder_is_absolute_wherever_we_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert LocalFolder(Path("a")).path == tmp_path / "a"
    assert LocalFolder(Path("~/a")).path == tmp_path / "a"
    monkeypatch.setenv("MUSKOX_DIR", "~/b")
    assert default_folder() == tmp_path / "b"
    monkeypatch.setenv("MUSKOX_DIR", "")
    assert default_folder() == tmp_path / ".muskox"


def test_a_process_lives_as_long_as_its_lock_is_held(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert live_pid(lock) is None
    with try_lock(lock) as is_ours:
        assert is_ours
        lock.write_text(f"{os.getpid()}\n")
        assert live_pid(lock) == os.getpid()
        with try_lock(lock) as again:
            assert not again
    assert live_pid(lock) is None


def test_a_lock_without_a_pid_tells_none(tmp_path: Path) -> None:
    with try_lock(tmp_path / "lock"):
        assert live_pid(tmp_path / "lock") is None


def test_pids_are_those_of_nodes_and_keeper(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    assert folder.keeper_pid() is None and folder.node_pid("node-1") is None
    keeper = KeeperCommand(["true"], str(tmp_path / "keeper"), "127.0.0.1", 1, str(tmp_path / "log"))
    keeper.write(folder.keeper_file)
    assert KeeperCommand.read(folder.keeper_file) == keeper
    assert folder.keeper_pid() is None
    with try_lock(keeper.lock_file), try_lock(folder.node("node-1") / "lock"):
        keeper.lock_file.write_text("11\n")
        (folder.node("node-1") / "lock").write_text("12\n")
        assert (folder.keeper_pid(), folder.node_pid("node-1")) == (11, 12)
