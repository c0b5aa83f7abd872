"""What the shell tells the machine, and what the machine orders from the shell.

Events are past tense, actions are orders. Connections are known by a number that the shell gives out and never reuses.
"""

from typing import NamedTuple

from muskox.keeper.wire.records import Id


class Instant(NamedTuple):
    """The time of an event: the wall clock dates transactions, the steady clock expires sessions."""

    wall_ms: int
    steady_ms: int


class ConnectionOpened(NamedTuple):
    """`identities` are those that its TLS certificate proves."""

    connection: int
    address: str
    identities: tuple[Id, ...] = ()


class FramesArrived(NamedTuple):
    connection: int
    frames: list[bytes]


class ConnectionLost(NamedTuple):
    connection: int


class OutputDrained(NamedTuple):
    """What was sent to this connection has left: it may be answered again."""

    connection: int


class TransactionsSynced(NamedTuple):
    """All transactions up to this one are on disk and cannot be lost."""

    zxid: int


class TimePassed(NamedTuple):
    pass


Event = ConnectionOpened | FramesArrived | ConnectionLost | OutputDrained | TransactionsSynced | TimePassed


class Send(NamedTuple):
    """Send `data`, which is so many `frames`."""

    connection: int
    data: bytes
    frames: int = 1


class AppendTransactions(NamedTuple):
    """Write these entries to the log, in this order, and answer with TransactionsSynced once they are on disk."""

    zxid_first: int
    zxid_last: int
    entries: list[bytes]


class AwaitDrain(NamedTuple):
    """Answer with OutputDrained once most of this connection's output has left."""

    connection: int


class PauseReading(NamedTuple):
    """Read nothing from this connection until told to resume."""

    connection: int


class ResumeReading(NamedTuple):
    connection: int


class CloseConnection(NamedTuple):
    """Send what was ordered before, then close."""

    connection: int


Action = Send | AppendTransactions | AwaitDrain | PauseReading | ResumeReading | CloseConnection
