"""Every record that clients and server exchange, declared once; the names are those of Apache's ``zookeeper.jute``."""

from typing import Annotated, NamedTuple

from muskox.keeper.wire.jute import Bool, Buffer, Int, Long, Text, TextOrNull, Varying, codec, vector


class Id(NamedTuple):
    scheme: TextOrNull
    id: TextOrNull


class Acl(NamedTuple):
    perms: Int
    id: Id


AclList = tuple[Acl, ...]
OPEN_ACL: AclList = (Acl(31, Id("world", "anyone")),)

ANY_ACLS = vector(Acl)
OPEN_ACL_BYTES = b"\0\0\0\1\0\0\0\x1f\0\0\0\5world\0\0\0\6anyone"


def read_acls(data: bytes, at: int) -> tuple[AclList | None, int]:
    """Read a list of ACLs; the one that nearly every create carries is known by its bytes, which is five times as fast."""
    if data.startswith(OPEN_ACL_BYTES, at):
        return OPEN_ACL, at + len(OPEN_ACL_BYTES)
    return ANY_ACLS.read(data, at)


Acls = Annotated[AclList | None, Varying(read_acls, ANY_ACLS.write)]
Texts = Annotated[tuple[str, ...] | None, vector(Text)]


class Stat(NamedTuple):
    czxid: Long
    mzxid: Long
    ctime: Long
    mtime: Long
    version: Int
    cversion: Int
    aversion: Int
    ephemeral_owner: Long
    data_length: Int
    num_children: Int
    pzxid: Long


class ConnectRequest(NamedTuple):
    protocol_version: Int
    last_zxid_seen: Long
    timeout_ms: Int
    session_id: Long
    password: Buffer


class ConnectResponse(NamedTuple):
    protocol_version: Int
    timeout_ms: Int
    session_id: Long
    password: Buffer


class RequestHeader(NamedTuple):
    xid: Int
    type: Int


BODY_AT = 8  # where the body of a request begins, behind this


class ReplyHeader(NamedTuple):
    xid: Int
    zxid: Long
    err: Int


class AuthPacket(NamedTuple):
    type: Int
    scheme: TextOrNull
    auth: Buffer


class SaslToken(NamedTuple):
    """The body of a step of SASL, and of its reply."""

    token: Buffer


class PathWatch(NamedTuple):
    """The body of exists, getData, getChildren and getChildren2."""

    path: Text
    watch: Bool


class PathOnly(NamedTuple):
    """The body of sync, getACL, getEphemerals and getAllChildrenNumber, and the reply to sync and create."""

    path: TextOrNull


class SetDataRequest(NamedTuple):
    path: Text
    data: Buffer
    version: Int


class CreateRequest(NamedTuple):
    path: Text
    data: Buffer
    acl: Acls
    flags: Int


class CreateTtlRequest(NamedTuple):
    path: Text
    data: Buffer
    acl: Acls
    flags: Int
    ttl_ms: Long


class PathVersion(NamedTuple):
    """The body of delete and check."""

    path: Text
    version: Int


class SetAclRequest(NamedTuple):
    path: Text
    acl: Acls
    version: Int


class SetWatchesRequest(NamedTuple):
    relative_zxid: Long
    data_watches: Texts
    exist_watches: Texts
    child_watches: Texts


class SetWatches2Request(NamedTuple):
    relative_zxid: Long
    data_watches: Texts
    exist_watches: Texts
    child_watches: Texts
    persistent_watches: Texts
    recursive_watches: Texts


class PathKind(NamedTuple):
    """The body of addWatch, with the mode of the watch, and of checkWatches and removeWatches, with the kind of watches."""

    path: Text
    kind: Int


class ReconfigRequest(NamedTuple):
    joining: TextOrNull
    leaving: TextOrNull
    members: TextOrNull
    config_id: Long


class MultiHeader(NamedTuple):
    type: Int
    done: Bool
    err: Int


class WatcherEvent(NamedTuple):
    type: Int
    state: Int
    path: Text


class StatReply(NamedTuple):
    stat: Stat


class PathStatReply(NamedTuple):
    path: Text
    stat: Stat


class DataReply(NamedTuple):
    data: Buffer
    stat: Stat


class ChildrenReply(NamedTuple):
    children: Texts


class ChildrenStatReply(NamedTuple):
    children: Texts
    stat: Stat


class AclReply(NamedTuple):
    acl: Acls
    stat: Stat


class ErrorReply(NamedTuple):
    err: Int


class CountReply(NamedTuple):
    total: Int


class ClientInfo(NamedTuple):
    """One thing that a connection has proved to be, as whoAmI shows it."""

    scheme: TextOrNull
    user: TextOrNull


class WhoAmIReply(NamedTuple):
    clients: Annotated[tuple[ClientInfo, ...] | None, vector(ClientInfo)]


CONNECT_REQUEST = codec(ConnectRequest)
REQUEST_HEADER = codec(RequestHeader)
REPLY_HEADER = codec(ReplyHeader)
