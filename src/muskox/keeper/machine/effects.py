"""What a transaction makes of the tree: the one place where transactions become znodes, for live requests and for replay.

It decides nothing: a transaction holds absolutes. It forgives what a log of Apache's may hold, whose snapshots are taken while
the tree changes, so that transactions meet their own effects: a create of what exists, a deletion of what does not.
"""

from typing import assert_never

from muskox.errors import PeerError
from muskox.keeper.machine.node import CONTAINER_OWNER, TTL_SHIFT, new_node, wrap_int
from muskox.keeper.machine.overlay import Overlay
from muskox.keeper.machine.paths import QUOTA_PREFIX, parent_of
from muskox.keeper.machine.quota import count_change, count_created
from muskox.keeper.wire.opcodes import EventType, OpCode
from muskox.keeper.wire.transactions import (
    CheckVersionTxn,
    CloseSessionTxn,
    CreateContainerTxn,
    CreateSessionTxn,
    CreateTtlTxn,
    CreateTxn,
    DeleteTxn,
    ErrorTxn,
    MultiTxn,
    SetAclTxn,
    SetDataTxn,
    Txn,
    TxnHeader,
    codec_of,
)

# Looked up once: in the hot path, a look at an Enum's member costs as much as everything else about it.
DATA_CHANGED = EventType.DATA_CHANGED
CREATED = EventType.CREATED
CHILDREN_CHANGED = EventType.CHILDREN_CHANGED

Creation = CreateTxn | CreateContainerTxn | CreateTtlTxn


def draft(overlay: Overlay, header: TxnHeader, txn: Txn) -> None:
    """Put what `txn` makes of the tree into `overlay`."""
    match txn:
        case SetDataTxn():
            set_data(overlay, header, txn)
        case CreateTxn() | CreateContainerTxn() | CreateTtlTxn():
            create(overlay, header, txn)
        case DeleteTxn(path):
            delete(overlay, header, path)
        case SetAclTxn():
            set_acl(overlay, txn)
        case CloseSessionTxn(paths):
            for path in dict.fromkeys((*(paths or ()), *overlay.ephemerals.get(header.session_id, ()))):
                delete(overlay, header, path)
        case MultiTxn(parts):
            multi = [(part.type, part.data or b"") for part in parts or ()]
            if not any(kind == OpCode.ERROR for kind, _ in multi):
                for kind, data in multi:
                    part = codec_of(kind).decode(data)
                    if isinstance(part, MultiTxn | CreateSessionTxn | CloseSessionTxn):
                        raise PeerError(f"a multi in the log, zxid {header.zxid:#x}, holds a part of type {kind}")
                    draft(overlay, header, part)
        case CheckVersionTxn() | CreateSessionTxn() | ErrorTxn():
            pass
        case _:
            assert_never(txn)


def owner_of(header: TxnHeader, txn: Creation) -> int:
    """Return the owner to store for a new znode."""
    match txn:
        case CreateTxn():
            return header.session_id if txn.ephemeral else 0
        case CreateContainerTxn():
            return CONTAINER_OWNER
        case CreateTtlTxn():
            return -1 << TTL_SHIFT | txn.ttl_ms


def create(overlay: Overlay, header: TxnHeader, txn: Creation) -> None:
    parent_path = parent_of(txn.path)
    parent = overlay.find(parent_path)
    if parent is None:
        return
    creates = parent.creates + 1 if txn.parent_cversion == -1 else txn.parent_cversion
    newer = creates > parent.creates
    creates, pzxid = (creates, header.zxid) if newer else (parent.creates, parent.pzxid)
    if overlay.find(txn.path) is not None:
        if newer:
            overlay.put(parent_path, parent.with_children(parent_path, creates, parent.child_count, pzxid), EventType.NONE)
        return
    acl = overlay.intern(txn.acl)
    node = new_node(txn.path, txn.data, acl, owner_of(header, txn), header.zxid, header.time_ms)
    overlay.put(txn.path, node, CREATED)
    overlay.put(parent_path, parent.with_children(parent_path, creates, parent.child_count + 1, pzxid), CHILDREN_CHANGED)
    if not overlay.is_plain or txn.path.startswith(QUOTA_PREFIX):
        count_created(overlay, txn.path, txn.data)


def delete(overlay: Overlay, header: TxnHeader, path: str) -> None:
    parent_path = parent_of(path)
    parent = overlay.find(parent_path)
    if parent is None:
        return
    pzxid = max(parent.pzxid, header.zxid)
    node = overlay.find(path)
    if node is None:
        overlay.put(parent_path, parent.with_children(parent_path, parent.creates, parent.child_count, pzxid), EventType.NONE)
        return
    overlay.put(path, None, EventType.DELETED)
    children = parent.with_children(parent_path, parent.creates, parent.child_count - 1, pzxid)
    overlay.put(parent_path, children, CHILDREN_CHANGED)
    if not overlay.is_plain:
        count_change(overlay, path, -1, -len(node.data or b""))


def set_data(overlay: Overlay, header: TxnHeader, txn: SetDataTxn) -> None:
    node = overlay.find(txn.path)
    if node is None:
        return
    changed = node.with_data(txn.path, txn.data, wrap_int(txn.version), header.zxid, header.time_ms)
    overlay.put(txn.path, changed, DATA_CHANGED)
    if not overlay.is_plain:
        count_change(overlay, txn.path, 0, len(txn.data or b"") - len(node.data or b""))


def set_acl(overlay: Overlay, txn: SetAclTxn) -> None:
    node = overlay.find(txn.path)
    if node is not None:
        overlay.put(txn.path, node.with_acl(txn.path, overlay.intern(txn.acl), txn.version), EventType.NONE)
