"""The two servers beside each other: ours, and Apache ZooKeeper as it comes, each on a data folder of the same disk."""

import contextlib
import os
import socket
import sys
import time
from pathlib import Path
from typing import Protocol

from muskox.keeper import Keeper

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests"))

import apache  # the path comes first

START_SECONDS_MAX = 120.0
POLL_SECONDS = 0.001
PATIENCE_SECONDS_MIN = 0.02
PATIENCE_GROWTH = 1.01
JVM = ("-Xmx1g",)
# A session, and with it at once `exists /`: the reply to it is the first one.
HELLO = bytes.fromhex("0000002d" + "00" * 12 + "00009c40" + "00" * 8 + "00000010" + "00" * 17)
EXISTS_ROOT = bytes.fromhex("0000000e" + "00000001" + "00000003" + "00000001" + "2f" + "00")
SHORT_REPLIES_BYTES = 41 + 4 + 16


class Server(Protocol):
    name: str
    folder: Path  # of the data

    @property
    def port(self) -> int: ...
    @property
    def pid(self) -> int: ...
    def start(self, snap_count: int | None = None) -> float: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...


class Ours:
    """The keeper. `start` returns the seconds to the first reply."""

    def __init__(self, folder: Path) -> None:
        self.name = "muskox"
        self.folder = folder
        self.keeper = self.make(None, 0)

    def make(self, snap_count: int | None, port: int) -> Keeper:
        limits = {} if snap_count is None else {"snap_count": snap_count}
        return Keeper(port, self.folder, four_letter_words="all", **limits)

    @property
    def port(self) -> int:
        return self.keeper.port

    @property
    def pid(self) -> int:
        return self.keeper.pid

    def start(self, snap_count: int | None = None) -> float:
        self.keeper = self.make(snap_count, self.keeper.port)
        begin = time.perf_counter()
        self.keeper.start()
        await_reply(self.keeper.port)
        return time.perf_counter() - begin

    def kill(self) -> None:
        self.keeper.kill()

    def stop(self) -> None:
        self.keeper.stop()


class Theirs:
    """Apache ZooKeeper with its own defaults, in a JVM with its own defaults but for the size of its heap."""

    def __init__(self, folder: Path) -> None:
        self.name = "Apache"
        self.folder = folder
        self.server = self.make({})

    def make(self, settings: dict[str, object]) -> apache.Apache:
        return apache.Apache(self.folder, settings, flags=JVM)

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def pid(self) -> int:
        assert self.server.process is not None
        return self.server.process.pid

    def start(self, snap_count: int | None = None) -> float:
        self.server = self.make({} if snap_count is None else {"snapCount": snap_count})
        begin = time.perf_counter()
        self.server.launch()
        await_reply(self.server.port)
        return time.perf_counter() - begin

    def kill(self) -> None:
        self.server.kill()

    def stop(self) -> None:
        self.server.stop()


def both(folder: Path, wants_apache: bool = True) -> list[Server]:
    """Return our server, and Apache's if it is installed; not started."""
    for name in ("ours", "apache"):
        (folder / name).mkdir()
    servers: list[Server] = [Ours(folder / "ours")]
    if wants_apache and apache.is_installed():
        servers.append(Theirs(folder / "apache"))
    return servers


def await_reply(port: int) -> None:
    """Return when the server has answered a request.

    Apache may accept a connection while it starts and then say nothing on it for ever: so patience begins small and grows.
    """
    deadline = time.monotonic() + START_SECONDS_MAX
    patience_s = PATIENCE_SECONDS_MIN
    while not has_replied(port, patience_s):
        if time.monotonic() > deadline:
            sys.exit(f"the server at port {port} answered nothing in {START_SECONDS_MAX:.0f} s")
        patience_s *= PATIENCE_GROWTH
        time.sleep(POLL_SECONDS)


def has_replied(port: int, patience_s: float) -> bool:
    """Open a session and ask one thing; it ends with its timeout."""
    try:
        with socket.create_connection(("127.0.0.1", port), patience_s) as sock:
            sock.sendall(HELLO + EXISTS_ROOT)
            received = 0
            while received < SHORT_REPLIES_BYTES:
                data = sock.recv(4096)
                if not data:
                    return False
                received += len(data)
    except OSError:  # not there yet
        return False
    return True


def memory_mb(pid: int, what: str = "VmRSS") -> float:
    """Return how much memory a process has now (VmRSS) or had at most (VmHWM), in 10**6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def memory_with_children_mb(pid: int) -> float:
    """Return the memory of a process and its children; what they share counts once."""
    total = 0
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a child may end meanwhile
        children = (task / "children" for task in Path(f"/proc/{pid}/task").iterdir())
        for one in [str(pid), *(child for path in children for child in path.read_text(encoding="ascii").split())]:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text(encoding="ascii")
            total += next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return total * 1024 / 1e6


def disk_folder() -> Path:
    """Return a folder that lies on a disk: in memory, a durable write would cost nothing."""
    import tempfile

    for place in (Path(tempfile.gettempdir()), Path.cwd(), Path.home()):
        if filesystem_of(place) not in ("tmpfs", "ramfs") and os.access(place, os.W_OK):
            return place
    return Path(tempfile.gettempdir())


def filesystem_of(path: Path) -> str:
    """Return what kind of filesystem `path` lies on, such as "ext4"."""
    best, kind = "", ""
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, at, this, *_ = line.split(" ")
        if path.resolve().is_relative_to(at) and len(at) >= len(best):
            best, kind = at, this
    return kind


def version_of(port: int) -> str:
    """Return what a server says its version is."""
    lines = apache.four_letters(port, "srvr").splitlines()
    return lines[0].removeprefix("Zookeeper version: ").split("-")[0] if lines else "unknown"
