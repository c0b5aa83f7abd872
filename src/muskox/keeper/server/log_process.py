"""The log's process: whatever has been ordered since the last sync goes to disk in one write that is a sync.

That is group commit: the more is going on, the more shares a sync. It is a process and not a thread because a thread takes
Python's lock from the event loop, and waits for it, at each of its steps: with 32 clients that wait for each of their writes, a
process took 1.3 times as many. So the event loop waits neither for the disk nor for whoever writes to it, even if that hangs.

It is forked before the server has anything to copy, ends when the server does, and holds the lock of the folder until then, so
that the next server finds nobody at work on the files.
"""

import errno
import gc
import os
import signal
import socket
from collections.abc import Iterable
from enum import IntEnum
from select import POLLIN, poll
from struct import Struct
from time import monotonic
from typing import NamedTuple, NoReturn

from muskox.keeper.disk.log import TransactionLog
from muskox.keeper.machine.events import AppendTransactions

READ_BYTES = 1 << 20
GROUP_BYTES_MAX = 4 << 20  # more than this is not gathered before a sync
# If the last order came sooner than this, the next is watched for and not slept on: a lone client's write takes a tenth less.
BRISK_SECONDS = 0.0003
IDLE_MS = 20  # after so long without an order, what is on disk is noted in the file
LOOK_MS = 200  # how often it is seen whether the file is still there
ORDER = Struct(">BqqI")  # kind, first and last zxid, number of entries; then the length of each, then the entries
REPORT = Struct(">BqdI")  # kind; last zxid, or number of an error; seconds; number of entries, or length of a text that follows


class Order(IntEnum):
    """What the server wants of the log."""

    APPEND = 1
    ROLL = 2  # begin a new file with the next transaction
    END = 3


class Report(IntEnum):
    """What the log tells the server."""

    SYNCED = 1
    FAILED = 2
    ENDED = 3


class LogProcess(NamedTuple):
    """The log's process, and the server's end of the line to it."""

    pid: int
    line: socket.socket


def start_log(log: TransactionLog, not_for_it: Iterable[int] = ()) -> LogProcess:
    """Fork the log's process; it closes the handles `not_for_it`, which it would else hold open.

    Raises
    ------
    OSError
        If there can be no more processes.
    """
    ours, its = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        be_the_log(log, its, [ours.fileno(), *not_for_it])
    its.close()
    ours.setblocking(False)
    return LogProcess(pid, ours)


def be_the_log(log: TransactionLog, line: socket.socket, not_for_it: Iterable[int]) -> NoReturn:
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the server ends it; a Ctrl-C reaches both
        for handle in not_for_it:
            os.close(handle)
        gc.disable()
        Writer(log, line).run()
        status = 0
    finally:
        os._exit(status)


def encode_orders(orders: list[AppendTransactions]) -> bytes:
    """Return orders as the bytes that are sent to the log's process."""
    parts: list[bytes] = []
    for zxid_first, zxid_last, entries in orders:
        count = len(entries)
        parts.append(ORDER.pack(Order.APPEND, zxid_first, zxid_last, count) + Struct(f">{count}I").pack(*map(len, entries)))
        parts += entries
    return b"".join(parts)


def encode_order(kind: Order) -> bytes:
    """Return an order without transactions."""
    return ORDER.pack(kind, 0, 0, 0)


class Writer:
    """Does what comes down the line, in its order, until it is told to end, or the server has gone."""

    def __init__(self, log: TransactionLog, line: socket.socket) -> None:
        self.log = log
        self.line = line
        self.waiter = poll()
        self.waiter.register(line, POLLIN)
        self.received = bytearray()
        self.looked = monotonic()
        self.is_brisk = False

    def run(self) -> None:
        try:
            while self.hear() and self.obey():
                pass
        except OSError as error:
            self.fail(error.errno or errno.EIO, f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        except Exception as error:  # noqa: BLE001  # bulkhead: one that ends unheard would leave every write unanswered
            self.fail(errno.EIO, f"the log ended by a fault of its own: {error!r}")

    def fail(self, number: int, reason: str) -> None:
        text = reason.encode()
        self.line.sendall(REPORT.pack(Report.FAILED, number, 0.0, len(text)) + text)

    def hear(self) -> bool:
        """Wait until something comes, and take all that has come; False if the server has gone."""
        since = monotonic()
        if self.is_brisk:
            while not self.waiter.poll(0) and monotonic() - since < BRISK_SECONDS:
                pass
        if not self.waiter.poll(IDLE_MS):
            self.log.mark()
            while not self.waiter.poll(LOOK_MS):
                self.look()
        self.is_brisk = monotonic() - since < BRISK_SECONDS
        self.look()
        while True:
            data = self.line.recv(READ_BYTES)
            self.received += data
            if not data:
                return False
            if len(self.received) > GROUP_BYTES_MAX or not self.waiter.poll(0):
                return True

    def look(self) -> None:
        """Now and then, see that the log is still where a start would look for it: else what is written to it is lost.

        Raises
        ------
        OSError
            If somebody has deleted or moved it.
        """
        now = monotonic()
        if now - self.looked < LOOK_MS / 2000:
            return
        self.looked = now
        path = self.log.path
        if path is not None and not path.exists():
            raise FileNotFoundError(errno.ENOENT, "the log was deleted or moved while it was written", str(path))

    def obey(self) -> bool:
        """Do all orders that have come whole; False after the last one."""
        data = bytes(self.received)
        at = zxid_first = zxid_last = 0
        entries: list[bytes] = []
        while at + ORDER.size <= len(data):
            kind, first, last, count = ORDER.unpack_from(data, at)
            sizes_at = at + ORDER.size
            start = sizes_at + 4 * count
            if start > len(data):
                break
            sizes = Struct(f">{count}I").unpack_from(data, sizes_at)
            end = start + sum(sizes)
            if end > len(data):
                break
            at = end
            if kind != Order.APPEND:
                self.append(zxid_first, zxid_last, entries)
                entries = []
                self.log.roll()
                if kind == Order.END:
                    self.line.sendall(REPORT.pack(Report.ENDED, 0, 0.0, 0))
                    return False
                continue
            zxid_first, zxid_last = zxid_first if entries else first, last
            for size in sizes:
                entries.append(data[start : start + size])
                start += size
        self.append(zxid_first, zxid_last, entries)
        del self.received[:at]
        return True

    def append(self, zxid_first: int, zxid_last: int, entries: list[bytes]) -> None:
        if entries:
            since = monotonic()
            self.log.append(zxid_first, entries)
            self.line.sendall(REPORT.pack(Report.SYNCED, zxid_last, monotonic() - since, len(entries)))
