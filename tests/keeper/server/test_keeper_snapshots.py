"""Snapshots by a forked child: what it writes, what it does not hold, and what is said when it fails."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, ItemsView
from pathlib import Path
from typing import Any

import pytest
from world import World

from muskox.keeper.disk.loading import load
from muskox.keeper.disk.log import TransactionLog
from muskox.keeper.disk.names import LOG, SNAPSHOT, list_files, snapshot_path
from muskox.keeper.disk.recovery import recover
from muskox.keeper.machine.database import Image
from muskox.keeper.server.options import Options
from muskox.keeper.server.snapshots import ChildDisk, Snapshots

SECONDS_MAX = 20.0


class Slow(dict[str, Any]):
    """Nodes that are not given out before a file is there: it holds a child back."""

    def __init__(self, nodes: dict[str, Any], go: Path) -> None:
        super().__init__(nodes)
        self.go = go

    def items(self) -> ItemsView[str, Any]:
        await_condition(self.go.exists)
        return super().items()


def await_condition(is_met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not is_met():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Bench:
    """Snapshots of a world, with a child that waits for `go`."""

    def __init__(self, data_dir: Path, **options: Any) -> None:
        recover(data_dir)
        self.folder = data_dir / "version-2"
        self.go = data_dir / "go"
        self.world = World()
        self.world.open(1)
        self.world.create(1, "/a", b"before")
        self.loop = asyncio.new_event_loop()
        self.options = Options(data_dir=data_dir, snap_count=1, **options)
        self.told: list[str | None] = []
        self.snapshots = Snapshots(self.options, self.loop, self.view, 1, self.ended)

    def view(self) -> Image:
        image = self.world.machine.image()
        return image._replace(nodes=Slow(image.nodes, self.go))

    def ended(self, seconds: float, complaint: str | None) -> None:
        assert seconds >= 0
        self.told.append(complaint)
        self.loop.stop()

    def finish(self) -> str | None:
        self.go.touch()
        self.loop.call_later(SECONDS_MAX, self.loop.stop)
        self.loop.run_forever()
        return self.told.pop()

    @property
    def pid(self) -> int:
        assert self.snapshots.child is not None
        return self.snapshots.child.pid


def close(bench: Bench) -> None:
    bench.snapshots.stop()
    bench.loop.close()


def test_a_snapshot_holds_the_tree_as_it_was_when_it_was_begun(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.snapshots.begin_if_due()
    bench.world.set(1, "/a", b"after")
    assert not bench.snapshots.begin_if_due(), "one at a time"
    assert bench.finish() is None
    assert load(snapshot_path(bench.folder, 2), 2).tree.nodes["/a"].data == b"before"
    assert not bench.snapshots.begin_if_due(), "nothing has been written since"
    bench.snapshots.transactions += 1
    assert bench.snapshots.begin_if_due()
    assert bench.finish() is None
    assert load(snapshot_path(bench.folder, 3), 3).tree.nodes["/a"].data == b"after"
    close(bench)


def test_the_child_holds_nothing_of_the_servers(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    out, into = os.pipe()
    assert bench.snapshots.begin_if_due()
    os.close(into)
    assert os.read(out, 1) == b"", "somebody still holds the other end"
    os.close(out)
    assert bench.finish() is None
    close(bench)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_that_is_killed_is_told_of_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    bench = Bench(tmp_path)
    assert bench.snapshots.begin_if_due()
    await_condition(lambda: any(bench.folder.glob("*.draft")))
    os.kill(bench.pid, number)
    complaint = bench.finish()
    assert complaint is not None
    assert "no snapshot at zxid 0x2: its process was ended by signal" in complaint
    assert [file.zxid for file in list_files(bench.folder, SNAPSHOT)] == [0]
    assert not list(bench.folder.glob("*.draft"))
    close(bench)


def test_a_disk_that_refuses_is_told_of(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (bench.folder / "snapshot.0").unlink()
    bench.folder.rmdir()
    assert bench.snapshots.begin_if_due()
    complaint = bench.finish()
    assert complaint is not None and complaint.startswith("no snapshot at zxid 0x2: No such file or directory")
    close(bench)


def test_a_stop_drops_a_snapshot_under_way(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.snapshots.begin_if_due()
    pid = bench.pid
    close(bench)
    await_condition(lambda: not Path(f"/proc/{pid}").exists())
    assert bench.told == []


def test_a_child_without_its_server_writes_no_more(tmp_path: Path) -> None:
    disk = ChildDisk(os.getppid() + 1)
    file = disk.create(tmp_path / "draft")
    with pytest.raises(OSError, match="the server has ended"):
        disk.write(file, b"x", 0)
    with pytest.raises(OSError, match="the server has ended"):
        disk.rename(tmp_path / "draft", tmp_path / "whole")
    disk.close(file)


@pytest.mark.parametrize(("hours", "left"), [(None, 2), (0, 4), (1, 2)])
def test_old_files_go_after_a_snapshot_by_the_clock_or_never(tmp_path: Path, hours: int | None, left: int) -> None:
    bench = Bench(tmp_path, purge_hours=hours, snapshots_kept=2)
    log = TransactionLog(bench.folder)
    for zxid in (1, 2):
        log.append(zxid, [bench.world.entries[zxid - 1]])
        log.roll()
        snapshot_path(bench.folder, zxid).write_bytes(b"")
    bench.go.touch()
    bench.world.create(1, "/b")
    assert bench.snapshots.begin_if_due()
    assert bench.finish() is None
    bench.snapshots.start()
    await_condition(lambda: len(list_files(bench.folder, SNAPSHOT)) == left)
    assert len(list_files(bench.folder, LOG)) == (1 if left == 2 else 2)
    close(bench)
