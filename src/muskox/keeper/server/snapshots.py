"""When a snapshot is taken, and how: by a child of this process, which holds the tree as it was when it was forked.

The fork is all that stops the server: the system copies the tables of memory, not memory. A thread would need a copy of the
tree's dict first, which takes ten times as long, and then compete with the event loop for seconds. What a fork costs is
memory: both write to what they look at, since Python counts references there, so a large tree is there twice for a while.

The child takes nothing over but its standard error: no client's socket, no port, no lock of a folder, and none of Python's, for
it prints and logs nothing. It ends when this server has.
"""

import asyncio
import errno
import os
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from threading import Lock, Thread
from typing import NoReturn

from muskox.keeper.disk.files import SystemDisk
from muskox.keeper.disk.names import folder_of
from muskox.keeper.disk.purge import purge
from muskox.keeper.disk.snapshot import remove_drafts, write_snapshot
from muskox.keeper.machine.database import Image
from muskox.keeper.server.options import Options

HANDLES_MAX = 1 << 20
STDERR = 2
NICENESS = 10  # the child may take its time: clients may not
HOUR_SECONDS = 3_600


class Snapshots:
    """Begins a snapshot when enough has been written since the last one, and deletes old files.

    Parameters
    ----------
    options : folders, and how often
    loop : the event loop that all is called in
    view : returns the database as it stands
    transactions : how many there are since the last snapshot
    ended : takes how many seconds a snapshot took, and a sentence if there is none
    """

    def __init__(
        self,
        options: Options,
        loop: asyncio.AbstractEventLoop,
        view: Callable[[], Image],
        transactions: int,
        ended: Callable[[float, str | None], None],
    ) -> None:
        self.options = options
        self.loop = loop
        self.view = view
        self.transactions = transactions
        self.ended = ended
        self.folder = folder_of(options.data_dir)
        self.log_folder = folder_of(options.log_dir or options.data_dir)
        self.child: Child | None = None
        self.is_stopped = False

    def start(self) -> None:
        if self.options.purge_hours:
            self.purge_by_the_clock()

    def begin_if_due(self) -> bool:
        """Begin a snapshot if it is time, and return whether the log should now begin a new file."""
        if self.transactions < self.options.snap_count or self.child is not None or self.is_stopped:
            return False
        self.transactions = 0
        image = self.view()
        try:
            self.child = Child(self.folder, image)
        except OSError as error:
            # The log holds everything; the next snapshot will be tried at its time.
            self.ended(0.0, f"no snapshot at zxid {image.zxid:#x}, since no process could be forked: {error}")
            return False
        Thread(target=self.await_child, args=(self.child,), name="keeper-snapshot", daemon=True).start()
        return True

    def await_child(self, child: "Child") -> None:
        """Wait, in a thread."""
        complaint = child.wait()
        if complaint is None and self.options.purge_hours is None:
            complaint = self.purge()
        with child.lock:
            if not child.is_dropped:
                self.loop.call_soon_threadsafe(self.finished, child, complaint)

    def finished(self, child: "Child", complaint: str | None) -> None:
        self.child = None
        self.ended(time.monotonic() - child.since, complaint)

    def stop(self) -> None:
        """Drop what is not finished, and begin nothing more: the last transactions of a stop may make a snapshot due."""
        self.is_stopped = True
        if self.child is not None:
            self.child.drop()

    def purge_by_the_clock(self) -> None:
        Thread(target=self.purge_and_tell, name="keeper-purge", daemon=True).start()
        self.loop.call_later((self.options.purge_hours or 0) * HOUR_SECONDS, self.purge_by_the_clock)

    def purge_and_tell(self) -> None:
        complaint = self.purge()
        if complaint is not None:
            self.loop.call_soon_threadsafe(self.ended, 0.0, complaint)

    def purge(self) -> str | None:
        """Delete old files; return a sentence if that fails."""
        try:
            purge(self.folder, self.log_folder, self.options.snapshots_kept)
        except OSError as error:
            return f"old files could not be deleted: {error}"
        return None


class Child:
    """A process that writes one snapshot."""

    def __init__(self, folder: Path, image: Image) -> None:
        self.folder = folder
        self.zxid = image.zxid
        self.since = time.monotonic()
        self.lock = Lock()
        self.is_over = False
        self.is_dropped = False
        self.pid = fork_writer(folder, image)

    def wait(self) -> str | None:
        """Return once it has ended: None if there is a snapshot, else a sentence that says why not."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self.lock:  # its number is free for others after this
            self.is_over = True
            _, status = os.waitpid(self.pid, 0)
        if status == 0:
            return None
        remove_drafts(self.folder, self.pid)
        code = os.waitstatus_to_exitcode(status)
        reason = f"its process was ended by signal {-code}" if code < 0 else os.strerror(code)
        return f"no snapshot at zxid {self.zxid:#x}: {reason}; the log holds everything, and the next one will be tried"

    def drop(self) -> None:
        """End it; nobody hears of it any more."""
        with self.lock:
            self.is_dropped = True
            if not self.is_over:
                os.kill(self.pid, signal.SIGKILL)


class ChildDisk(SystemDisk):
    """A disk for as long as the server lives: a snapshot that comes after its end might meet the next server's files."""

    def __init__(self, server: int) -> None:
        super().__init__()
        self.server = server

    def write(self, file: int, data: bytes, at: int) -> None:
        self.check()
        super().write(file, data, at)

    def rename(self, old: Path, new: Path) -> None:
        self.check()
        super().rename(old, new)

    def check(self) -> None:
        if os.getppid() != self.server:
            raise OSError(errno.ECANCELED, "the server has ended")


def fork_writer(folder: Path, image: Image) -> int:
    """Return the number of a new process that writes `image`; its exit status is 0, or the number of the system's error."""
    server = os.getpid()
    # A signal in the child must not reach the event loop, whose wake-up pipe both have until the child closes it.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads; the child needs none
            pid = os.fork()
        if pid == 0:
            write_and_exit(folder, image, server, blocked)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return pid


def write_and_exit(folder: Path, image: Image, server: int, blocked: set[int | signal.Signals]) -> NoReturn:
    """Be the child."""
    status = errno.EIO
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.closerange(STDERR + 1, HANDLES_MAX)
        os.nice(NICENESS)
        write_snapshot(folder, image, ChildDisk(server))
        status = 0
    except OSError as error:
        status = error.errno or errno.EIO
    except BaseException as error:  # noqa: BLE001  # bulkhead: whatever it is, this process may not go on as a second server
        os.write(STDERR, f"muskox keeper: the snapshot's process failed by a fault of its own: {error!r}\n".encode())
    finally:
        os._exit(status)
