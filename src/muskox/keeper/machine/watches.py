"""Watches: who wants to hear of what, by connection number; they go with their connection.

It owns two tables, as Apache does: what happens to a znode itself, and what happens to its children. A read leaves a watch in
one of them, which fires once; addWatch leaves one in both, which stays. A connection has one watch on a path in each table, of
the mode that it asked for last. So a read that watches turns a persistent watch in its table into one that fires once:
Apache 3.8 does that, and its documents do not say so. A recursive watch hears of all that lies below its path, too, but not of
lists of children that change.
"""

from collections.abc import Iterator
from struct import Struct

from muskox.keeper.wire.opcodes import STATE_CONNECTED, XID_NOTIFICATION, EventType, WatchesOf, WatchMode

STANDARD = int(WatchMode.STANDARD)
RECURSIVE = int(WatchMode.RECURSIVE)
DELETED, CHILDREN_CHANGED = EventType.DELETED, EventType.CHILDREN_CHANGED

NOTIFICATION = Struct(">iiqiiii")  # length, xid, zxid, code, event, state and the length of the path


class Table:
    """The watches of one kind. Each takes about 150 bytes and its path, because clients may leave a million of them."""

    def __init__(self) -> None:
        self.modes: dict[int, dict[str, int]] = {}  # by connection and path; nothing is left out when a watch has fired
        self.near: dict[str, int | dict[int, None]] = {}  # who watches just this path: one connection, or several
        self.far: dict[str, dict[int, None]] = {}  # who watches this path and all below it

    def add(self, path: str, connection: int, mode: int) -> None:
        modes = self.modes.get(connection)
        if modes is None:
            modes = self.modes[connection] = {}
        before = modes.get(path)
        modes[path] = mode
        if before is not None:
            if (before == RECURSIVE) == (mode == RECURSIVE):
                return
            self.forget(path, connection, before)
        if mode == RECURSIVE:
            self.far.setdefault(path, {})[connection] = None
            return
        watching = self.near.setdefault(path, connection)
        if isinstance(watching, dict):
            watching[connection] = None
        elif watching != connection:
            self.near[path] = {watching: None, connection: None}

    def remove(self, path: str, connection: int) -> bool:
        """Return whether there was such a watch."""
        modes = self.modes.get(connection)
        if modes is None or path not in modes:
            return False
        self.forget(path, connection, modes.pop(path))
        return True

    def remove_connection(self, connection: int) -> None:
        for path, mode in self.modes.pop(connection, {}).items():
            self.forget(path, connection, mode)

    def forget(self, path: str, connection: int, mode: int) -> None:
        """Take a watch out of the paths: its mode is gone or will be another."""
        watching = self.far[path] if mode == RECURSIVE else self.near[path]
        if isinstance(watching, dict):
            del watching[connection]
            if watching:
                return
        if mode == RECURSIVE:
            del self.far[path]
        else:
            del self.near[path]

    def take(self, path: str) -> dict[int, None]:
        """Return who watches just this path; the watches that fire once are gone then."""
        watching = self.near.get(path)
        if watching is None:
            return {}
        if isinstance(watching, int):
            watching = {watching: None}
        staying: dict[int, None] = {}
        for connection in watching:
            modes = self.modes[connection]
            if modes[path] == STANDARD:
                del modes[path]
            else:
                staying[connection] = None
        if staying:
            self.near[path] = staying
        else:
            del self.near[path]
        return watching

    def find_above(self, path: str) -> dict[int, None]:
        """Return who watches this path, or one above it, and all below."""
        told: dict[int, None] = {}
        while path:
            told |= self.far.get(path, {})
            path = path.rpartition("/")[0] or ("" if path == "/" else "/")
        return told

    def is_watched(self, path: str) -> bool:
        return path in self.near or path in self.far


class Watches:
    """All watches, and whom an event is told."""

    def __init__(self) -> None:
        self.data = Table()
        self.children = Table()

    @property
    def is_empty(self) -> bool:
        return not (self.data.near or self.data.far or self.children.near or self.children.far)

    def watch_data(self, path: str, connection: int) -> None:
        self.data.add(path, connection, STANDARD)

    def watch_children(self, path: str, connection: int) -> None:
        self.children.add(path, connection, STANDARD)

    def watch(self, path: str, connection: int, mode: int) -> None:
        """Leave a watch that stays."""
        self.data.add(path, connection, mode)
        self.children.add(path, connection, mode)

    def tables(self, kind: int) -> tuple[Table, ...]:
        match kind:
            case WatchesOf.CHILDREN:
                return (self.children,)
            case WatchesOf.DATA:
                return (self.data,)
            case _:
                return (self.children, self.data)

    def remove(self, path: str, connection: int, kind: int) -> bool:
        """Return whether the connection had a watch of this kind (a WatchesOf) on `path`; it has none any more."""
        removed = [table.remove(path, connection) for table in self.tables(kind)]
        return any(removed)

    def is_watched(self, path: str, kind: int) -> bool:
        """Return whether anybody has a watch of this kind (a WatchesOf) on `path`."""
        return any(table.is_watched(path) for table in self.tables(kind))

    def remove_connection(self, connection: int) -> None:
        self.data.remove_connection(connection)
        self.children.remove_connection(connection)

    def take(self, path: str, event: EventType) -> dict[int, None]:
        """Return the connections to tell of `event` at `path`, each once; watches that fire once are gone then."""
        if event is CHILDREN_CHANGED:
            return self.children.take(path)
        told = self.data.take(path)
        if self.data.far:
            told = told | self.data.find_above(path)
        if event is DELETED:
            told = told | self.children.take(path)
            if self.children.far:
                told |= self.children.find_above(path)
        return told

    # What operators see

    @property
    def count(self) -> int:
        return sum(len(paths) for table in self.tables(WatchesOf.ANY) for paths in table.modes.values())

    @property
    def path_count(self) -> int:
        """How many paths :meth:`listing` has."""
        return len(self.data.near) + sum(path not in self.data.near for path in self.data.far)

    @property
    def connection_count(self) -> int:
        """How many connections have ever left a watch that :meth:`listing` could show: Apache counts so."""
        return len(self.data.modes)

    def listing(self) -> Iterator[tuple[str, int]]:
        """Yield path and connection of each watch on data. Like Apache's, the list leaves out those on children alone."""
        for connection, paths in self.data.modes.items():
            for path in paths:
                yield path, connection


def notification(path: str, event: EventType) -> bytes:
    """Return the whole frame that tells of `event` at `path`; its zxid is always -1."""
    data = path.encode()
    return NOTIFICATION.pack(28 + len(data), XID_NOTIFICATION, -1, 0, event, STATE_CONNECTED, len(data)) + data
