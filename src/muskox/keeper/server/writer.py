"""The log's thread: whatever has been ordered since the last sync goes to disk in one write that is a sync.

That is group commit: the more is going on, the more shares a sync, and the event loop does not wait for the disk. Only a lone
write, with nothing else going on, is written by whoever orders it: handing it to a thread and back takes as long as the sync.
"""

from collections.abc import Callable
from errno import ENOENT
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import NamedTuple

from muskox.keeper.disk.log import TransactionLog
from muskox.keeper.machine.events import AppendTransactions


class Roll(NamedTuple):
    """Begin a new file with the next transaction."""


class Stop(NamedTuple):
    pass


Order = AppendTransactions | Roll | Stop


class LogWriter:
    """Write transactions in their order; tell `synced` the last zxid on disk, or `failed` why there will be no more.

    `written` is told the seconds and the number of transactions of each write. All are called in the thread that writes.
    """

    def __init__(
        self,
        log: TransactionLog,
        synced: Callable[[int], None],
        failed: Callable[[OSError], None],
        written: Callable[[float, int], None],
    ) -> None:
        self.log = log
        self.written = written
        self.synced = synced
        self.failed = failed
        # Bounded by the clients: none is read from while too much of what it asked for waits.
        self.queue: SimpleQueue[Order] = SimpleQueue()
        self.ordered = 0  # counted by who orders
        self.done = 0  # counted by the thread
        self.is_broken = False  # a write has failed: nothing may be written after it, for a sync stands for all before it
        self.thread = Thread(target=self.run, name="keeper-log", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def append(self, order: AppendTransactions) -> None:
        if not self.is_broken:
            self.put(order)

    def append_alone(self, order: AppendTransactions) -> bool:
        """Write and sync now, in the calling thread; False, with nothing done, if the thread is at work, or a write has failed.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        if self.is_broken or self.ordered != self.done or not self.thread.is_alive():
            return False
        self.is_broken = True  # unless it succeeds
        try:
            self.write(order.zxid_first, order.entries)
        except OSError:
            raise
        except Exception as error:  # bulkhead: whatever it was, the log lacks what is acknowledged with the next write
            raise OSError(f"the log could not be written by a fault of this server's own: {error!r}") from error
        self.is_broken = False
        self.synced(order.zxid_last)
        return True

    def mark(self) -> None:
        """Note in the file, in the calling thread, how far it is on disk, unless there is other work to do: now and then.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        if self.ordered == self.done and not self.is_broken:
            self.log.mark()

    def roll(self) -> None:
        self.put(Roll())

    def check_file(self) -> None:
        """See that the log is still where a start would look for it; it may be asked in any thread.

        Raises
        ------
        OSError
            If somebody has deleted or moved it: what is written to it now is lost.
        """
        path = self.log.path
        if path is not None and not path.exists() and path is self.log.path:
            raise FileNotFoundError(ENOENT, "the log was deleted or moved while it was written", str(path))

    def put(self, order: Order) -> None:
        self.ordered += 1
        self.queue.put(order)

    def end(self) -> None:
        """Let the thread write what is ordered, close the file and end; like all orders, from one thread alone."""
        self.put(Stop())

    def join(self) -> None:
        """Return when the thread has come to its end, or has failed."""
        self.thread.join()

    def run(self) -> None:
        try:
            self.write_orders()
        except OSError as error:
            self.failed(error)
        except Exception as error:  # noqa: BLE001  # bulkhead: a thread that ends unheard would leave every write unanswered
            self.failed(OSError(f"the log's thread ended by a fault of its own: {error!r}"))

    def write_orders(self) -> None:
        order = self.queue.get()
        while not isinstance(order, Stop):
            if isinstance(order, Roll):
                self.log.roll()
                self.done += 1
                order = self.queue.get()
                continue
            entries, zxid_last = order.entries, order.zxid_last
            taken = 1
            following = self.take()
            while isinstance(following, AppendTransactions):
                if taken == 1:
                    entries = list(entries)
                entries += following.entries
                zxid_last = following.zxid_last
                taken += 1
                following = self.take()
            self.write(order.zxid_first, entries)
            self.synced(zxid_last)
            if following is None:
                following = self.take()  # what came during the sync
            self.done += taken
            order = self.queue.get() if following is None else following
        self.log.roll()

    def write(self, zxid_first: int, entries: list[bytes]) -> None:
        since = monotonic()
        self.log.append(zxid_first, entries)
        self.written(monotonic() - since, len(entries))

    def take(self) -> Order | None:
        """Return what is ordered already, or None."""
        try:
            return self.queue.get_nowait()
        except Empty:
            return None
