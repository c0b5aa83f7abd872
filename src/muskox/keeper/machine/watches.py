"""One-shot watches: who wants to hear of what, by connection number.

A watch is left on a znode's data (by getData and exists) or on its children, fires once, and goes with its connection.
"""

from collections.abc import Iterator
from enum import Enum

from muskox.keeper.wire.jute import encode
from muskox.keeper.wire.opcodes import STATE_CONNECTED, XID_NOTIFICATION, EventType
from muskox.keeper.wire.records import ReplyHeader, WatcherEvent


class Kind(Enum):
    DATA = "data"
    CHILDREN = "children"


class Watches:
    """Watches by path, and by connection so that they go with it."""

    def __init__(self) -> None:
        self.by_path: dict[Kind, dict[str, dict[int, None]]] = {kind: {} for kind in Kind}
        self.by_connection: dict[int, dict[tuple[Kind, str], None]] = {}

    @property
    def is_empty(self) -> bool:
        return not self.by_connection

    @property
    def count(self) -> int:
        return sum(len(watches) for watches in self.by_connection.values())

    def listing(self) -> Iterator[tuple[str, int]]:
        """Yield the path and the connection of each watch on data."""
        for path, watching in self.by_path[Kind.DATA].items():
            for connection in watching:
                yield path, connection

    def add(self, kind: Kind, path: str, connection: int) -> None:
        self.by_path[kind].setdefault(path, {})[connection] = None
        self.by_connection.setdefault(connection, {})[kind, path] = None

    def remove_connection(self, connection: int) -> None:
        for kind, path in self.by_connection.pop(connection, ()):
            watching = self.by_path[kind][path]
            del watching[connection]
            if not watching:
                del self.by_path[kind][path]

    def take(self, path: str, event: EventType) -> dict[int, None]:
        """Return the connections to tell of `event` at `path`, each once; their watches are gone then."""
        if not self.by_connection:
            return {}
        match event:
            case EventType.CREATED | EventType.DATA_CHANGED:
                return self.take_kind(Kind.DATA, path)
            case EventType.CHILDREN_CHANGED:
                return self.take_kind(Kind.CHILDREN, path)
            case EventType.DELETED:
                return self.take_kind(Kind.DATA, path) | self.take_kind(Kind.CHILDREN, path)
            case EventType.NONE:
                return {}

    def take_kind(self, kind: Kind, path: str) -> dict[int, None]:
        told = self.by_path[kind].pop(path, None)
        if told is None:
            return {}
        for connection in told:
            del self.by_connection[connection][kind, path]
        return told


def notification(path: str, event: EventType) -> bytes:
    """Return the frame body that tells of `event` at `path`."""
    return encode(ReplyHeader(XID_NOTIFICATION, -1, 0)) + encode(WatcherEvent(event, STATE_CONNECTED, path))
