"""The machine in a world of its own: a clock that is moved by hand, a disk that syncs when it is told to."""

from typing import Any

from raw import OPEN, Reply, connect_request, request

from muskox.keeper.machine.database import Database
from muskox.keeper.machine.events import (
    Action,
    AppendTransactions,
    CloseConnection,
    ConnectionLost,
    ConnectionOpened,
    Event,
    FramesArrived,
    Instant,
    PauseReading,
    ResumeReading,
    Send,
    TimePassed,
    TransactionsSynced,
)
from muskox.keeper.machine.machine import Machine
from muskox.keeper.machine.settings import Settings
from muskox.keeper.machine.tree import new_tree
from muskox.keeper.wire.frames import FrameSplitter
from muskox.keeper.wire.jute import codec
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import (
    REPLY_HEADER,
    ConnectResponse,
    CreateRequest,
    PathVersion,
    PathWatch,
    SetDataRequest,
)
from muskox.keeper.wire.transactions import Entry, decode_entry

WALL_MS = 1_700_000_000_000
SETTINGS = Settings(timeout_ms_min=1_000, timeout_ms_max=40_000, bucket_ms=100)


class World:
    """A machine, and what has come out of it. With `syncs` every transaction is durable at once."""

    def __init__(
        self,
        database: Database | None = None,
        syncs: bool = True,
        session_id_first: int = 1,
        settings: Settings = SETTINGS,
    ) -> None:
        self.steady_ms = 0
        self.syncs = syncs
        self.machine = Machine(database or Database(new_tree(), {}, 0), settings, session_id_first, self.now)
        self.sent: dict[int, list[bytes]] = {}
        self.entries: list[bytes] = []
        self.orders: list[Action] = []
        self.closed: list[int] = []
        self.xid = 0
        self.sessions: dict[int, ConnectResponse] = {}

    @property
    def now(self) -> Instant:
        return Instant(WALL_MS + self.steady_ms, self.steady_ms)

    def tell(self, event: Event) -> list[Action]:
        actions = self.machine.handle(event, self.now)
        for action in actions:
            match action:
                case Send(number, data):
                    self.sent.setdefault(number, []).extend(FrameSplitter(1 << 30).feed(data))
                case AppendTransactions(_, _, entries):
                    self.entries.extend(entries)
                case CloseConnection(number):
                    self.closed.append(number)
                case _:
                    self.orders.append(action)
        if self.syncs and any(isinstance(action, AppendTransactions) for action in actions):
            self.sync()
        return actions

    def sync(self, zxid: int | None = None) -> None:
        self.tell(TransactionsSynced(self.machine.pipeline.zxid if zxid is None else zxid))

    def wait(self, ms: int) -> None:
        """Let time pass a bucket at a step, as it does for a server that runs."""
        end_ms = self.steady_ms + ms
        while self.steady_ms < end_ms:
            self.steady_ms = min(self.steady_ms + SETTINGS.bucket_ms, end_ms)
            self.tell(TimePassed())

    def stand_still(self, ms: int) -> None:
        """Let time pass unnoticed, as for a server that is stopped."""
        self.steady_ms += ms
        self.tell(TimePassed())

    def open(self, number: int, **how: Any) -> None:
        """Open a connection and ask for a session."""
        self.tell(ConnectionOpened(number, "127.0.0.1", how.pop("identities", ())))
        self.tell(FramesArrived(number, [connect_request(**how)[4:]]))
        if self.syncs and self.sent.get(number):
            self.sessions[number] = codec(ConnectResponse).decode(self.sent[number].pop(0))

    def lose(self, number: int) -> None:
        self.tell(ConnectionLost(number))

    def put(self, number: int, kind: int, record: tuple[Any, ...] | bytes = b"") -> None:
        """Send a request without looking at answers."""
        self.xid += 1
        self.tell(FramesArrived(number, [request(self.xid, kind, record)[4:]]))

    def take(self, number: int) -> list[Reply]:
        """Return what was sent to a connection since the last time."""
        replies = []
        for data in self.sent.pop(number, []):
            header, at = REPLY_HEADER.decode_from(data)
            replies.append(Reply(*header, data[at:]))
        return replies

    def ask(self, number: int, kind: int, record: tuple[Any, ...] | bytes = b"") -> list[Reply]:
        self.put(number, kind, record)
        return self.take(number)

    def create(self, number: int, path: str, data: bytes = b"", flags: int = 0) -> int:
        return self.ask(number, OpCode.CREATE, CreateRequest(path, data, OPEN, flags))[-1].err

    def set(self, number: int, path: str, data: bytes) -> int:
        return self.ask(number, OpCode.SET_DATA, SetDataRequest(path, data, -1))[-1].err

    def get(self, number: int, path: str, watch: bool = False) -> Reply:
        return self.ask(number, OpCode.GET_DATA, PathWatch(path, watch))[-1]

    def exists(self, number: int, path: str, watch: bool = False) -> Reply:
        return self.ask(number, OpCode.EXISTS, PathWatch(path, watch))[-1]

    def delete(self, number: int, path: str) -> int:
        return self.ask(number, OpCode.DELETE, PathVersion(path, -1))[-1].err

    def log(self) -> list[Entry]:
        return [decode_entry(entry) for entry in self.entries]

    @property
    def is_paused(self) -> bool:
        """Whether the last word on reading was to stop."""
        words = [order for order in self.orders if isinstance(order, PauseReading | ResumeReading)]
        return bool(words) and isinstance(words[-1], PauseReading)


def replayed(entries: list[Entry]) -> Database:
    """Return the database that the log makes of a new tree."""
    database = Database(new_tree(), {}, 0)
    for entry in entries:
        assert database.replay(entry), entry
    return database
