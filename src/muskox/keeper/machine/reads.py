"""Answers to requests that change nothing: from the tree as it stands, leaving watches where they are asked for."""

from collections.abc import Callable

from muskox.errors import PeerError
from muskox.keeper.machine.acl import Refusal, check_acl, mask_digests
from muskox.keeper.machine.connection import Connection
from muskox.keeper.machine.database import Database
from muskox.keeper.machine.node import Node
from muskox.keeper.machine.watches import Kind, Watches, notification
from muskox.keeper.wire.jute import codec, encode
from muskox.keeper.wire.opcodes import ErrorCode, EventType, OpCode, Permission
from muskox.keeper.wire.records import (
    AclReply,
    ChildrenReply,
    ChildrenStatReply,
    DataReply,
    PathOnly,
    PathWatch,
    SetWatchesRequest,
    StatReply,
)

BODY_AT = 8

PATH_WATCH = codec(PathWatch)
PATH_ONLY = codec(PathOnly)
SET_WATCHES = codec(SetWatchesRequest)

Notify = Callable[[int, bytes], None]  # send this frame body to that connection


class Reads:
    """Whoever answers reads: it looks at the tree, and it may add watches."""

    def __init__(self, database: Database, watches: Watches, notify: Notify) -> None:
        self.database = database
        self.tree = database.tree
        self.watches = watches
        self.notify = notify
        self.answers: dict[int, Callable[[Connection, bytes], bytes | Refusal]] = {
            OpCode.EXISTS: self.exists,
            OpCode.GET_DATA: self.get_data,
            OpCode.GET_ACL: self.get_acl,
            OpCode.GET_CHILDREN: self.get_children,
            OpCode.GET_CHILDREN2: self.get_children2,
            OpCode.SYNC: self.sync,
            OpCode.PING: self.ping,
            OpCode.SET_WATCHES: self.set_watches,
        }

    def answer(self, connection: Connection, kind: int, frame: bytes) -> bytes | Refusal:
        """Return the body of the reply to the request in `frame`, or why there is none."""
        try:
            return self.answers[kind](connection, frame)
        except PeerError as error:
            return Refusal(ErrorCode.MARSHALLING, str(error))

    def find_readable(self, connection: Connection, path: str, wanted: int) -> Node | Refusal:
        node = self.tree.find(path)
        if node is None:
            return Refusal(ErrorCode.NO_NODE, f"there is no {path}")
        return check_acl(path, node.acl, wanted, connection.identities) or node

    def exists(self, connection: Connection, frame: bytes) -> bytes | Refusal:
        path, watch = PATH_WATCH.decode(frame, BODY_AT)
        if "\0" in path:
            return Refusal(ErrorCode.BAD_ARGUMENTS, f"{path!r} has a null character in it")
        if watch:
            self.watches.add(Kind.DATA, path, connection.number)
        node = self.tree.find(path)
        if node is None:
            return Refusal(ErrorCode.NO_NODE, f"there is no {path}")
        return encode(StatReply(node.stat))

    def get_data(self, connection: Connection, frame: bytes) -> bytes | Refusal:
        path, watch = PATH_WATCH.decode(frame, BODY_AT)
        node = self.find_readable(connection, path, Permission.READ)
        if isinstance(node, Refusal):
            return node
        if watch:
            self.watches.add(Kind.DATA, path, connection.number)
        return encode(DataReply(node.data, node.stat))

    def get_children(self, connection: Connection, frame: bytes) -> bytes | Refusal:
        found = self.list_children(connection, frame)
        return found if isinstance(found, Refusal) else encode(ChildrenReply(found.children))

    def get_children2(self, connection: Connection, frame: bytes) -> bytes | Refusal:
        found = self.list_children(connection, frame)
        return found if isinstance(found, Refusal) else encode(found)

    def list_children(self, connection: Connection, frame: bytes) -> ChildrenStatReply | Refusal:
        path, watch = PATH_WATCH.decode(frame, BODY_AT)
        node = self.find_readable(connection, path, Permission.READ)
        if isinstance(node, Refusal):
            return node
        if watch:
            self.watches.add(Kind.CHILDREN, path, connection.number)
        return ChildrenStatReply(self.tree.names(path), node.stat)

    def get_acl(self, connection: Connection, frame: bytes) -> bytes | Refusal:
        path = PATH_ONLY.decode(frame, BODY_AT).path
        if path is None:
            return Refusal(ErrorCode.MARSHALLING, "null where a path is needed")
        node = self.find_readable(connection, path, Permission.READ | Permission.ADMIN)
        if isinstance(node, Refusal):
            return node
        may_administer = check_acl(path, node.acl, Permission.ADMIN, connection.identities) is None
        acl = node.acl if may_administer else mask_digests(node.acl)
        return encode(AclReply(acl, node.stat))

    def sync(self, _: Connection, frame: bytes) -> bytes:
        """Answer: whoever waits for this has seen all that was durable when it came."""
        return encode(PATH_ONLY.decode(frame, BODY_AT))

    def ping(self, _: Connection, __: bytes) -> bytes:
        return b""

    def set_watches(self, connection: Connection, frame: bytes) -> bytes | Refusal:
        """Leave the watches of a client that was away; whatever has fired since `relative_zxid` is told at once."""
        since, data, exist, children = SET_WATCHES.decode(frame, BODY_AT)
        if data is None or exist is None or children is None:
            return Refusal(ErrorCode.MARSHALLING, "null where a list of paths is needed")
        for path in data:
            node = self.tree.find(path)
            missed = EventType.DELETED if node is None else EventType.DATA_CHANGED if node.mzxid > since else None
            self.watch_or_tell(connection.number, Kind.DATA, path, missed)
        for path in exist:
            node = self.tree.find(path)
            self.watch_or_tell(connection.number, Kind.DATA, path, None if node is None else EventType.CREATED)
        for path in children:
            node = self.tree.find(path)
            missed = EventType.DELETED if node is None else EventType.CHILDREN_CHANGED if node.pzxid > since else None
            self.watch_or_tell(connection.number, Kind.CHILDREN, path, missed)
        return b""

    def watch_or_tell(self, connection: int, kind: Kind, path: str, missed: EventType | None) -> None:
        if missed is None:
            self.watches.add(kind, path, connection)
        else:
            self.notify(connection, notification(path, missed))
