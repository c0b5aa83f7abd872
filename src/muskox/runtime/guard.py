"""Watching over the embedded keeper of a local cluster: whichever node takes the file lock starts it again when it is dead.

The keeper itself holds a lock on its data directory as long as it lives; a lock that can be taken is the proof of its death.
"""

import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from muskox.errors import Corrupt
from muskox.runtime.processes import start_detached

log = logging.getLogger(__name__)

LOOK_S = 0.1  # between looks, only while the session is broken
LAST_WRITE_S_MAX = 1.0  # a keeper that was killed holds its lock until its log has finished a write
START_S_MAX = 15.0  # for a keeper to serve; after that somebody else may try
PORT_S = 1.0  # for a connection to it


@dataclass(frozen=True, slots=True)
class KeeperCommand:
    """How to start the keeper of this folder; written by whoever founded the cluster."""

    command: list[str]
    data_dir: str
    host: str
    port: int
    log_file: str

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "KeeperCommand":
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise Corrupt(f"{path} is not what muskox wrote: {error}") from error

    @property
    def lock_file(self) -> Path:
        return Path(self.data_dir) / "keeper.lock"

    @property
    def guard_file(self) -> Path:
        """Who holds its lock looks after the keeper."""
        return Path(self.data_dir) / "guard.lock"


def is_being_started(keeper: KeeperCommand) -> bool:
    """Return whether somebody looks after the keeper just now."""
    with try_lock(keeper.guard_file, is_look=True) as is_free:
        return not is_free


@contextmanager
def try_lock(path: Path, *, is_look: bool = False) -> Iterator[bool]:
    """Hold the lock of `path` inside, if it is free; yields whether it was. A mere look shares it with other lookers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if is_look else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def is_serving(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), PORT_S):
            return True
    except OSError:
        return False


def ensure_keeper(keeper: KeeperCommand) -> bool:
    """Start the keeper if it is dead and nobody else is starting it; return whether one serves."""
    with try_lock(keeper.guard_file) as is_ours:
        if not is_ours:
            return is_alive(keeper) and is_serving(keeper.host, keeper.port)
        deadline = time.monotonic() + LAST_WRITE_S_MAX
        while is_alive(keeper):
            if is_serving(keeper.host, keeper.port):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_S)
        log.info("starting the keeper of %s", keeper.data_dir)
        return _start(keeper)


def is_alive(keeper: KeeperCommand) -> bool:
    """Return whether a process holds the keeper's lock."""
    with try_lock(keeper.lock_file, is_look=True) as is_dead:
        return not is_dead


def _start(keeper: KeeperCommand) -> bool:
    process = start_detached(keeper.command, Path(keeper.log_file))
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline and process.poll() is None:
        if is_alive(keeper) and is_serving(keeper.host, keeper.port):
            return True
        time.sleep(LOOK_S)
    return False


class KeeperGuard(threading.Thread):
    """Looks after the keeper while the session is not connected."""

    def __init__(self, keeper_file: Path) -> None:
        super().__init__(name="keeper guard", daemon=True)
        self._keeper = KeeperCommand.read(keeper_file)
        self._broken = threading.Event()
        self._broken.set()  # until the first connection: nobody tells while that fails
        self._is_over = False

    def end(self) -> None:
        """Look after nothing any more: the node itself ends, and its session with it."""
        self._is_over = True

    def on_state(self, state: str) -> None:
        if state == "CONNECTED":
            self._broken.clear()
        else:
            self._broken.set()

    def run(self) -> None:
        while True:
            self._broken.wait()
            if self._is_over:
                return
            try:
                ensure_keeper(self._keeper)
            except OSError as error:
                log.warning("the keeper cannot be started: %s", error)
            time.sleep(LOOK_S)
