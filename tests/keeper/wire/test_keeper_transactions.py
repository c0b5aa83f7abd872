"""Log entries as bytes and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.errors import PeerError
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.transactions import (
    CloseSessionTxn,
    CreateTxn,
    DeleteTxn,
    TxnDigest,
    TxnHeader,
    decode_entry,
    encode_entry,
)

HEADER = TxnHeader(1, 2, 3, 4, OpCode.CREATE)
TXN = CreateTxn("/a", b"x", (), False, 1)


def test_an_entry_reads_back_with_its_digest_and_what_follows() -> None:
    entry = decode_entry(encode_entry(HEADER, TXN, -7) + b"trailing")
    assert entry == (HEADER, TXN, TxnDigest(2, -7), b"trailing")


def test_an_entry_without_a_digest_reads_back() -> None:
    assert decode_entry(encode_entry(HEADER, TXN, 0)[:-12]).digest is None


def test_an_end_of_a_session_from_before_apache_3_6_has_no_paths() -> None:
    header = HEADER._replace(type=OpCode.CLOSE_SESSION)
    assert decode_entry(encode_entry(header, CloseSessionTxn(()), 0)[:32]).txn == CloseSessionTxn(None)


def test_an_unknown_transaction_is_refused() -> None:
    with pytest.raises(PeerError, match="type 99"):
        decode_entry(encode_entry(HEADER._replace(type=99), DeleteTxn("/a"), 0))


@given(st.binary(max_size=100))
def test_garbage_is_refused_or_read_but_never_anything_else(data: bytes) -> None:
    try:
        decode_entry(data)
    except PeerError as error:
        assert str(error)
