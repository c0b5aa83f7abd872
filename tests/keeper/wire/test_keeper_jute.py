"""Records: whole, byte by byte, with bytes after them, and garbage."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.errors import PeerError
from muskox.keeper.wire import records, transactions
from muskox.keeper.wire.jute import codec, encode
from muskox.keeper.wire.records import Acl, Id, Stat

STAT = Stat(1, -2, 3, 4, -5, 6, 7, -8, 9, 10, 1 << 62)
OPEN = (Acl(31, Id("world", "anyone")),)

SAMPLES: list[tuple[Any, ...]] = [
    records.ConnectRequest(0, 1 << 40, 4000, -1, bytes(16)),
    records.ConnectResponse(0, 4000, 77, b"p" * 16),
    records.RequestHeader(1, -11),
    records.ReplyHeader(-1, -1, -115),
    records.AuthPacket(0, "digest", b"u:p"),
    records.AuthPacket(0, None, None),
    records.PathWatch("/ü", True),
    records.PathOnly(None),
    records.PathOnly(""),
    records.SetDataRequest("/a", None, -1),
    records.SetDataRequest("/a", b"", 3),
    records.CreateRequest("/a", b"x", OPEN, 3),
    records.CreateRequest("/a", None, None, 0),
    records.CreateRequest("/a", None, (), 0),
    records.CreateTtlRequest("/a", b"", OPEN, 5, 1 << 33),
    records.PathVersion("/a", -1),
    records.SetAclRequest("/a", (Acl(1, Id(None, None)), *OPEN), 0),
    records.SetWatchesRequest(9, ("/a", "/b"), (), None),
    records.MultiHeader(-1, True, -1),
    records.WatcherEvent(1, 3, "/a"),
    records.StatReply(STAT),
    records.PathStatReply("/a", STAT),
    records.DataReply(b"x", STAT),
    records.ChildrenReply(("a", "b")),
    records.ChildrenStatReply((), STAT),
    records.AclReply(OPEN, STAT),
    records.ErrorReply(-101),
    transactions.TxnHeader(1, 2, 3, 4, -10),
    transactions.CreateTxn("/a", b"x", OPEN, True, 7),
    transactions.CreateContainerTxn("/a", None, OPEN, 7),
    transactions.CreateTtlTxn("/a", b"", OPEN, 7, 1000),
    transactions.DeleteTxn("/a"),
    transactions.SetDataTxn("/a", b"x", 3),
    transactions.CheckVersionTxn("/a", 3),
    transactions.SetAclTxn("/a", OPEN, 3),
    transactions.CreateSessionTxn(4000),
    transactions.CloseSessionTxn(("/a",)),
    transactions.CloseSessionTxn(None),
    transactions.ErrorTxn(-110),
    transactions.MultiTxn((transactions.SubTxn(1, b"x"), transactions.SubTxn(-1, None))),
]


@pytest.mark.parametrize("record", SAMPLES, ids=lambda record: type(record).__name__)
def test_a_record_reads_back_whole_and_from_no_prefix(record: Any) -> None:
    data = encode(record)
    fields = codec(type(record))
    assert fields.decode_from(data) == (record, len(data))
    assert fields.decode_from(data + b"more") == (record, len(data))
    assert fields.decode_from(b"before" + data, 6) == (record, len(data) + 6)
    for end in range(len(data)):
        with pytest.raises(PeerError):
            fields.decode(data[:end])


@given(st.binary(max_size=200), st.sampled_from(SAMPLES))
def test_garbage_is_refused_or_read_but_never_anything_else(data: bytes, record: Any) -> None:
    try:
        codec(type(record)).decode(data)
    except PeerError as error:
        assert str(error)


def test_a_vector_that_lies_about_its_count_is_refused_before_it_is_built() -> None:
    lie = encode(records.PathOnly("/a")) + (1 << 30).to_bytes(4, "big")
    with pytest.raises(PeerError, match="1073741824 items"):
        codec(records.SetAclRequest).decode(lie)


def test_text_that_is_no_utf8_becomes_what_java_makes_of_it() -> None:
    assert codec(records.PathOnly).decode(b"\0\0\0\x02/\xff").path == "/\ufffd"


@pytest.mark.parametrize(("count", "acl"), [(-1, None), (-2, ()), (-(1 << 31), ())])
def test_a_vector_of_minus_one_is_null_and_of_fewer_is_empty_as_java_takes_it(count: int, acl: tuple[()] | None) -> None:
    body = encode(records.PathOnly("/a")) + count.to_bytes(4, "big", signed=True) + bytes(4)
    assert codec(records.SetAclRequest).decode(body) == ("/a", acl, 0)
