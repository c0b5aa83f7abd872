"""Scripts of requests, to be told to the keeper and to Apache ZooKeeper alike: how to write them, and how to run them."""

from struct import unpack_from
from typing import Any

from raw import OPEN, RawClient, Reply

from muskox.keeper.wire.jute import codec, encode
from muskox.keeper.wire.multi import DONE
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import (
    Acl,
    AclReply,
    AuthPacket,
    ChildrenReply,
    ChildrenStatReply,
    ClientInfo,
    CountReply,
    CreateRequest,
    DataReply,
    Id,
    MultiHeader,
    PathOnly,
    PathStatReply,
    PathVersion,
    PathWatch,
    SetAclRequest,
    SetDataRequest,
    StatReply,
    WatcherEvent,
    WhoAmIReply,
)

USER = Acl(31, Id("digest", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="))
READER = Acl(1, Id("world", "anyone"))
Step = tuple[int, int, Any]  # which client, which operation, its record or body


def create(
    path: str, data: bytes | None = b"", flags: int = 0, acl: Any = OPEN, kind: int = OpCode.CREATE, who: int = 0
) -> Step:
    return who, kind, CreateRequest(path, data, acl, flags)


def create2(path: str, data: bytes | None = b"", flags: int = 0) -> Step:
    return create(path, data, flags, kind=OpCode.CREATE2)


def delete(path: str, version: int = -1, who: int = 0) -> Step:
    return who, OpCode.DELETE, PathVersion(path, version)


def set_data(path: str, data: bytes | None, version: int = -1, who: int = 0) -> Step:
    return who, OpCode.SET_DATA, SetDataRequest(path, data, version)


def look(kind: int, path: str, watch: bool = False, who: int = 0) -> Step:
    return who, kind, PathWatch(path, watch)


def get_acl(path: str, who: int = 0) -> Step:
    return who, OpCode.GET_ACL, PathOnly(path)


def set_acl(path: str, acl: Any, version: int = -1, who: int = 0) -> Step:
    return who, OpCode.SET_ACL, SetAclRequest(path, acl, version)


def auth(scheme: str, proof: bytes | None, who: int = 0) -> Step:
    return who, OpCode.AUTH, AuthPacket(0, scheme, proof)


def multi(*parts: tuple[int, Any], who: int = 0) -> Step:
    body = b"".join(encode(MultiHeader(kind, False, -1)) + encode(record) for kind, record in parts)
    return who, OpCode.MULTI, body + DONE


EXISTS, GET, CHILDREN, CHILDREN2 = OpCode.EXISTS, OpCode.GET_DATA, OpCode.GET_CHILDREN, OpCode.GET_CHILDREN2

REPLIES: dict[int, Any] = {
    OpCode.CREATE: PathOnly,
    OpCode.CREATE2: PathStatReply,
    OpCode.CREATE_CONTAINER: PathStatReply,
    OpCode.CREATE_TTL: PathStatReply,
    OpCode.EXISTS: StatReply,
    OpCode.GET_DATA: DataReply,
    OpCode.SET_DATA: StatReply,
    OpCode.GET_ACL: AclReply,
    OpCode.SET_ACL: StatReply,
    OpCode.GET_CHILDREN: ChildrenReply,
    OpCode.GET_CHILDREN2: ChildrenStatReply,
    OpCode.SYNC: PathOnly,
    OpCode.GET_EPHEMERALS: ChildrenReply,
    OpCode.GET_ALL_CHILDREN_NUMBER: CountReply,
    OpCode.WHO_AM_I: WhoAmIReply,
}
PARTS = (OpCode.CREATE, OpCode.CREATE2, OpCode.SET_DATA, OpCode.GET_DATA, OpCode.GET_CHILDREN)  # with a body in a multi


class Witness:
    """Runs scripts on one server and writes down what it says, with what differs by nature left out."""

    def __init__(self, port: int) -> None:
        self.port = port

    def tell(self, script: list[Step]) -> list[Any]:
        clients = [RawClient(self.port) for _ in range(max(2, *(who + 1 for who, _, _ in script)))]
        sessions: dict[int, str] = {0: "none"}
        for index, client in enumerate(clients):
            client.connect()
            sessions[client.session_id] = f"session {index}"
        base = clients[1].exists("/").zxid
        told = [self.step(clients[who], kind, record, sessions, base) for who, kind, record in script]
        for client in clients:
            self.end_session(client)
        return told

    def end_session(self, client: RawClient) -> None:
        """Close a session, whatever became of its connection: one that expired later would disturb the next script."""
        with RawClient(self.port) as last:
            last.connect(session_id=client.session_id, password=client.password)
            if last.session_id:
                last.ask(OpCode.CLOSE_SESSION)
        client.close()

    def step(self, client: RawClient, kind: int, record: Any, sessions: dict[int, str], base: int) -> list[Any]:
        return [self.plain(reply, kind, sessions, base) for reply in client.ask(kind, record)]

    def plain(self, reply: Reply, kind: int, sessions: dict[int, str], base: int) -> Any:
        zxid = reply.zxid - base if reply.zxid > 0 else reply.zxid
        if reply.xid == -1:
            return "event", zxid, codec(WatcherEvent).decode(reply.body)
        body: Any = reply.body
        if body and kind in REPLIES:
            body = codec(REPLIES[kind]).decode(body)
            body = {name: self.value(value, sessions, base) for name, value in body._asdict().items()}
        elif kind in (OpCode.MULTI, OpCode.MULTI_READ):
            body = self.plain_multi(body, sessions, base)
        return reply.xid, zxid, reply.err, body

    def value(self, value: Any, sessions: dict[int, str], base: int) -> Any:
        if hasattr(value, "czxid"):
            fields = value._asdict()
            for name in ("czxid", "mzxid", "pzxid"):
                fields[name] = max(fields[name] - base, 0)
            times = (fields.pop("ctime") > 0, fields.pop("mtime") > 0)
            owner = sessions.get(fields.pop("ephemeral_owner"), "stranger")
            return fields, times, owner
        if isinstance(value, tuple) and value and isinstance(value[0], str | ClientInfo):  # in no order
            return sorted(value)
        return value

    def plain_multi(self, body: bytes, sessions: dict[int, str], base: int) -> list[Any]:
        parts: list[Any] = []
        at = 0
        while at < len(body):
            header, at = codec(MultiHeader).decode_from(body, at)
            parts.append(header)
            if header.type in PARTS:
                reply, at = codec(REPLIES[header.type]).decode_from(body, at)
                parts.append([self.value(value, sessions, base) for value in reply])
            elif header.type == -1 and not header.done:
                parts.append(unpack_from(">i", body, at))
                at += 4
        return parts
