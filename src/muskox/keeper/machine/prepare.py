"""Prepare: all checks of a request that changes something, against the tree as it will be.

What passes becomes a transaction of absolutes, drafted into the overlay, and the record to reply with; what does not becomes
a refusal. The order of the checks is Apache's, because it decides which error a client sees.
"""

from typing import NamedTuple, Protocol

from muskox.errors import PeerError
from muskox.keeper.machine.acl import Refusal, check_acl, fix_acl
from muskox.keeper.machine.effects import draft
from muskox.keeper.machine.node import TTL_MS_MAX, Node, wrap_int
from muskox.keeper.machine.overlay import Overlay
from muskox.keeper.machine.paths import SPECIAL, find_fault, parent_of
from muskox.keeper.machine.quota import check_quota
from muskox.keeper.machine.settings import Settings
from muskox.keeper.wire.jute import Codec, codec, encode
from muskox.keeper.wire.multi import Part, PartRequest, decode_multi, encode_multi_reply
from muskox.keeper.wire.opcodes import CreateFlag, ErrorCode, OpCode, Permission
from muskox.keeper.wire.records import (
    BODY_AT,
    CreateRequest,
    CreateTtlRequest,
    ErrorReply,
    Id,
    PathOnly,
    PathVersion,
    ReconfigRequest,
    SetAclRequest,
    SetDataRequest,
)
from muskox.keeper.wire.transactions import (
    CheckVersionTxn,
    CloseSessionTxn,
    CreateContainerTxn,
    CreateTtlTxn,
    CreateTxn,
    DeleteTxn,
    ErrorTxn,
    MultiTxn,
    SetAclTxn,
    SetDataTxn,
    SubTxn,
    Txn,
    TxnHeader,
)

ANY_VERSION = -1
TXN_BYTES_MAX = 8 << 20  # beside the bytes of its request: a short one may name many ACLs that are long

# Plain numbers: in the hot path, a look at an Enum's member costs as much as everything else about it.
MULTI = int(OpCode.MULTI)
CLOSE_SESSION = int(OpCode.CLOSE_SESSION)
DELETE_CONTAINER = int(OpCode.DELETE_CONTAINER)
CHECK = int(OpCode.CHECK)
WRITE = int(Permission.WRITE)
CREATE = int(Permission.CREATE)
FLAGS = frozenset(int(flag) for flag in CreateFlag)
TTL_FLAGS = frozenset((int(CreateFlag.PERSISTENT_TTL), int(CreateFlag.PERSISTENT_SEQUENTIAL_TTL)))
SEQUENTIAL_FLAGS = frozenset(int(flag) for flag in CreateFlag if "SEQUENTIAL" in flag.name)
EPHEMERAL_FLAGS = frozenset((int(CreateFlag.EPHEMERAL), int(CreateFlag.EPHEMERAL_SEQUENTIAL)))

Request = PartRequest | ReconfigRequest | SetAclRequest
Creation = CreateRequest | CreateTtlRequest

REQUESTS: dict[int, Codec[Request]] = {
    OpCode.CREATE: codec(CreateRequest),
    OpCode.CREATE2: codec(CreateRequest),
    OpCode.CREATE_CONTAINER: codec(CreateRequest),
    OpCode.CREATE_TTL: codec(CreateTtlRequest),
    OpCode.DELETE: codec(PathVersion),
    OpCode.SET_DATA: codec(SetDataRequest),
    OpCode.SET_ACL: codec(SetAclRequest),
    OpCode.RECONFIG: codec(ReconfigRequest),
    OpCode.CHECK: codec(PathVersion),
}
WRITES = frozenset({*REQUESTS, OpCode.MULTI, OpCode.CLOSE_SESSION, OpCode.DELETE_CONTAINER})


class Asker(Protocol):
    """Who asks: what a connection shows of itself here."""

    session_id: int
    identities: tuple[Id, ...]
    known_schemes: frozenset[str]


class Prepared(NamedTuple):
    """A transaction and the body of the reply that its sender gets once it is durable."""

    txn: Txn
    reply: bytes


def prepare(overlay: Overlay, asker: Asker, header: TxnHeader, frame: bytes, settings: Settings) -> Prepared | Refusal:
    """Check the request in `frame`, draft it into `overlay`, and return transaction and reply body.

    Raises
    ------
    PeerError
        If the frame's body is no such request.
    """
    if header.type == MULTI:
        return prepare_multi(overlay, asker, header, frame, settings)
    if header.type == CLOSE_SESSION:
        closing = close_session(overlay, asker.session_id)
        draft(overlay, header, closing)
        return Prepared(closing, b"")
    if header.type == DELETE_CONTAINER:
        return Refusal(ErrorCode.BAD_ARGUMENTS, "only the server itself deletes containers that are empty")
    prepared = prepare_part(overlay, asker, header, REQUESTS[header.type].decode(frame, BODY_AT), settings)
    if header.type == CHECK and isinstance(prepared, Prepared):
        # Outside a multi a check changes nothing, and Apache cannot read its own log entry for one.
        return Prepared(ErrorTxn(ErrorCode.OK), b"")
    return prepared


def close_session(overlay: Overlay, session_id: int) -> CloseSessionTxn:
    paths = overlay.ephemerals.get(session_id, {})
    if sum(4 * len(path) + 4 for path in paths) > TXN_BYTES_MAX:
        return CloseSessionTxn(None)  # too long for a log entry; replay finds the paths in the tree
    return CloseSessionTxn(tuple(paths))


def prepare_part(overlay: Overlay, asker: Asker, header: TxnHeader, request: Request, settings: Settings) -> Prepared | Refusal:
    """Check one request, alone or in a multi, and draft it."""
    match request:
        case SetDataRequest():
            return prepare_set_data(overlay, asker, header, request, settings)
        case CreateRequest() | CreateTtlRequest():
            return prepare_create(overlay, asker, header, request, settings)
        case PathVersion():
            if header.type == CHECK:
                return prepare_check(overlay, asker, request)
            return prepare_delete(overlay, asker, header, request)
        case SetAclRequest():
            return prepare_set_acl(overlay, asker, header, request)
        case ReconfigRequest():
            return Refusal(ErrorCode.RECONFIG_DISABLED, "this server stands alone: it has no ensemble to change")


def prepare_multi(overlay: Overlay, asker: Asker, header: TxnHeader, frame: bytes, settings: Settings) -> Prepared | Refusal:
    """Check a multi: all parts or none. One that fails is a transaction too: of errors, and its reply's code is 0."""
    parts = decode_multi(frame, BODY_AT)
    done: list[tuple[int, Prepared]] = []
    subs: list[SubTxn] = []
    size = -len(frame)
    for index, part in enumerate(parts):
        kind, request = in_multi(part)
        prepared = prepare_part(overlay, asker, header._replace(type=kind), request, settings)
        if isinstance(prepared, Refusal):
            overlay.abandon()
            return failed_multi(index, len(parts), prepared.code)
        done.append((kind, prepared))
        data = encode(prepared.txn)
        size += len(data) + 8
        if size > TXN_BYTES_MAX:
            overlay.abandon()
            return failed_multi(index, len(parts), ErrorCode.BAD_ARGUMENTS)
        subs.append(SubTxn(kind, data))
    txn = MultiTxn(tuple(subs))
    replies = [
        (OpCode.CREATE2 if kind in (OpCode.CREATE_CONTAINER, OpCode.CREATE_TTL) else kind, ErrorCode.OK, prepared.reply)
        for kind, prepared in done
    ]
    return Prepared(txn, encode_multi_reply(replies))


def in_multi(part: Part) -> Part:
    """Return what Apache takes a part for: in a multi the flags of a create decide, not the number of its operation.

    Raises
    ------
    PeerError
        If the flags want a time to live, but none is given: Apache finds no words for that.
    """
    request = part.request
    if isinstance(request, CreateTtlRequest):
        if request.flags in TTL_FLAGS:
            return part
        request = CreateRequest(*request[:4])
    if isinstance(request, CreateRequest):
        if request.flags in TTL_FLAGS:
            raise PeerError(f"a part of a multi creates {request.path} with a time to live, but does not give it")
        return Part(OpCode.CREATE_CONTAINER if request.flags == CreateFlag.CONTAINER else OpCode.CREATE, request)
    return part


def failed_multi(index: int, count: int, code: ErrorCode) -> Prepared:
    """Return the transaction and reply of a multi whose part `index` failed: 0 before it, -2 after it."""
    after = ErrorCode.RUNTIME_INCONSISTENCY
    codes = [ErrorCode.OK] * index + [code] + [after] * (count - index - 1)
    txn = MultiTxn(tuple(SubTxn(OpCode.ERROR, encode(ErrorTxn(each))) for each in codes))
    return Prepared(txn, encode_multi_reply([(OpCode.ERROR, each, encode(ErrorReply(each))) for each in codes]))


def bad_path(path: str) -> Refusal | None:
    fault = find_fault(path)
    return Refusal(ErrorCode.BAD_ARGUMENTS, fault) if fault else None


def no_node(path: str) -> Refusal:
    return Refusal(ErrorCode.NO_NODE, f"there is no {path}")


def wrong_version(path: str, have: int, expected: int) -> Refusal | None:
    if expected in (ANY_VERSION, have):
        return None
    return Refusal(ErrorCode.BAD_VERSION, f"{path} is at version {have}, expected {expected}")


def prepare_set_data(
    overlay: Overlay, asker: Asker, header: TxnHeader, request: SetDataRequest, settings: Settings
) -> Prepared | Refusal:
    path = request.path
    node = overlay.find(path)
    if node is None:
        return bad_path(path) or no_node(path)
    if not path:
        return Refusal(ErrorCode.BAD_ARGUMENTS, "an empty path")  # it would find the root
    refusal = check_acl(path, node.acl, WRITE, asker.identities)
    if refusal is None and settings.enforce_quota and not overlay.is_plain:
        refusal = check_quota(overlay, path, 0, len(request.data or b"") - len(node.data or b""))
    refusal = refusal or wrong_version(path, node.version, request.version)
    if refusal:
        return refusal
    txn = SetDataTxn(path, request.data, wrap_int(node.version + 1))
    draft(overlay, header, txn)
    return Prepared(txn, get_node(overlay, path).stat_bytes)


def prepare_create(
    overlay: Overlay, asker: Asker, header: TxnHeader, request: Creation, settings: Settings
) -> Prepared | Refusal:
    path = request.path
    refusal = check_way(request, settings)
    if refusal:
        return refusal
    if "/" not in path or "\0" in path:
        return Refusal(ErrorCode.BAD_ARGUMENTS, f"{path!r} has no place in the tree")
    acl = fix_acl(path, request.acl, asker.identities, asker.known_schemes)
    if isinstance(acl, Refusal):
        return acl
    parent_path = parent_of(path)
    parent = overlay.find(parent_path)
    if parent is None:
        return no_node(parent_path)
    refusal = check_acl(parent_path, parent.acl, CREATE, asker.identities)
    if refusal:
        return refusal
    if request.flags in SEQUENTIAL_FLAGS:
        path += f"{parent.creates:010d}"
    refusal = bad_path(path)
    if refusal:
        return refusal
    if overlay.find(path) is not None:
        return Refusal(ErrorCode.NODE_EXISTS, f"{path} exists")
    if parent.owner:
        return Refusal(ErrorCode.NO_CHILDREN_FOR_EPHEMERALS, f"{parent_path} is ephemeral and can have no children")
    if settings.enforce_quota and not overlay.is_plain:
        refusal = check_quota(overlay, path, 1, len(request.data or b""))
        if refusal:
            return refusal
    return create(overlay, header, request._replace(path=path, acl=acl), parent)


def check_way(request: Creation, settings: Settings) -> Refusal | None:
    """Return why no znode can be created in the way, and with the time to live, that `request` wants."""
    path, flags = request.path, request.flags
    if flags not in FLAGS:
        return Refusal(ErrorCode.BAD_ARGUMENTS, f"{flags} is no way to create {path}")
    ttl_ms = request.ttl_ms if isinstance(request, CreateTtlRequest) else None
    if flags not in TTL_FLAGS:
        if ttl_ms is None:
            return None
        # Apache lets a negative time through, and stops for ever when it comes to apply it.
        return Refusal(ErrorCode.BAD_ARGUMENTS, f"{path} cannot have a time to live with flags {flags}")
    if not settings.extended_types:
        return Refusal(ErrorCode.UNIMPLEMENTED, f"znodes with a time to live are not enabled: {path}")
    if ttl_ms is None or not 0 < ttl_ms <= TTL_MS_MAX:
        return Refusal(ErrorCode.BAD_ARGUMENTS, f"{path} is to live for {ttl_ms} ms; 1 to {TTL_MS_MAX} are possible")
    return None


def create(overlay: Overlay, header: TxnHeader, request: Creation, parent: Node) -> Prepared:
    """Draft a create that has passed its checks; `request` has the final path and ACL."""
    path, creates = request.path, wrap_int(parent.creates + 1)
    txn: Txn
    if header.type == OpCode.CREATE_CONTAINER:
        txn = CreateContainerTxn(path, request.data, request.acl, creates)
    elif isinstance(request, CreateTtlRequest):
        txn = CreateTtlTxn(path, request.data, request.acl, creates, request.ttl_ms)
    else:
        txn = CreateTxn(path, request.data, request.acl, request.flags in EPHEMERAL_FLAGS, creates)
    draft(overlay, header, txn)
    if header.type == OpCode.CREATE:
        return Prepared(txn, encode(PathOnly(path)))
    return Prepared(txn, encode(PathOnly(path)) + get_node(overlay, path).stat_bytes)


def prepare_delete(overlay: Overlay, asker: Asker, header: TxnHeader, request: PathVersion) -> Prepared | Refusal:
    path = request.path
    if "/" not in path or "\0" in path or path in SPECIAL:
        return Refusal(ErrorCode.BAD_ARGUMENTS, f"{path!r} cannot be deleted")
    parent_path = parent_of(path)
    parent = overlay.find(parent_path)
    if parent is None:
        return no_node(parent_path)
    refusal = check_acl(parent_path, parent.acl, Permission.DELETE, asker.identities)
    if refusal:
        return refusal
    node = overlay.find(path)
    if node is None:
        return no_node(path)
    refusal = wrong_version(path, node.version, request.version)
    if refusal:
        return refusal
    if node.child_count:
        return Refusal(ErrorCode.NOT_EMPTY, f"{path} has {node.child_count} children")
    txn = DeleteTxn(path)
    draft(overlay, header, txn)
    return Prepared(txn, b"")


def prepare_set_acl(overlay: Overlay, asker: Asker, header: TxnHeader, request: SetAclRequest) -> Prepared | Refusal:
    path = request.path
    refusal = bad_path(path)
    if refusal:
        return refusal
    acl = fix_acl(path, request.acl, asker.identities, asker.known_schemes)
    if isinstance(acl, Refusal):
        return acl
    node = overlay.find(path)
    if node is None:
        return no_node(path)
    refusal = check_acl(path, node.acl, Permission.ADMIN, asker.identities) or wrong_version(
        path, node.aversion, request.version
    )
    if refusal:
        return refusal
    txn = SetAclTxn(path, acl, wrap_int(node.aversion + 1))
    draft(overlay, header, txn)
    return Prepared(txn, get_node(overlay, path).stat_bytes)


def prepare_check(overlay: Overlay, asker: Asker, request: PathVersion) -> Prepared | Refusal:
    path = request.path
    refusal = bad_path(path)
    if refusal:
        return refusal
    node = overlay.find(path)
    if node is None:
        return no_node(path)
    refusal = check_acl(path, node.acl, Permission.READ, asker.identities) or wrong_version(path, node.version, request.version)
    return refusal or Prepared(CheckVersionTxn(path, wrap_int(node.version + 1)), b"")


def get_node(overlay: Overlay, path: str) -> Node:
    """Return the znode that will be at `path`.

    Raises
    ------
    PeerError
        If there will be none: whoever calls this has just drafted it.
    """
    node = overlay.find(path)
    if node is None:
        raise PeerError(f"{path} is gone from its own transaction")
    return node
