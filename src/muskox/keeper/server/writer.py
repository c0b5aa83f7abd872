"""The server's end of the line to the log's process: orders go down, and word comes back of what is on disk."""

import asyncio
import os
from collections.abc import Callable

from muskox.errors import MuskoxError, Unavailable
from muskox.keeper.machine.events import AppendTransactions
from muskox.keeper.server.log_process import REPORT, LogProcess, Order, Report, encode_order, encode_orders

READ_BYTES = 1 << 16


class LogWriter:
    """Have transactions written in their order.

    `synced` is told the last zxid on disk, `written` the seconds and the number of transactions of each write, and `failed` why
    there will be no more: nothing is told to be on disk after that. `ended` is done once the file is closed, or never will be.
    """

    def __init__(
        self,
        process: LogProcess,
        loop: asyncio.AbstractEventLoop,
        synced: Callable[[int], None],
        failed: Callable[[OSError | MuskoxError], None],
        written: Callable[[float, int], None],
    ) -> None:
        self.process = process
        self.loop = loop
        self.synced = synced
        self.failed = failed
        self.written = written
        # Bounded by the clients: none is read from while too much of what it asked for waits.
        self.unsent = bytearray()
        self.received = b""
        self.ended: asyncio.Future[None] = loop.create_future()
        loop.add_reader(process.line, self.hear)

    def append(self, orders: list[AppendTransactions]) -> None:
        self.send(encode_orders(orders))

    def roll(self) -> None:
        """Begin a new file with the next transaction."""
        self.send(encode_order(Order.ROLL))

    def end(self) -> None:
        """Have what is ordered written, and the file closed."""
        self.send(encode_order(Order.END))

    def send(self, data: bytes) -> None:
        if self.ended.done():
            return
        sent = 0
        if not self.unsent:
            try:
                sent = self.process.line.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return  # it has gone, which is heard, too
            if sent == len(data):
                return
            self.loop.add_writer(self.process.line, self.send_on)
        self.unsent += memoryview(data)[sent:]

    def send_on(self) -> None:
        try:
            del self.unsent[: self.process.line.send(self.unsent)]
        except BlockingIOError:
            return
        except OSError:
            self.unsent.clear()
        if not self.unsent:
            self.loop.remove_writer(self.process.line)

    def hear(self) -> None:
        """Take note of what the log's process tells."""
        try:
            data = self.process.line.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            how = self.reap()
            self.lost(
                Unavailable(f"the log's process, pid {self.process.pid}, has ended {how}: nothing can be written any more")
            )
            return
        data = self.received + data
        at = zxid_synced = 0
        error: OSError | None = None
        while at + REPORT.size <= len(data):
            kind, number, seconds, count = REPORT.unpack_from(data, at)
            if kind == Report.ENDED:
                self.finish()
                self.reap()
                break
            if kind == Report.FAILED:
                text = data[at + REPORT.size :]
                if len(text) == count:
                    error = OSError(number, text.decode())
                break
            at += REPORT.size
            zxid_synced = number
            self.written(seconds, count)
        self.received = data[at:]
        if zxid_synced:
            self.synced(zxid_synced)
        if error is not None:
            self.lost(error)

    def lost(self, error: OSError | MuskoxError) -> None:
        if not self.ended.done():
            self.finish()
            self.failed(error)

    def finish(self) -> None:
        self.loop.remove_reader(self.process.line)
        self.loop.remove_writer(self.process.line)
        self.process.line.close()
        self.ended.set_result(None)

    def reap(self) -> str:
        """Take the end of the process, which is over, from the system, and return how that was."""
        try:
            _, status = os.waitpid(self.process.pid, 0)
        except ChildProcessError:
            return "unseen"  # whoever started this server has children taken away by the system
        code = os.waitstatus_to_exitcode(status)
        return f"by signal {-code}" if code < 0 else f"with status {code}"
