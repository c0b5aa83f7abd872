"""Replies as whole frames, with length and header."""

from struct import Struct

from muskox.keeper.machine.node import STAT
from muskox.keeper.machine.sessions import password_of
from muskox.keeper.machine.tree import Tree
from muskox.keeper.wire.frames import frame
from muskox.keeper.wire.jute import encode
from muskox.keeper.wire.records import OPEN_ACL, ConnectResponse

HEAD_BYTES = 16
PATH_AT = 12  # in a request whose body begins with a path
PATH_WATCH_BYTES_MIN = 13
STAT_BYTES = 68

HEAD = Struct(">iiqi")  # length, xid, zxid, code
DATA_HEAD = Struct(">iiqii")  # the same and the length of the data
REQUEST_AND_LENGTH = Struct(">iii")


def reply(xid: int, zxid: int, code: int, body: bytes) -> bytes:
    return HEAD.pack(HEAD_BYTES + len(body), xid, zxid, code) + body


def data_reply(tree: Tree, zxid: int, xid: int, request: bytes) -> bytes | None:
    """Return the reply to a getData without watch on a znode open to all, by the shortest way; None for any other.

    The hot path: bytes and tuples, because reading and writing the records takes four times as long.
    """
    if len(request) < PATH_WATCH_BYTES_MIN:
        return None
    length = REQUEST_AND_LENGTH.unpack_from(request)[2]
    if length != len(request) - PATH_WATCH_BYTES_MIN or request[-1]:
        return None
    node = tree.nodes.get(request[PATH_AT:-1].decode("utf-8", "replace"))
    if node is None or node.acl is not OPEN_ACL or node.data is None:
        return None
    size = node.data_length
    return DATA_HEAD.pack(HEAD_BYTES + 4 + size + STAT_BYTES, xid, zxid, 0, size) + node.data + STAT.pack(*node[:11])


def welcome(session_id: int, timeout_ms: int, knows_read_only: bool) -> bytes:
    """Return the answer to a connect request; session 0 is a refusal. Old clients do not know the last byte."""
    password = password_of(session_id) if session_id else bytes(16)
    response = encode(ConnectResponse(0, timeout_ms, session_id, password))
    return frame(response + b"\0" if knows_read_only else response)
