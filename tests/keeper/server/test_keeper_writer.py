"""The log's process and the line to it: what is told to be on disk is, and nothing is told once a write has failed."""

import asyncio
import errno
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from muskox.errors import MuskoxError, Unavailable
from muskox.keeper.disk.entries import MARK_NAME, Scan
from muskox.keeper.disk.files import SystemDisk
from muskox.keeper.disk.loading import mapped
from muskox.keeper.disk.log import TransactionLog
from muskox.keeper.machine.events import AppendTransactions
from muskox.keeper.server.log_process import start_log
from muskox.keeper.server.writer import LogWriter
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.transactions import SetDataTxn, TxnHeader, encode_entry

SECONDS_MAX = 20.0
TOO_MUCH = 7  # the disk that refuses takes this many writes


class RefusingDisk(SystemDisk):
    """A disk that refuses one write and takes those after it."""

    writes = 0

    def write_synced(self, file: int, data: bytes, at: int) -> None:
        self.writes += 1
        if self.writes == TOO_MUCH:
            raise OSError(errno.EIO, "Input/output error")
        super().write_synced(file, data, at)


class Bench:
    """A writer with its process, and what it has told."""

    def __init__(self, folder: Path, disk: SystemDisk) -> None:
        self.folder = folder
        self.synced: list[int] = []
        self.failures: list[OSError | MuskoxError] = []
        self.counts = 0
        process = start_log(TransactionLog(folder, disk=disk))
        self.pid = process.pid
        self.writer = LogWriter(process, asyncio.get_running_loop(), self.synced.append, self.failures.append, self.wrote)

    def wrote(self, seconds: float, count: int) -> None:
        assert seconds >= 0 < count
        self.counts += count

    async def until(self, is_so: Callable[[], Any]) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while not is_so():
                await asyncio.sleep(0.001)

    async def append(self, *zxids: int, size: int = 10) -> None:
        """Order transactions, each by itself, and wait until they are told to be on disk, or to have failed."""
        self.writer.append([order(zxid, size) for zxid in zxids])
        await self.until(lambda: self.failures or (self.synced and self.synced[-1] == zxids[-1]))

    async def end(self) -> list[int]:
        """Return the zxids that are in the log."""
        self.writer.end()
        await asyncio.wait_for(self.writer.ended, SECONDS_MAX)
        found = []
        for path in sorted(self.folder.iterdir()):
            with mapped(path) as data:
                found += [entry.header.zxid for entry in Scan(path.name, data)]
        return found


def order(zxid: int, size: int = 10) -> AppendTransactions:
    header = TxnHeader(1, 0, zxid, 0, OpCode.SET_DATA)
    return AppendTransactions(zxid, zxid, [encode_entry(header, SetDataTxn("/a", bytes(size), 1), 0)])


def run(folder: Path, story: Callable[[Bench], Awaitable[None]], disk: SystemDisk | None = None) -> None:
    async def tell() -> None:
        await story(Bench(folder, disk or SystemDisk()))

    asyncio.run(tell())


def test_transactions_are_written_in_their_order_over_files(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.append(1)
        bench.writer.append([order(2), order(3)])
        bench.writer.roll()
        await bench.append(4, 5)
        assert await bench.end() == [1, 2, 3, 4, 5]
        assert bench.synced[-1] == 5 and bench.counts == 5 and not bench.failures
        assert [path.name for path in sorted(tmp_path.iterdir())] == ["log.1", "log.4"]

    run(tmp_path, story)


def test_more_than_the_line_holds_is_kept_until_it_does(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        zxids = range(1, 31)
        await bench.append(*zxids, size=1 << 20)
        assert await bench.end() == list(zxids)
        assert not bench.writer.unsent

    run(tmp_path, story)


def test_after_a_write_has_failed_nothing_is_told_to_be_on_disk(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        for zxid in range(1, TOO_MUCH + 1):
            await bench.append(zxid)
        assert bench.synced == list(range(1, TOO_MUCH))
        assert [getattr(error, "errno", None) for error in bench.failures] == [errno.EIO]
        bench.writer.append([order(TOO_MUCH + 1)])
        assert await bench.end() == bench.synced
        assert len(bench.failures) == 1

    run(tmp_path, story, RefusingDisk())


def test_a_process_that_is_killed_is_told_of(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.append(1)
        os.kill(bench.pid, signal.SIGKILL)
        await bench.until(lambda: bench.failures)
        assert isinstance(bench.failures[0], Unavailable)
        assert str(bench.failures[0]).endswith("has ended by signal 9: nothing can be written any more")
        bench.writer.append([order(2)])
        assert bench.synced == [1] and bench.writer.ended.done()

    run(tmp_path, story)


def test_a_log_that_is_deleted_under_it_is_noticed_without_a_write(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.append(1)
        (tmp_path / "log.1").unlink()
        await bench.until(lambda: bench.failures)
        assert "the log was deleted or moved while it was written" in str(bench.failures[0])

    run(tmp_path, story)


def test_how_far_the_log_is_on_disk_is_noted_once_there_is_nothing_else_to_do(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await bench.append(1)
        await bench.until(lambda: MARK_NAME in (tmp_path / "log.1").read_bytes())
        await bench.append(2)
        assert await bench.end() == [1, 2]

    run(tmp_path, story)


@pytest.mark.parametrize("count", [0, 3])
def test_the_process_ends_when_the_server_has_gone(tmp_path: Path, count: int) -> None:
    async def story(bench: Bench) -> None:
        if count:
            await bench.append(*range(1, count + 1))
        bench.writer.finish()
        assert bench.writer.reap() == "with status 0"

    run(tmp_path, story)
