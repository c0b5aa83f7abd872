"""The log's writer: who writes when, and that nothing is told to be on disk once a write has failed."""

import errno
from pathlib import Path

import pytest

from muskox.keeper.disk.entries import MARK_NAME, Scan
from muskox.keeper.disk.files import SystemDisk
from muskox.keeper.disk.loading import mapped
from muskox.keeper.disk.log import TransactionLog
from muskox.keeper.machine.events import AppendTransactions
from muskox.keeper.server.writer import LogWriter
from muskox.keeper.wire.opcodes import ErrorCode, OpCode
from muskox.keeper.wire.transactions import ErrorTxn, TxnHeader, encode_entry


class FailingDisk(SystemDisk):
    """A disk that refuses some writes, and takes others again."""

    def __init__(self) -> None:
        super().__init__()
        self.is_refusing = False

    def write_synced(self, file: int, data: bytes, at: int) -> None:
        if self.is_refusing:
            raise OSError(errno.EIO, "Input/output error")
        super().write_synced(file, data, at)


class Bench:
    """A writer, and what it has told."""

    def __init__(self, folder: Path) -> None:
        self.disk = FailingDisk()
        self.folder = folder
        self.synced: list[int] = []
        self.failures: list[OSError] = []
        self.writer = LogWriter(TransactionLog(folder, disk=self.disk), self.synced.append, self.failures.append, self.wrote)
        self.writer.start()

    def wrote(self, seconds: float, count: int) -> None:
        assert seconds >= 0 < count

    def finish(self) -> list[int]:
        """Return the zxids that are in the log."""
        self.writer.end()
        self.writer.join()
        found = []
        for path in sorted(self.folder.iterdir()):
            with mapped(path) as data:
                found += [entry.header.zxid for entry in Scan(path.name, data)]
        return found


def order(zxid: int) -> AppendTransactions:
    header = TxnHeader(1, 0, zxid, 0, OpCode.ERROR)
    return AppendTransactions(zxid, zxid, [encode_entry(header, ErrorTxn(ErrorCode.NO_NODE), 0)])


def test_lone_writes_and_others_follow_each_other_in_the_log(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.writer.append_alone(order(1))
    bench.writer.append(order(2))
    bench.writer.append(order(3))
    bench.writer.roll()
    while not bench.writer.append_alone(order(4)):  # its turn comes once the thread has done what was ordered
        bench.writer.thread.join(0.001)
    assert bench.finish() == [1, 2, 3, 4]
    assert bench.synced[-1] == 4 and not bench.failures


def test_after_a_lone_write_has_failed_nothing_is_told_to_be_on_disk(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.writer.append_alone(order(1))
    bench.disk.is_refusing = True
    with pytest.raises(OSError, match="Input/output error"):
        bench.writer.append_alone(order(2))
    bench.disk.is_refusing = False
    assert not bench.writer.append_alone(order(3)), "it would be told for 2 as well"
    bench.writer.append(order(3))
    assert bench.finish() == [1]
    assert bench.synced == [1]


def test_after_the_thread_has_failed_nothing_is_told_to_be_on_disk(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.disk.is_refusing = True
    bench.writer.append(order(1))
    bench.writer.join()
    bench.disk.is_refusing = False
    assert not bench.writer.append_alone(order(2))
    bench.writer.append(order(2))
    assert bench.finish() == []
    assert bench.synced == [] and [error.errno for error in bench.failures] == [errno.EIO]


def test_nothing_is_written_in_the_loop_once_the_end_is_ordered(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.writer.append(order(1))
    bench.writer.end()
    assert not bench.writer.append_alone(order(2))
    bench.writer.append(order(2))
    assert bench.finish() == [1]
    assert bench.synced == [1]


def test_how_far_the_log_is_on_disk_is_noted_once_there_is_nothing_else_to_do(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    while not bench.writer.append_alone(order(1)):
        bench.writer.thread.join(0.001)
    (path,) = tmp_path.iterdir()
    assert MARK_NAME not in path.read_bytes()
    bench.writer.mark()
    assert MARK_NAME in path.read_bytes()
    bench.disk.is_refusing = True
    with pytest.raises(OSError, match="Input/output error"):
        bench.writer.append_alone(order(2))
    bench.writer.mark()
    assert bench.finish() == [1]
