"""What no polite client says: frames of every kind, most of them bent, as Hypothesis draws them.

A frame begins well formed, so that it gets past the first checks; then it is cut, stretched, repeated, given another length
or another number somewhere. `Babble` is what one connection sends, and in how large pieces it arrives.
"""

from typing import Any, NamedTuple

from hypothesis import strategies as st
from raw import OPEN, connect_request

from muskox.keeper.wire.frames import frame
from muskox.keeper.wire.jute import encode
from muskox.keeper.wire.multi import DONE
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import (
    REQUEST_HEADER,
    Acl,
    AuthPacket,
    CreateRequest,
    CreateTtlRequest,
    Id,
    MultiHeader,
    PathKind,
    PathOnly,
    PathVersion,
    PathWatch,
    ReconfigRequest,
    RequestHeader,
    SaslToken,
    SetAclRequest,
    SetDataRequest,
    SetWatches2Request,
    SetWatchesRequest,
)

NUMBERS = st.sampled_from([-(1 << 31), -2, -1, 0, 1, 2, 4, 0x7F, 0xFF, 0xFFFF, 0xFFFFF, 0x100000, (1 << 31) - 1])
PATHS = st.sampled_from([
    "/", "/", "/a", "/a", "/a/b", "/a/b/c", "/s-", "/mine", "/mine/x", "/mine/node", "/zookeeper/quota/a", "/zookeeper/config",
    "/zookeeper/quota/a/zookeeper_limits", "/zookeeper/quota/mine", "", "//", "/a/../b", "nope", "/\0", "/" + "long" * 200,
])  # fmt: skip
FLAGS = st.one_of(st.integers(0, 4), NUMBERS)
VERSIONS = st.one_of(st.integers(-1, 1), NUMBERS)
DATA = st.sampled_from([None, b"", b"x", b"count=1,bytes=-1", b"y" * 3000])
IDS = [
    ("world", "anyone"),
    ("digest", "u:x"),
    ("auth", ""),
    ("ip", "127.0.0.1/8"),
    ("ip", "999.1.1.1/99"),
    ("sasl", "u"),
    ("x509", ""),
]
ACLS = st.one_of(
    st.sampled_from([OPEN, OPEN, OPEN, (), None]),
    st.lists(st.builds(Acl, NUMBERS, st.builds(Id._make, st.sampled_from([*IDS, (None, None)]))), max_size=3).map(tuple),
)
TEXT = st.sampled_from([None, "", "digest", "ip", "sasl", "world", "server.1=a:1:2;3", "1"])
LISTS = st.lists(PATHS, max_size=3).map(tuple)


def kinds(*numbers: int) -> st.SearchStrategy[int]:
    return st.sampled_from([int(number) for number in numbers])


WRITES = st.one_of(
    st.tuples(
        kinds(OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER), st.builds(CreateRequest, PATHS, DATA, ACLS, FLAGS)
    ),
    st.tuples(kinds(OpCode.CREATE_TTL), st.builds(CreateTtlRequest, PATHS, DATA, ACLS, FLAGS, NUMBERS)),
    st.tuples(kinds(OpCode.DELETE, OpCode.DELETE_CONTAINER, OpCode.CHECK), st.builds(PathVersion, PATHS, VERSIONS)),
    st.tuples(kinds(OpCode.SET_DATA), st.builds(SetDataRequest, PATHS, DATA, VERSIONS)),
    st.tuples(kinds(OpCode.SET_ACL), st.builds(SetAclRequest, PATHS, ACLS, VERSIONS)),
)
READS = st.tuples(
    kinds(OpCode.EXISTS, OpCode.GET_DATA, OpCode.GET_CHILDREN, OpCode.GET_CHILDREN2), st.builds(PathWatch, PATHS, st.booleans())
)


def multi(parts: list[tuple[int, Any]]) -> bytes:
    return b"".join(encode(MultiHeader(kind, False, -1)) + encode(record) for kind, record in parts) + DONE


REQUESTS: st.SearchStrategy[tuple[int, Any]] = st.one_of(
    WRITES,
    WRITES,
    READS,
    st.tuples(kinds(OpCode.MULTI, OpCode.MULTI_READ), st.lists(st.one_of(WRITES, READS), max_size=4).map(multi)),
    st.tuples(
        kinds(OpCode.GET_ACL, OpCode.SYNC, OpCode.GET_EPHEMERALS, OpCode.GET_ALL_CHILDREN_NUMBER), st.builds(PathOnly, PATHS)
    ),
    st.tuples(kinds(OpCode.ADD_WATCH, OpCode.CHECK_WATCHES, OpCode.REMOVE_WATCHES), st.builds(PathKind, PATHS, FLAGS)),
    st.tuples(kinds(OpCode.SET_WATCHES), st.builds(SetWatchesRequest, NUMBERS, LISTS, LISTS, LISTS)),
    st.tuples(kinds(OpCode.SET_WATCHES2), st.builds(SetWatches2Request, NUMBERS, LISTS, LISTS, LISTS, LISTS, LISTS)),
    st.tuples(kinds(OpCode.AUTH), st.builds(AuthPacket, NUMBERS, TEXT, DATA)),
    st.tuples(kinds(OpCode.SASL), st.builds(SaslToken, DATA)),
    st.tuples(kinds(OpCode.RECONFIG), st.builds(ReconfigRequest, TEXT, TEXT, TEXT, NUMBERS)),
    st.tuples(kinds(OpCode.PING, OpCode.CLOSE_SESSION, OpCode.WHO_AM_I), st.just(b"")),
    st.tuples(st.one_of(st.sampled_from([int(code) for code in OpCode]), NUMBERS), st.binary(max_size=30)),
)


class Bend(NamedTuple):
    """What is done to a frame: `at` and `number` mean something else for each `how`."""

    how: str
    at: int = 0
    number: int = 0
    data: bytes = b""

    def apply(self, body: bytes) -> bytes:
        at = self.at % (len(body) + 1)
        number = self.number.to_bytes(4, "big", signed=True)
        match self.how:
            case "cut":
                return frame(body[:at])
            case "insert":
                return frame(body[:at] + self.data + body[at:])
            case "replace":
                return frame(body[:at] + self.data + body[at + len(self.data) :])
            case "number":
                return frame(body[:at] + number + body[at + 4 :])
            case "length":
                return number + body
            case "repeat":
                return frame(body) * (1 + self.at % 4)
            case "bare":
                return self.data
        return frame(body)


STRAIGHT = Bend("straight")
BENDS = st.one_of(
    st.just(STRAIGHT),
    st.just(STRAIGHT),
    st.builds(
        Bend,
        st.sampled_from(["cut", "insert", "replace", "number", "number", "number", "length", "repeat", "bare"]),
        st.integers(0, 120),
        NUMBERS,
        st.binary(min_size=1, max_size=12),
    ),
)


class Babble(NamedTuple):
    """What one connection sends, cut into `pieces`."""

    greeting: bytes
    frames: list[bytes]
    piece: int

    def pieces(self) -> list[bytes]:
        data = self.greeting + b"".join(self.frames)
        return [data[at : at + self.piece] for at in range(0, len(data), self.piece)]


def bent(request: tuple[int, Any], xid: int, bend: Bend) -> bytes:
    kind, record = request
    body = record if isinstance(record, bytes) else encode(record)
    return bend.apply(REQUEST_HEADER.encode(RequestHeader(xid, kind)) + body)


GREETINGS = st.one_of(
    *[st.just(connect_request(timeout_ms=200))] * 5,
    st.builds(connect_request, NUMBERS, st.sampled_from([b"", bytes(16), b"p" * 99])),
    st.builds(lambda bend: bend.apply(connect_request()[4:]), BENDS),
)
FRAMES = st.builds(bent, REQUESTS, NUMBERS, BENDS)
BABBLE = st.builds(Babble, GREETINGS, st.lists(FRAMES, min_size=2, max_size=12), st.sampled_from([1, 3, 7, 64, 1000, 1 << 20]))
