"""Answers to requests that change nothing: from the tree as it stands, leaving watches where they are asked for."""

from collections.abc import Callable, Sequence

from muskox.errors import PeerError
from muskox.keeper.machine.acl import Refusal, check_acl, mask_digests
from muskox.keeper.machine.connection import Connection
from muskox.keeper.machine.database import Database
from muskox.keeper.machine.node import Node
from muskox.keeper.machine.watches import Watches, notification
from muskox.keeper.wire.jute import codec, encode
from muskox.keeper.wire.multi import decode_multi_read, encode_multi_reply
from muskox.keeper.wire.opcodes import ErrorCode, EventType, OpCode, Permission, WatchesOf, WatchMode
from muskox.keeper.wire.records import (
    BODY_AT,
    AclReply,
    ChildrenReply,
    ClientInfo,
    CountReply,
    ErrorReply,
    Id,
    PathKind,
    PathOnly,
    PathWatch,
    SetWatches2Request,
    SetWatchesRequest,
    WhoAmIReply,
)

MULTI_READ_BYTES_MAX = 8 << 20  # a request of 1 MB can ask for 40,000 znodes, and each may hold as much
BLANKS = "".join(map(chr, range(33)))  # what Java's trim takes away

PATH_WATCH = codec(PathWatch)
PATH_ONLY = codec(PathOnly)
PATH_KIND = codec(PathKind)
SET_WATCHES = codec(SetWatchesRequest)
SET_WATCHES2 = codec(SetWatches2Request)
READ = int(Permission.READ)

Notify = Callable[[int, bytes], None]  # send these whole frames to that connection
Paths = tuple[str, ...] | None


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
            OpCode.GET_ALL_CHILDREN_NUMBER: self.get_all_children_number,
            OpCode.GET_EPHEMERALS: self.get_ephemerals,
            OpCode.MULTI_READ: self.multi_read,
            OpCode.WHO_AM_I: self.who_am_i,
            OpCode.SYNC: self.sync,
            OpCode.PING: self.ping,
            OpCode.ADD_WATCH: self.add_watch,
            OpCode.CHECK_WATCHES: self.check_watches,
            OpCode.REMOVE_WATCHES: self.remove_watches,
            OpCode.SET_WATCHES: self.set_watches,
            OpCode.SET_WATCHES2: self.set_watches2,
        }

    def answer(self, connection: Connection, kind: int, frame: bytes) -> bytes | Refusal:
        """Return the body of the reply to the request in `frame`, or why there is none."""
        try:
            return self.answers[kind](connection, frame)
        except PeerError as error:
            return Refusal(ErrorCode.MARSHALLING, str(error))

    # Of znodes

    def find_readable(self, connection: Connection, path: str, wanted: int = READ) -> Node | Refusal:
        node = self.tree.find(path)
        if node is None:
            return Refusal(ErrorCode.NO_NODE, f"there is no {path}")
        return check_acl(path, node.acl, wanted, connection.identities) or node

    def exists(self, connection: Connection, frame: bytes) -> bytes | Refusal:
        path, watch = PATH_WATCH.decode(frame, BODY_AT)
        if "\0" in path:
            return Refusal(ErrorCode.BAD_ARGUMENTS, f"{path!r} has a null character in it")
        if watch:
            self.watches.watch_data(path, connection.number)
        node = self.tree.find(path)
        if node is None:
            return Refusal(ErrorCode.NO_NODE, f"there is no {path}")
        return node.stat_bytes

    def get_data(self, connection: Connection, frame: bytes) -> bytes | Refusal:
        path, watch = PATH_WATCH.decode(frame, BODY_AT)
        node = self.find_readable(connection, path)
        if isinstance(node, Refusal):
            return node
        if watch:
            self.watches.watch_data(path, connection.number)
        return data_and_stat(node)

    def get_children(self, connection: Connection, frame: bytes) -> bytes | Refusal:
        path, node = self.find_parent(connection, frame)
        return node if isinstance(node, Refusal) else self.names(path)

    def get_children2(self, connection: Connection, frame: bytes) -> bytes | Refusal:
        path, node = self.find_parent(connection, frame)
        return node if isinstance(node, Refusal) else self.names(path) + node.stat_bytes

    def find_parent(self, connection: Connection, frame: bytes) -> tuple[str, Node | Refusal]:
        path, watch = PATH_WATCH.decode(frame, BODY_AT)
        node = self.find_readable(connection, path)
        if watch and not isinstance(node, Refusal):
            self.watches.watch_children(path, connection.number)
        return path, node

    def names(self, path: str) -> bytes:
        return encode(ChildrenReply(self.tree.names(path)))

    def get_acl(self, connection: Connection, frame: bytes) -> bytes | Refusal:
        path = get_path(frame)
        node = self.find_readable(connection, path, Permission.READ | Permission.ADMIN)
        if isinstance(node, Refusal):
            return node
        may_administer = check_acl(path, node.acl, Permission.ADMIN, connection.identities) is None
        acl = node.acl if may_administer else mask_digests(node.acl)
        return encode(AclReply(acl, node.stat))

    def get_all_children_number(self, connection: Connection, frame: bytes) -> bytes | Refusal:
        """Answer how many znodes there are below a path."""
        path = get_path(frame)
        node = self.find_readable(connection, path)
        if isinstance(node, Refusal):
            return node
        if path == "/":
            return encode(CountReply(len(self.tree.nodes) - 1))
        if not node.child_count:
            return encode(CountReply(0))
        below = path + "/"
        inner = self.tree.children.items()  # far fewer than there are znodes
        count = sum(len(names) for parent, names in inner if parent == path or parent.startswith(below))
        # Apache's root has the empty path, too, and seen from there it lies below itself.
        return encode(CountReply(count if path else count + 1))

    def multi_read(self, connection: Connection, frame: bytes) -> bytes | Refusal:
        results: list[tuple[int, int, bytes]] = []
        size = 0
        for kind, (path, _) in decode_multi_read(frame, BODY_AT):
            node = self.find_readable(connection, path)
            if isinstance(node, Refusal):
                results.append((OpCode.ERROR, node.code, encode(ErrorReply(node.code))))
                continue
            results.append((kind, ErrorCode.OK, data_and_stat(node) if kind == OpCode.GET_DATA else self.names(path)))
            size += len(results[-1][2])
            if size > MULTI_READ_BYTES_MAX:
                raise PeerError(f"a multiRead asks for more than {MULTI_READ_BYTES_MAX} bytes: ask for less at once")
        return encode_multi_reply(results)

    # Of sessions

    def get_ephemerals(self, connection: Connection, frame: bytes) -> bytes:
        """Answer with the ephemeral znodes of the asker's session whose paths begin with a prefix."""
        prefix = PATH_ONLY.decode(frame, BODY_AT).path or ""
        if prefix.strip(BLANKS) in ("", "/"):
            prefix = ""
        paths = self.database.ephemerals_of(connection.session_id)
        return encode(ChildrenReply(tuple(path for path in paths if path.startswith(prefix))))

    def who_am_i(self, connection: Connection, _: bytes) -> bytes:
        return encode(WhoAmIReply(tuple(ClientInfo(each.scheme, user_of(each)) for each in connection.identities)))

    def sync(self, _: Connection, frame: bytes) -> bytes:
        """Answer: whoever waits for this has seen all that was durable when it came."""
        return encode(PATH_ONLY.decode(frame, BODY_AT))

    def ping(self, _: Connection, __: bytes) -> bytes:
        return b""

    # Of watches

    def add_watch(self, connection: Connection, frame: bytes) -> bytes:
        path, mode = PATH_KIND.decode(frame, BODY_AT)
        if mode not in (WatchMode.PERSISTENT, WatchMode.RECURSIVE):
            raise PeerError(f"{mode} is no mode of a watch that stays")
        self.watches.watch(path, connection.number, mode)
        return encode(ErrorReply(ErrorCode.OK))

    def check_watches(self, _: Connection, frame: bytes) -> bytes | Refusal:
        """Answer whether there is a watch on a path; as for Apache, anybody's will do."""
        path, kind = decode_watches_of(frame)
        if path and "/" not in path:
            raise PeerError(f"{path!r} is no path")
        if path and self.watches.is_watched(path, kind):
            return b""
        return no_watcher(path)

    def remove_watches(self, connection: Connection, frame: bytes) -> bytes | Refusal:
        path, kind = decode_watches_of(frame)
        return b"" if self.watches.remove(path, connection.number, kind) else no_watcher(path)

    def set_watches(self, connection: Connection, frame: bytes) -> bytes:
        since, *lists = SET_WATCHES.decode(frame, BODY_AT)
        return self.watch_again(connection.number, since, (*lists, (), ()))

    def set_watches2(self, connection: Connection, frame: bytes) -> bytes:
        since, *lists = SET_WATCHES2.decode(frame, BODY_AT)
        return self.watch_again(connection.number, since, lists)

    def watch_again(self, number: int, since: int, lists: Sequence[Paths]) -> bytes:
        """Leave the watches of a client that was away; what has fired since the zxid `since` is told at once."""
        data, exist, children, persistent, recursive = lists
        watches, missed = self.watches, []
        try:
            for path in given(data):
                node = self.tree.find(path)
                if node is None or node.mzxid > since:
                    missed.append(notification(path, EventType.DATA_CHANGED if node else EventType.DELETED))
                else:
                    watches.watch_data(path, number)
            for path in given(exist):
                if self.tree.find(path) is None:
                    watches.watch_data(path, number)
                else:
                    missed.append(notification(path, EventType.CREATED))
            for path in given(children):
                node = self.tree.find(path)
                if node is None or node.pzxid > since:
                    missed.append(notification(path, EventType.CHILDREN_CHANGED if node else EventType.DELETED))
                else:
                    watches.watch_children(path, number)
            for path in given(persistent):
                watches.watch(path, number, WatchMode.PERSISTENT)
            for path in given(recursive):
                watches.watch(path, number, WatchMode.RECURSIVE)
        finally:  # like Apache: what stands before a list that is null is done
            self.notify(number, b"".join(missed))
        return b""


def data_and_stat(node: Node) -> bytes:
    return node.answer


def get_path(frame: bytes) -> str:
    """Return the path that is the whole body of a request.

    Raises
    ------
    PeerError
        If it is null.
    """
    path = PATH_ONLY.decode(frame, BODY_AT).path
    if path is None:
        raise PeerError("null where a path is needed")
    return path


def given(paths: Paths) -> tuple[str, ...]:
    """Return `paths`.

    Raises
    ------
    PeerError
        If they are null.
    """
    if paths is None:
        raise PeerError("null where a list of paths is needed")
    return paths


def decode_watches_of(frame: bytes) -> PathKind:
    """Return the path in `frame` and which watches on it are meant.

    Raises
    ------
    PeerError
        If there are no such watches.
    """
    request = PATH_KIND.decode(frame, BODY_AT)
    if request.kind not in tuple(WatchesOf):
        raise PeerError(f"{request.kind} is no kind of watch")
    return request


def no_watcher(path: str) -> Refusal:
    return Refusal(ErrorCode.NO_WATCHER, f"there is no such watch on {path}")


def user_of(identity: Id) -> str:
    """Return who an identity says its bearer is, without the password's digest; a super user is nobody in particular."""
    name = identity.id or ""
    match identity.scheme:
        case "digest":
            return name.partition(":")[0]
        case "super":
            return ""
        case _:
            return name
