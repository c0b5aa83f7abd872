"""One client connection, as far as the machine must know it: its phase, its session and what waits for an answer."""

from collections import deque
from enum import Enum
from typing import NamedTuple

from muskox.keeper.machine.tree import Change
from muskox.keeper.wire.records import Id
from muskox.keeper.wire.transactions import Txn, TxnHeader


class Phase(Enum):
    GREETING = "greeting"  # the connect request has not come
    OPENING = "opening"  # its session is being made durable
    OPEN = "open"
    CLOSING = "closing"  # nothing more is read


class ReadWaiting(NamedTuple):
    """A request that changes nothing and waits for the writes before it."""

    xid: int
    type: int
    frame: bytes

    @property
    def size(self) -> int:
        return len(self.frame)


class WriteInFlight:
    """A transaction on its way to the disk, with the reply that its connection gets once it is there."""

    __slots__ = ("changes", "connection", "digest", "header", "is_applied", "reply", "size", "txn")

    def __init__(self, header: TxnHeader, txn: Txn, changes: list[Change], connection: int, reply: bytes, digest: int) -> None:
        self.header = header
        self.txn = txn
        self.changes = changes
        self.connection = connection  # 0 if nobody waits for the reply
        self.reply = reply
        self.digest = digest  # of the tree once this is applied
        self.size = 0  # of the request
        self.is_applied = False


class Connection:
    """A connection: replies leave in the order in which its requests came."""

    __slots__ = (
        "backlog",
        "identities",
        "is_blocked",
        "is_paused",
        "number",
        "phase",
        "session_id",
        "timeout_ms",
        "waiting",
        "waiting_bytes",
    )

    def __init__(self, number: int, address: str) -> None:
        self.number = number
        self.phase = Phase.GREETING
        self.session_id = 0
        self.timeout_ms = 0
        self.identities: tuple[Id, ...] = (Id("ip", address),)
        self.waiting: deque[ReadWaiting | WriteInFlight] = deque()
        self.waiting_bytes = 0
        self.backlog: list[bytes] = []  # frames that came while the session was being opened
        self.is_blocked = False  # too much was sent that has not left yet
        self.is_paused = False  # the shell was told to read nothing more

    def wait(self, item: ReadWaiting | WriteInFlight) -> None:
        """Put a request in line."""
        self.waiting.append(item)
        self.waiting_bytes += item.size

    def next_waiting(self) -> None:
        """Take the first out of the line: it has been answered."""
        self.waiting_bytes -= self.waiting.popleft().size

    def prove(self, identity: Id) -> None:
        if identity not in self.identities:
            self.identities = (*self.identities, identity)
