"""Starting and ending the processes of a local cluster: the keeper and the nodes, each a real process.

`up` runs them in the background and is idempotent: it starts what is missing, on the same data. `local` ties them to this
Python process by a pipe: when it ends, however it ends, they do.
"""

import contextlib
import os
import random
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from muskox.client.cluster import Cluster
from muskox.client.folder import LocalCluster, LocalFolder
from muskox.coordination import CHROOT, Session, layout, live_members, make_secret, parse_url, tls_from_environment
from muskox.errors import CallerError, Unavailable
from muskox.runtime import LIFELINE, KeeperCommand, ensure_keeper, is_being_started, start_detached, usable_cores
from muskox.store import ObjectBlobs

if TYPE_CHECKING:
    import subprocess

CORES_MIN = 4  # that a local node offers: its machine's are shared by all of them anyway, and small jobs should not wait
NODES_MAX = 64  # on one machine: each is a process, and so is each of its workers
KEEPER_PORTS = range(21_000, 31_000)
START_S_MAX = 60.0  # for all nodes to be members
LOOK_S = 0.05
STOP_S_MAX = 15.0  # for a process to end by itself, before it is killed
KEEPER_SESSION_TIMEOUT_S = 2.0  # our keeper allows less than Apache's default of two ticks: deaths show sooner
APACHE_SESSION_TIMEOUT_S = 4.0

OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that `down` ended."""

    name: str
    pid: int


def up(
    folder: Path,
    nodes: int = 3,
    zk: str | None = None,
    *,
    store: str | None = None,
    on_step: OnStep | None = None,
    lifeline: int | None = None,
    session_timeout_s: float | None = None,
) -> Cluster:
    """Start a cluster of `nodes` nodes in `folder`, or what is missing of the one there, and connect to it.

    Parameters
    ----------
    zk : ``zk://host:port[,...]/chroot`` of an Apache ZooKeeper; None starts our own keeper
    store : where a new cluster keeps everything, such as ``s3://bucket/prefix``; None means on its nodes, or as it does
    on_step : told each thing that is started
    lifeline : a descriptor at whose end of file the processes end

    Raises
    ------
    CallerError
        If the folder holds a cluster on another ZooKeeper or store, or the store refuses.
    Unavailable
        If the store does not answer: nothing is started then. If a process does not come up; its log says why.
    """
    if not 1 <= nodes <= NODES_MAX:
        raise CallerError(f"a local cluster has 1 to {NODES_MAX} nodes, not {nodes}")
    home = LocalFolder(folder)
    with home.locked():
        cluster = _found(home, nodes, zk, store, session_timeout_s)
        processes = _start_missing(home, cluster, on_step or (lambda _: None), lifeline)
        connected = Cluster(cluster.url, make_secret(home.secret_file), folder=home, tls=tls_from_environment())
        try:
            _await_members(connected.session, home, cluster.nodes, processes)
        except BaseException:  # bulkhead: an interrupt too must not leave half a cluster behind
            connected.close()
            for process in processes.values():
                process.terminate()
            raise
    return connected


def _start_missing(
    home: LocalFolder, cluster: LocalCluster, tell: OnStep, lifeline: int | None
) -> dict[str, "subprocess.Popen[bytes]"]:
    """Start the keeper and the nodes that do not live; return the nodes' processes by name."""
    processes = {}
    with _environment(lifeline):
        if cluster.has_keeper and home.keeper_pid() is None:
            tell("keeper")
            _start_keeper(home)
        for name in cluster.nodes:
            if home.node_pid(name) is None:
                tell(name)
                processes[name] = _start_node(home, cluster, name)
    return processes


@contextlib.contextmanager
def local(
    nodes: int = 3,
    *,
    dir: str | Path | None = None,  # noqa: A002
    zk: str | None = None,
    store: str | None = None,
    session_timeout_s: float | None = None,
) -> Iterator[Cluster]:
    """A cluster that ends with this block, or with this Python process however that ends.

    Parameters
    ----------
    nodes : how many node processes
    dir : where its data lies; None takes a temporary folder that goes with it
    zk : an Apache ZooKeeper to use in place of our own keeper
    store : an object store to keep everything in, such as ``s3://bucket/prefix``, in place of the nodes' disks

    Examples
    --------
    >>> import muskox as mx
    >>> with mx.local(nodes=3) as cluster:  # doctest: +SKIP
    ...     flights = cluster.put("flights", "flights.csv", shards=12, by="hash:tailnum")
    """
    with contextlib.ExitStack() as stack:
        if dir is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="muskox-", ignore_cleanup_errors=True)))
        else:
            folder = Path(dir)
        ours, theirs = _lifeline()
        stack.callback(os.close, theirs)
        stack.callback(os.close, ours)
        stack.callback(down, folder)  # in order, nodes before keeper; the lifeline is for when we cannot
        cluster = up(folder, nodes, zk, store=store, lifeline=theirs, session_timeout_s=session_timeout_s)
        stack.callback(cluster.close)
        yield cluster


def down(folder: Path) -> list[Ended]:
    """End the nodes and the keeper of `folder`; return those that lived."""
    home = LocalFolder(folder)
    cluster = home.find()
    ended: list[Ended] = []
    if cluster is None:
        return ended
    with home.locked():
        found = [(name, home.node_pid(name)) for name in cluster.nodes]
        living = [Ended(name, pid) for name, pid in found if pid is not None]
        _end(living)
        keeper = home.keeper_pid()  # after the nodes: they would start it again
        if keeper is not None:
            _end([Ended("keeper", keeper)])
            living.append(Ended("keeper", keeper))
    return living


def _end(processes: list[Ended]) -> None:
    """Ask them to end, and kill those that have not within `STOP_S_MAX` seconds."""
    handles = {}
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(process.pid)
            handles[handle] = process
            signal.pidfd_send_signal(handle, signal.SIGTERM)
    for handle in handles:
        if not select.select([handle], [], [], STOP_S_MAX)[0]:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], STOP_S_MAX)
        os.close(handle)


def _lifeline() -> tuple[int, int]:
    """Return (our end, theirs) of a pipe on which nothing is ever written: it ends when we do."""
    theirs, ours = os.pipe()
    return ours, theirs


@contextlib.contextmanager
def _environment(lifeline: int | None) -> Iterator[None]:
    """Let what is started inside know its lifeline; a background cluster must not inherit ours."""
    before = os.environ.pop(LIFELINE, None)
    if lifeline is not None:
        os.environ[LIFELINE] = str(lifeline)
    try:
        yield
    finally:
        os.environ.pop(LIFELINE, None)
        if before is not None:
            os.environ[LIFELINE] = before


def _found(home: LocalFolder, nodes: int, zk: str | None, store: str | None, session_timeout_s: float | None) -> LocalCluster:
    """Return the folder's cluster, founded if new; nodes beyond those there are added."""
    before = home.find()
    if before is not None and zk is not None and str(parse_url(zk)) != before.url:
        raise CallerError(f"the cluster in {home.path} is at {before.url}, not {zk}: choose another --dir")
    if before is not None and store is not None and store != before.store:
        have = before.store or "on its nodes"
        raise CallerError(f"the cluster in {home.path} keeps its data {have}, not in {store}: choose another --dir")
    kept_in = (store or "") if before is None else before.store
    if kept_in:
        ObjectBlobs(kept_in).check()
    home.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    make_secret(home.secret_file)
    if before is not None:
        url, has_keeper, timeout_s = before.url, before.has_keeper, before.session_timeout_s
        nodes = max(nodes, len(before.nodes))
    else:
        has_keeper = zk is None
        url = str(parse_url(zk)) if zk else _write_keeper_file(home)
        timeout_s = KEEPER_SESSION_TIMEOUT_S if has_keeper else APACHE_SESSION_TIMEOUT_S
    cluster = LocalCluster(
        url=url,
        nodes=[f"node-{number}" for number in range(1, nodes + 1)],
        has_keeper=has_keeper,
        session_timeout_s=session_timeout_s or timeout_s,
        store=kept_in,
    )
    home.keep(cluster)
    return cluster


def _write_keeper_file(home: LocalFolder) -> str:
    """Say how the keeper of this folder is started, on a port that is free now and its own from now on; return its URL."""
    port = _free_port()
    data_dir = home.path / "keeper"
    command = [sys.executable, "-m", "muskox.keeper", "--data-dir", str(data_dir), "--client-port", str(port)]
    command += ["--min-session-timeout-ms", "1000", "--tick-ms", "500", "--max-session-timeout-ms", "60000"]
    command += ["--max-client-connections", "0"]  # every node, worker and client of the cluster has this address
    KeeperCommand(command, str(data_dir), "127.0.0.1", port, str(home.log_file("keeper"))).write(home.keeper_file)
    return f"zk://127.0.0.1:{port}{CHROOT}"


def _free_port() -> int:
    """Return a free port below those that outgoing connections take: one of them might hold it when the keeper comes back."""
    for port in random.sample(KEEPER_PORTS, len(KEEPER_PORTS)):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise Unavailable(f"no port of {KEEPER_PORTS.start} to {KEEPER_PORTS.stop - 1} is free on 127.0.0.1")


def _start_keeper(home: LocalFolder) -> None:
    keeper = KeeperCommand.read(home.keeper_file)
    while is_being_started(keeper):  # by a node that saw it die
        time.sleep(LOOK_S)
    if not ensure_keeper(keeper):
        raise Unavailable(f"the keeper did not start: {last_line(Path(keeper.log_file))}")


def _start_node(home: LocalFolder, cluster: LocalCluster, name: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "muskox", "node", "run", "--zk", cluster.url, "--secret-file", str(home.secret_file)]
    command += ["--name", name, "--dir", str(home.node(name)), "--session-timeout", str(cluster.session_timeout_s)]
    command += ["--metrics-port", "0"]
    command += ["--cores", str(max(usable_cores(), CORES_MIN))]
    if cluster.store:
        command += ["--store", cluster.store]
    if cluster.has_keeper:
        command += ["--keeper-file", str(home.keeper_file)]
    return start_detached(command, home.log_file(name))


def _await_members(
    session: Session, home: LocalFolder, names: list[str], processes: dict[str, "subprocess.Popen[bytes]"]
) -> None:
    """Wait until every node is a member; a process that ends instead is an error with its last word."""
    changed = threading.Event()

    def look(_: object) -> None:
        changed.set()

    def is_up(name: str, members: dict[str, layout.MemberRecord]) -> bool:
        """A dead node is a member until its session ends: whom we started must be there itself."""
        return name in members and (name not in processes or members[name].pid == processes[name].pid)

    waited_s = 0.0
    while missing := [name for name in names if not is_up(name, live_members(session, look))]:
        for name, process in processes.items():
            if process.poll() is not None:
                raise Unavailable(f"node {name} did not start: {last_line(home.log_file(name))}")
        if waited_s > START_S_MAX:
            raise Unavailable(f"{', '.join(missing)} did not join within {START_S_MAX:g} s: see {home.logs}")
        changed.wait(0.2)
        waited_s += 0.2
        changed.clear()


def last_line(path: Path) -> str:
    """Return the last line of a log, for an error that explains itself."""
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1] if lines else f"{path} is empty"
