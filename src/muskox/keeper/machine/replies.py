"""Replies as whole frames, with length and header."""

from struct import Struct

from muskox.keeper.machine.node import STAT
from muskox.keeper.machine.sessions import password_of
from muskox.keeper.machine.tree import Tree
from muskox.keeper.wire.frames import frame
from muskox.keeper.wire.jute import LENGTH, encode
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import BODY_AT, OPEN_ACL, ConnectResponse

HEAD_BYTES = 16
PATH_AT = BODY_AT + 4  # in a request whose body begins with a path, behind its length
PATH_WATCH_BYTES_MIN = 13
STAT_REPLY_BYTES = HEAD_BYTES + STAT.size

EXISTS = int(OpCode.EXISTS)
HOT_READS = frozenset((EXISTS, int(OpCode.GET_DATA)))  # what hot_reply may know

HEAD = Struct(">iiqi")  # length, xid, zxid, code
pack_head = HEAD.pack
unpack_length = LENGTH.unpack_from


def reply(xid: int, zxid: int, code: int, body: bytes) -> bytes:
    return HEAD.pack(HEAD_BYTES + len(body), xid, zxid, code) + body


def hot_reply(tree: Tree, zxid: int, xid: int, kind: int, request: bytes) -> bytes | None:
    """Return the reply to an exists or getData without watch, on a znode open to all, by the shortest way; None for any other.

    The hot path: bytes and tuples, because reading and writing the records takes four times as long.
    """
    size = len(request)
    if size < PATH_WATCH_BYTES_MIN or request[-1] or unpack_length(request, BODY_AT)[0] != size - PATH_WATCH_BYTES_MIN:
        return None
    node = tree.nodes.get(request[PATH_AT:-1].decode("utf-8", "replace"))
    if node is None:
        return None
    answer, acl, _, _ = node
    if kind == EXISTS:
        return pack_head(STAT_REPLY_BYTES, xid, zxid, 0) + answer[-STAT.size :]
    if acl is not OPEN_ACL:
        return None
    return pack_head(HEAD_BYTES + len(answer), xid, zxid, 0) + answer


def welcome(session_id: int, timeout_ms: int, knows_read_only: bool) -> bytes:
    """Return the answer to a connect request; session 0 is a refusal. Old clients do not know the last byte."""
    password = password_of(session_id) if session_id else bytes(16)
    response = encode(ConnectResponse(0, timeout_ms, session_id, password))
    return frame(response + b"\0" if knows_read_only else response)
