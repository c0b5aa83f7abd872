"""Multi requests: whole, from no prefix, and only of what may stand in one."""

import pytest

from muskox.errors import PeerError
from muskox.keeper.wire.jute import encode
from muskox.keeper.wire.multi import DONE, Part, decode_multi, decode_multi_read, encode_multi_reply
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import CreateRequest, ErrorReply, MultiHeader, PathOnly, PathVersion, PathWatch

PARTS = [
    Part(OpCode.CREATE, CreateRequest("/a", b"x", (), 0)),
    Part(OpCode.CHECK, PathVersion("/a", 0)),
    Part(OpCode.DELETE, PathVersion("/a", -1)),
]
BODY = b"".join(encode(MultiHeader(kind, False, -1)) + encode(request) for kind, request in PARTS) + DONE


def test_a_multi_reads_back_whole_and_from_no_prefix() -> None:
    assert decode_multi(BODY, 0) == PARTS
    assert decode_multi(BODY + b"more", 0) == PARTS
    for end in range(len(BODY)):
        with pytest.raises(PeerError):
            decode_multi(BODY[:end], 0)


def test_a_read_may_not_stand_in_a_multi() -> None:
    body = encode(MultiHeader(OpCode.GET_DATA, False, -1)) + encode(PathWatch("/a", False)) + DONE
    with pytest.raises(PeerError, match="operation 4"):
        decode_multi(body, 0)


def test_a_reply_names_each_part_and_the_error_of_the_one_that_failed() -> None:
    reply = encode_multi_reply([(OpCode.CREATE, 0, encode(PathOnly("/a"))), (OpCode.ERROR, -101, encode(ErrorReply(-101)))])
    expected = [
        MultiHeader(1, False, 0),
        PathOnly("/a"),
        MultiHeader(-1, False, -101),
        ErrorReply(-101),
        MultiHeader(-1, True, -1),
    ]
    assert reply == b"".join(map(encode, expected))


def test_a_multi_read_reads_back_whole_and_from_no_prefix() -> None:
    parts = [(OpCode.GET_DATA, PathWatch("/a", False)), (OpCode.GET_CHILDREN, PathWatch("/b", True))]
    body = b"".join(encode(MultiHeader(kind, False, -1)) + encode(request) for kind, request in parts) + DONE
    assert decode_multi_read(body, 0) == parts
    for end in range(len(body)):
        with pytest.raises(PeerError):
            decode_multi_read(body[:end], 0)


def test_a_write_may_not_stand_in_a_multi_read() -> None:
    with pytest.raises(PeerError, match="operation 1 "):
        decode_multi_read(BODY, 0)
