"""One client connection, as far as the machine must know it: its phase, its session and what waits for an answer."""

from collections import deque
from enum import Enum
from typing import NamedTuple

from muskox.keeper.machine.acl import ALWAYS_KNOWN
from muskox.keeper.machine.identities import with_identity
from muskox.keeper.machine.pipeline import Run
from muskox.keeper.wire.records import Id


class Phase(Enum):
    GREETING = "greeting"  # the connect request has not come
    OPENING = "opening"  # its session is being made durable
    OPEN = "open"
    CLOSING = "closing"  # nothing more is read


class ReadWaiting(NamedTuple):
    """A request that changes nothing and waits for the writes before it; who asks is judged by what was proved when it came."""

    xid: int
    type: int
    frame: bytes
    identities: tuple[Id, ...]

    @property
    def size(self) -> int:
        return len(self.frame)


class Barrier(NamedTuple):
    """A sync, put in line until writes of others that were under way when it came are applied."""

    run: Run
    size: int = 0


class Connection:
    """A connection: replies leave in the order in which its requests came."""

    __slots__ = (
        "backlog",
        "identities",
        "is_blocked",
        "is_paused",
        "known_schemes",
        "must_prove",
        "number",
        "phase",
        "session_id",
        "timeout_ms",
        "waiting",
        "waiting_bytes",
    )

    def __init__(self, number: int, address: str, identities: tuple[Id, ...] = ()) -> None:
        self.number = number
        self.phase = Phase.GREETING
        self.session_id = 0
        self.timeout_ms = 0
        self.identities: tuple[Id, ...] = (Id("ip", address),)
        for identity in identities:
            self.prove(identity)
        self.known_schemes = ALWAYS_KNOWN  # what the server takes in ACLs
        self.must_prove = False  # nothing but proofs of identity is answered
        self.waiting: deque[ReadWaiting | Run | Barrier] = deque()
        self.waiting_bytes = 0
        self.backlog: list[bytes] = []  # frames that came while the session was being opened
        self.is_blocked = False  # too much was sent that has not left yet
        self.is_paused = False  # the shell was told to read nothing more

    def wait(self, item: ReadWaiting | Run | Barrier) -> None:
        """Put a request in line."""
        self.waiting.append(item)
        self.waiting_bytes += item.size

    def wait_for(self, run: Run) -> None:
        """Put others' writes in line, so that what follows is answered after they are applied."""
        self.waiting.append(Barrier(run))
        run.barriers[self.number] = None

    def next_waiting(self) -> None:
        """Take the first out of the line: it has been answered."""
        self.waiting_bytes -= self.waiting.popleft().size

    def prove(self, identity: Id) -> bool:
        """Take note of who is there; False if it has proved to be too many."""
        more = with_identity(self.identities, identity)
        self.identities = more or self.identities
        return more is not None
