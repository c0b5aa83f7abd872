"""The guard: a keeper that was killed is started again on its port and data, by one guard and no second."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from muskox.coordination import Session, layout, stored
from muskox.runtime.guard import KeeperCommand, KeeperGuard, ensure_keeper, is_serving, try_lock

SECRET = b"0123456789abcdef" * 4
BOUND_S = 30.0


class Keepers:
    """A keeper's folder, and the end of every process that was started for it."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        data = str(folder / "keeper")
        command = [sys.executable, "-m", "muskox.keeper", "--data-dir", data, "--client-port", str(port)]
        self.file = folder / "keeper.json"
        self.command = KeeperCommand(command, data, "127.0.0.1", port, str(folder / "log"))
        self.command.write(self.file)

    @property
    def pid(self) -> int:
        return int(self.command.lock_file.read_text())

    @property
    def url(self) -> str:
        return f"zk://{self.command.host}:{self.command.port}"

    def kill(self) -> None:
        """End the keeper as kill -9 does, and return once it is gone."""
        pid = self.pid
        handle = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        wait_for_end(handle)

    def is_running(self) -> bool:
        with try_lock(self.command.lock_file) as is_dead:
            return not is_dead


def wait_for_end(handle: int) -> None:
    import select

    assert select.select([handle], [], [], BOUND_S)[0]
    os.close(handle)


@pytest.fixture
def keepers(tmp_path: Path) -> Iterator[Keepers]:
    keepers = Keepers(tmp_path)
    yield keepers
    if keepers.is_running():
        keepers.kill()


def test_a_killed_keeper_is_started_again_on_the_same_port_and_data(keepers: Keepers) -> None:
    assert not is_serving(keepers.command.host, keepers.command.port)
    assert ensure_keeper(keepers.command)
    first = keepers.pid
    with Session(keepers.url, SECRET).connect() as session:
        session.create(layout.dataset("flights"), stored.DatasetRecord(latest=3))
        keepers.kill()
        assert ensure_keeper(keepers.command)
        assert keepers.pid != first
        assert session.find(layout.dataset("flights"), stored.DatasetRecord) == (stored.DatasetRecord(latest=3), 0)


def test_a_keeper_that_lives_is_left_alone(keepers: Keepers) -> None:
    assert ensure_keeper(keepers.command)
    pid = keepers.pid
    assert ensure_keeper(keepers.command)
    assert keepers.pid == pid


def test_while_another_guard_is_at_work_nothing_is_started(keepers: Keepers) -> None:
    with try_lock(Path(keepers.command.data_dir) / "guard.lock") as is_ours:
        assert is_ours
        assert not ensure_keeper(keepers.command)
    assert not keepers.is_running()
    assert not Path(keepers.command.log_file).exists()


def test_many_guards_start_one_keeper(keepers: Keepers) -> None:
    threads = [threading.Thread(target=ensure_keeper, args=(keepers.command,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND_S)
    assert keepers.is_running() and is_serving(keepers.command.host, keepers.command.port)
    assert "Traceback" not in Path(keepers.command.log_file).read_text()


def test_a_command_that_cannot_serve_is_told(keepers: Keepers) -> None:
    command = KeeperCommand(
        [sys.executable, "-c", "raise SystemExit(3)"], keepers.command.data_dir, "127.0.0.1", 1, keepers.command.log_file
    )
    assert not ensure_keeper(command)


def test_a_node_that_starts_beside_a_dead_keeper_starts_it(keepers: Keepers) -> None:
    guard = KeeperGuard(keepers.file)
    session = Session(keepers.url, SECRET)
    session.on_state(guard.on_state)
    guard.start()
    try:
        with session.connect(timeout_s=BOUND_S):
            pid = keepers.pid
            keepers.kill()
            assert session.wait_connected(BOUND_S) or session.is_connected
            assert session.version(layout.CONFIG) == 0
            assert keepers.pid != pid
    finally:
        guard.end()
        guard.join(BOUND_S)
    assert not guard.is_alive()
