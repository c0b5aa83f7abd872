"""The folder of a local cluster: what lies where in it, and which of its processes live.

DIR/secret, DIR/cluster.json (which ZooKeeper, which nodes), DIR/keeper.json and DIR/keeper/ (the embedded keeper),
DIR/nodes/NAME/, DIR/logs/NAME.log. A process lives as long as the lock in its own folder is held; its pid is written there.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from muskox.errors import CallerError, Corrupt, Unavailable
from muskox.runtime import KeeperCommand, try_lock

DEFAULT = "~/.muskox"


class LocalCluster(msgspec.Struct, frozen=True, kw_only=True):
    """What `up` founded here. `session_timeout_s` is what its nodes ask of ZooKeeper; without a `store` the nodes keep all."""

    url: str
    nodes: list[str]
    has_keeper: bool
    session_timeout_s: float
    store: str = ""


class LocalFolder:
    """See the head of this file."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()

    @property
    def secret_file(self) -> Path:
        return self.path / "secret"

    @property
    def keeper_file(self) -> Path:
        return self.path / "keeper.json"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def node(self, name: str) -> Path:
        return self.path / "nodes" / name

    def log_file(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def find(self) -> LocalCluster | None:
        """Return the cluster of this folder, or None if none was founded here."""
        path = self.path / "cluster.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=LocalCluster)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise Corrupt(f"{path} is not what muskox wrote: {error}") from error

    def get(self) -> LocalCluster:
        """Return the cluster of this folder; CallerError if there is none."""
        found = self.find()
        if found is None:
            raise CallerError(f"there is no cluster in {self.path}: start one with `muskox up`, or name one with --zk")
        return found

    def get_living(self) -> LocalCluster:
        """Return the cluster of this folder; Unavailable if nothing of it lives: no node would start its keeper again."""
        cluster = self.get()
        if cluster.has_keeper and self.keeper_pid() is None and not any(self.node_pid(name) for name in cluster.nodes):
            raise Unavailable(f"the cluster in {self.path} is down: `muskox up` starts it again, on the same data")
        return cluster

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder inside, waiting for it: only one `up` or `down` works in it at a time."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def keep(self, cluster: LocalCluster) -> None:
        draft = self.path / "cluster.json.new"
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(cluster)) + b"\n")
        draft.replace(self.path / "cluster.json")

    def keeper_pid(self) -> int | None:
        """Return the pid of the live embedded keeper, or None."""
        if not self.keeper_file.exists():
            return None
        return live_pid(KeeperCommand.read(self.keeper_file).lock_file)

    def node_pid(self, name: str) -> int | None:
        """Return the pid of the live node, or None."""
        return live_pid(self.node(name) / "lock")


def live_pid(lock_file: Path) -> int | None:
    """Return the pid written in `lock_file` if a process holds its lock."""
    if not lock_file.exists():
        return None
    with try_lock(lock_file, is_look=True) as is_dead:
        if is_dead:
            return None
    text = lock_file.read_text().strip()
    return int(text) if text.isdigit() else None


def default_folder() -> Path:
    """Return the folder that MUSKOX_DIR names, else ~/.muskox."""
    return Path(os.environ.get("MUSKOX_DIR") or DEFAULT).expanduser()
