"""What a server can tell of itself when it is asked: by four letters, by HTTP, by Prometheus.

It reads the machine and the figures and changes neither. Nothing here is kept: it costs what it looks at, when it is asked.
"""

import getpass
import os
import platform
import pwd
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from struct import Struct
from typing import NamedTuple, Protocol

from muskox.keeper.machine.connection import Connection, Phase
from muskox.keeper.machine.machine import Machine
from muskox.keeper.machine.pipeline import Run
from muskox.keeper.server.figures import Figures, Traffic
from muskox.keeper.server.options import Options

VERSION = "3.8.0-muskox, built on muskox"  # the release whose behaviour this is, for clients that ask
NOT_SERVING = "This ZooKeeper instance is not currently serving requests"
CONNECTION_BUCKET_MS = 10_000  # Apache rounds up to it when it tells until when it keeps a connection
GREETING_MS_MAX = 10_000  # Apache's patience with a connection that opens no session
NODES_MEASURED_MAX = 10_000
READS, WRITES = 1, 4  # what Java's selector waits for, as Apache shows it in brackets
HEAD = Struct(">ii")

# Apache's abbreviations for the last operation of a connection.
OPERATIONS = {
    -11: "CLOS",
    -10: "SESS",
    1: "CREA",
    2: "DELE",
    3: "EXIS",
    4: "GETD",
    5: "SETD",
    6: "GETA",
    7: "SETA",
    8: "GETC",
    9: "SYNC",
    11: "PING",
    12: "GETC",
    13: "CHEC",
    14: "MULT",
    15: "CREA",
    17: "CHKW",
    18: "REMW",
    19: "CREA",
    21: "CREA",
    22: "MLTR",
    101: "SETW",
    103: "GETE",
    104: "GETACN",
    105: "STW2",
    106: "ADDW",
    107: "HOMI",
}


class ConnectionStatus(NamedTuple):
    """What is told of one connection; times are in milliseconds, -1 stands for none."""

    address: str  # as in "127.0.0.1:2181"
    is_secure: bool
    interest: int
    queued: int
    received: int
    sent: int
    session_id: int
    operation: str
    established_ms: int
    timeout_ms: int
    cxid: int
    zxid: int
    answered_ms: int
    latency_ms: int
    latency_ms_min: int
    latency_ms_mean: int
    latency_ms_max: int


class Client(Protocol):
    """What is known of a socket alone."""

    bytes_received: int


class Status:
    """The view of one server. `client_port` and `secure_port` are those that it listens at, -1 for none."""

    def __init__(self, options: Options, machine: Machine, figures: Figures, clients: Mapping[int, Client]) -> None:
        self.clients = clients
        self.options = options
        self.machine = machine
        self.figures = figures
        self.is_serving = True
        self.started_in = Path.cwd()
        self.client_port = -1 if options.client_port is None else options.client_port
        self.secure_port = -1 if options.secure_port is None else options.secure_port

    # Connections

    def connections(self, asker: int = 0) -> list[ConnectionStatus]:
        """Return what is told of each connection; Apache reads no more from the one that asks by four letters."""
        return [self.connection(traffic, traffic.number == asker) for traffic in self.figures.traffics.values()]

    def connection(self, traffic: Traffic, asks: bool) -> ConnectionStatus:
        known = self.machine.connections.by_number.get(traffic.number)
        latency = traffic.latency
        kind = HEAD.unpack(traffic.head)[1] if len(traffic.head) == HEAD.size else 0
        return ConnectionStatus(
            address=f"{java_host(traffic.host)}:{traffic.port}",
            is_secure=traffic.is_secure,
            interest=0 if asks or known is None else interest_of(known),
            queued=0 if known is None else queued(known),
            received=traffic.received,
            sent=traffic.sent,
            session_id=0 if known is None else known.session_id,
            operation=OPERATIONS.get(kind, "NA"),
            established_ms=traffic.established_ms,
            timeout_ms=0 if known is None else known.timeout_ms,
            cxid=HEAD.unpack(traffic.cxid_head)[0] if len(traffic.cxid_head) == HEAD.size else -1,
            zxid=traffic.zxid,
            answered_ms=traffic.answered_ms,
            latency_ms=int(latency.last),
            latency_ms_min=int(latency.min),
            latency_ms_mean=int(latency.mean),
            latency_ms_max=int(latency.max),
        )

    def reset(self) -> None:
        """Begin to count anew; connections go on."""
        self.figures.reset()
        self.figures.expired_before = self.machine.reception.expired
        for client in self.clients.values():
            client.bytes_received = 0

    def reset_connections(self) -> None:
        for traffic in self.figures.traffics.values():
            traffic.reset()

    # Sessions

    def sessions_due(self) -> dict[int, list[int]]:
        """Return the sessions by when they expire, in milliseconds of the steady clock."""
        buckets = self.machine.reception.sessions.buckets
        return {due: list(buckets[due]) for due in sorted(buckets)}

    def connections_due(self) -> dict[int, list[tuple[str, int]]]:
        """Return address and session of the connections by when they are given up if nothing comes."""
        due_ms = self.machine.reception.sessions.due_ms
        now_ms = steady_ms()
        due: dict[int, list[tuple[str, int]]] = {}
        for each in self.connections():
            until = due_ms.get(each.session_id, now_ms + GREETING_MS_MAX)
            bucket = (until // CONNECTION_BUCKET_MS + 1) * CONNECTION_BUCKET_MS
            due.setdefault(bucket, []).append((each.address, each.session_id))
        return {until: due[until] for until in sorted(due)}

    def ephemerals(self) -> dict[int, list[str]]:
        return {session: list(paths) for session, paths in self.machine.database.overlay.ephemerals.items()}

    @property
    def session_count(self) -> int:
        return len(self.machine.database.timeouts_ms)

    # Watches: like Apache's, these are the ones on data, and persistent ones, which are on data and children alike.

    def watches_by_session(self) -> dict[int, list[str]]:
        """Return the watched paths of each session that ever left a watch and is connected still."""
        by_number = self.machine.connections.by_number
        modes = self.machine.watches.data.modes
        return {by_number[number].session_id: list(paths) for number, paths in modes.items() if number in by_number}

    def watches_by_path(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for session, paths in self.watches_by_session().items():
            for path in paths:
                found.setdefault(path, []).append(session)
        return found

    def watch_summary(self) -> tuple[int, int, int]:
        """Return how many connections watch how many paths, and the number of watches."""
        watches = self.machine.watches
        return watches.connection_count, watches.path_count, sum(map(len, watches.data.modes.values()))

    # Latency of all requests, reads and writes, in milliseconds

    @property
    def latency_ms_min(self) -> int:
        parts = [part.min for part in (self.figures.reads, self.figures.updates) if part.count]
        return int(min(parts, default=0))

    @property
    def latency_ms_mean(self) -> float:
        reads, updates = self.figures.reads, self.figures.updates
        count = reads.count + updates.count
        return round((reads.total + updates.total) / count, 4) if count else 0.0

    @property
    def latency_ms_max(self) -> int:
        return int(max(self.figures.reads.max, self.figures.updates.max))

    # The rest

    @property
    def uptime_ms(self) -> int:
        return int((time.monotonic() - self.figures.since) * 1000)

    @property
    def zxid(self) -> int:
        return self.machine.database.zxid

    @property
    def node_count(self) -> int:
        return len(self.machine.database.tree.nodes) + 1  # Apache counts the root twice, under its empty path, too

    @property
    def bytes_received(self) -> int:
        return self.figures.bytes_received + sum(client.bytes_received for client in self.clients.values())

    @property
    def data_size(self) -> int:
        """The length of all paths and data.

        Counted, up to so many znodes; of more, every n-th is looked at. To look at a million takes 0.2 s, and to keep the sum
        with every write, as Apache does, 0.15 us of each.
        """
        nodes = self.machine.database.tree.nodes
        step = -(-len(nodes) // NODES_MEASURED_MAX)
        measured = [len(path) + len(node.data or b"") for path, node in islice(nodes.items(), 0, None, step)]
        return round(sum(measured) / len(measured) * len(nodes))

    @property
    def ephemeral_count(self) -> int:
        return sum(map(len, self.machine.database.overlay.ephemerals.values()))

    @property
    def outstanding(self) -> int:
        return self.machine.pipeline.outstanding

    @property
    def data_folder(self) -> Path:
        return self.started_in / self.options.data_dir / "version-2"

    @property
    def log_folder(self) -> Path:
        return self.started_in / (self.options.log_dir or self.options.data_dir) / "version-2"

    def environment(self) -> dict[str, str]:
        """Return what `envi` tells, under the names of Apache's where there are any."""
        system = os.uname()
        return {
            "zookeeper.version": VERSION,
            "host.name": system.nodename,
            "python.version": platform.python_version(),
            "python.implementation": platform.python_implementation(),
            "os.name": system.sysname,
            "os.arch": system.machine,
            "os.version": system.release,
            "user.name": user_name(),
            "user.home": user_home(),
            "user.dir": str(self.started_in),
            "data.dir": str(self.options.data_dir),
            "pid": str(os.getpid()),
        }


def interest_of(connection: Connection) -> int:
    return (0 if connection.is_paused else READS) | (WRITES if connection.is_blocked else 0)


def queued(connection: Connection) -> int:
    """Return how many requests of a connection are not answered yet."""
    waiting = sum(len(item.replies) - item.left if isinstance(item, Run) else 1 for item in connection.waiting)
    return waiting + len(connection.backlog) + (connection.phase is Phase.OPENING)


def java_host(host: str) -> str:
    """Return a numeric address as Java writes it: IPv6 in brackets and with all its zeros."""
    if ":" not in host:
        return host
    import socket

    scope = host.partition("%")
    packed = socket.inet_pton(socket.AF_INET6, scope[0])
    return "[" + ":".join(f"{word:x}" for word in Struct(">8H").unpack(packed)) + scope[1] + scope[2] + "]"


def steady_ms() -> int:
    return int(time.monotonic() * 1000)


def user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return str(os.getuid())


def user_home() -> str:
    """Return the home that the system knows, as Java does; HOME may say another."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "?"


def folder_bytes(folder: Path) -> int:
    """Return the size of all files in a folder; one that goes meanwhile counts nothing."""
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return size
