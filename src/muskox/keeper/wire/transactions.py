"""The transactions that the log holds, declared once, and one log entry as bytes and back.

An entry is header, transaction and the digest of the tree after it; that much is Apache's, byte for byte. `disk` frames it.
"""

from typing import Annotated, NamedTuple

from muskox.errors import PeerError
from muskox.keeper.wire.jute import Bool, Buffer, Codec, Int, Long, Text, codec, vector
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import Acls, Texts


class TxnHeader(NamedTuple):
    session_id: Long
    cxid: Int
    zxid: Long
    time_ms: Long
    type: Int


class CreateTxn(NamedTuple):
    path: Text
    data: Buffer
    acl: Acls
    ephemeral: Bool
    parent_cversion: Int


class CreateContainerTxn(NamedTuple):
    path: Text
    data: Buffer
    acl: Acls
    parent_cversion: Int


class CreateTtlTxn(NamedTuple):
    path: Text
    data: Buffer
    acl: Acls
    parent_cversion: Int
    ttl_ms: Long


class DeleteTxn(NamedTuple):
    path: Text


class SetDataTxn(NamedTuple):
    path: Text
    data: Buffer
    version: Int


class CheckVersionTxn(NamedTuple):
    path: Text
    version: Int


class SetAclTxn(NamedTuple):
    path: Text
    acl: Acls
    version: Int


class CreateSessionTxn(NamedTuple):
    timeout_ms: Int


class CloseSessionTxn(NamedTuple):
    paths: Texts


class ErrorTxn(NamedTuple):
    err: Int


class SubTxn(NamedTuple):
    """One part of a multi: its type, and its transaction as bytes."""

    type: Int
    data: Buffer


class MultiTxn(NamedTuple):
    parts: Annotated[tuple[SubTxn, ...] | None, vector(SubTxn)]


Txn = (
    CreateTxn
    | CreateContainerTxn
    | CreateTtlTxn
    | DeleteTxn
    | SetDataTxn
    | CheckVersionTxn
    | SetAclTxn
    | CreateSessionTxn
    | CloseSessionTxn
    | ErrorTxn
    | MultiTxn
)

TXN_TYPES: dict[int, type[Txn]] = {
    OpCode.CREATE: CreateTxn,
    OpCode.CREATE2: CreateTxn,
    OpCode.CREATE_CONTAINER: CreateContainerTxn,
    OpCode.CREATE_TTL: CreateTtlTxn,
    OpCode.DELETE: DeleteTxn,
    OpCode.DELETE_CONTAINER: DeleteTxn,
    OpCode.SET_DATA: SetDataTxn,
    OpCode.RECONFIG: SetDataTxn,  # Apache logs a change of its ensemble as new data of /zookeeper/config
    OpCode.CHECK: CheckVersionTxn,
    OpCode.SET_ACL: SetAclTxn,
    OpCode.CREATE_SESSION: CreateSessionTxn,
    OpCode.CLOSE_SESSION: CloseSessionTxn,
    OpCode.ERROR: ErrorTxn,
    OpCode.MULTI: MultiTxn,
}

HEADER = codec(TxnHeader)
DIGEST_VERSION = 2  # Apache's number for the way the digest is computed


class TxnDigest(NamedTuple):
    version: Int
    tree_digest: Long


DIGEST = codec(TxnDigest)


class Entry(NamedTuple):
    """One log entry. `digest` is None where the writer had none; `rest` is what follows it."""

    header: TxnHeader
    txn: Txn
    digest: TxnDigest | None
    rest: bytes


def codec_of(txn_type: int) -> Codec[Txn]:
    """Return the codec of the transactions of a type.

    Raises
    ------
    PeerError
        If no transaction has that type.
    """
    record = TXN_TYPES.get(txn_type)
    if record is None:
        raise PeerError(f"no transaction has type {txn_type}")
    return codec(record)


def encode_entry(header: TxnHeader, txn: Txn, tree_digest: int) -> bytes:
    out: list[bytes] = []
    HEADER.write(header, out)
    codec(type(txn)).write(txn, out)
    DIGEST.write(TxnDigest(DIGEST_VERSION, tree_digest), out)
    return b"".join(out)


def decode_entry(data: bytes) -> Entry:
    """Return the log entry that `data` holds.

    Raises
    ------
    PeerError
        If it holds none.
    """
    header, at = HEADER.decode_from(data)
    txn: Txn
    if header.type == OpCode.CLOSE_SESSION and at == len(data):
        txn = CloseSessionTxn(None)  # written before Apache 3.6: the paths follow from the tree
    else:
        txn, at = codec_of(header.type).decode_from(data, at)
    if len(data) - at < 12:
        return Entry(header, txn, None, data[at:])
    digest, at = DIGEST.decode_from(data, at)
    return Entry(header, txn, digest, data[at:])
