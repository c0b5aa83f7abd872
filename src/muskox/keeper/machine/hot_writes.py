"""The shortest way of the writes that clients send most: setData, create and delete where znodes are open to all.

The hot path: bytes and tuples. Reading, checking and writing the same request as records, in `prepare`, takes three times as
long; the tests hold the two against each other. What is out of the ordinary in any way, errors too, is left to `prepare`.
"""

from collections.abc import Callable, Sequence
from struct import Struct
from zlib import crc32

from muskox.keeper.machine.node import DATA_AT, DIGEST_FIELDS, INT_SPAN, LONG_MAX, STAT, UNCOUNTED, Node, wrap_int, wrap_long
from muskox.keeper.machine.overlay import Overlay
from muskox.keeper.machine.paths import VALID
from muskox.keeper.machine.replies import HEAD, HEAD_BYTES, PATH_AT
from muskox.keeper.machine.tree import Change
from muskox.keeper.wire.jute import LENGTH
from muskox.keeper.wire.opcodes import EventType, OpCode
from muskox.keeper.wire.records import BODY_AT, OPEN_ACL, OPEN_ACL_BYTES
from muskox.keeper.wire.transactions import DIGEST_VERSION

VERSION_BYTES = 4
VERSION_AT_MIN = 18  # in a setData of a path of two characters: that of the root is a special case everywhere
INT_MAX = (1 << 31) - 1
STAT_BYTES = STAT.size
STAT_REPLY_BYTES = HEAD_BYTES + STAT_BYTES
REQUEST = Struct(">iii")  # xid, kind, length of the path
KEPT = Struct(">q8xq8xiiiq4xiq")  # what a setData keeps of a Stat, and the version
ENTRY_HEAD = Struct(">qiqqi")  # the transaction's header
ENTRY_TAIL = Struct(">iiq")  # version of the znode, version and value of the tree's digest

PARENT_TAIL = Struct(">?iiq")  # ephemeral, creates under the parent, version and value of the tree's digest
DELETE_TAIL = Struct(">iq")
ACL_AT = -len(OPEN_ACL_BYTES) - 4  # from the end of a create
SEQUENTIAL, EPHEMERAL = 2, 1
CREATES_MAX = (1 << 31) - 1  # Apache counts no further

SET_DATA = int(OpCode.SET_DATA)
CREATE2 = int(OpCode.CREATE2)
DELETE = int(OpCode.DELETE)
DATA_CHANGED = EventType.DATA_CHANGED
CREATED, DELETED, CHILDREN_CHANGED = EventType.CREATED, EventType.DELETED, EventType.CHILDREN_CHANGED

unpack_length, pack_length = LENGTH.unpack_from, LENGTH.pack
unpack_request, unpack_kept = REQUEST.unpack_from, KEPT.unpack_from
unpack_stat, pack_stat = STAT.unpack_from, STAT.pack
pack_head, pack_tail, pack_reply, pack_digest = ENTRY_HEAD.pack, ENTRY_TAIL.pack, HEAD.pack, DIGEST_FIELDS.pack
new = tuple.__new__

Stat = tuple[int, ...]  # in the order of the wire
VERSION, CVERSION, OWNER, CHILD_COUNT = 4, 5, 7, 9  # where they stand in it
Writer = tuple[int, int, int]  # session, time in milliseconds, opcode
Out = tuple[list[Sequence[Change]], list[bytes], list[bytes]]  # where changes, log entries and replies are put
Drafted = tuple[tuple[Change, ...], bytes, bytes]  # its changes, its log entry, the reply


def set_data(overlay: Overlay, by: Writer, zxid: int, frames: list[bytes], start: int, out: Out) -> int:
    """Draft the consecutive setData requests among `frames` from `start` on, and return how many there were."""
    session_id, time_ms, _ = by
    pending, nodes, digest = overlay.pending, overlay.tree.nodes, overlay.digest
    changes, entries, replies = out
    zxid_first = zxid
    for at in range(start, len(frames)):
        frame = frames[at]
        version_at = len(frame) - VERSION_BYTES
        if version_at < VERSION_AT_MIN:
            break
        xid, kind, length = unpack_request(frame)
        data_at = PATH_AT + length
        if kind != SET_DATA or length < 2 or data_at + 4 > version_at:
            break
        path_bytes = frame[PATH_AT:data_at]
        path = path_bytes.decode("utf-8", "replace")
        latest = pending.get(path)
        node = nodes.get(path) if latest is None else latest[1]
        (length,) = unpack_length(frame, data_at)
        data_at += 4
        if node is None or length < 0 or data_at + length != version_at:
            break
        answer, acl, mark, share = node
        kept = unpack_kept(answer, len(answer) - STAT_BYTES)
        czxid, ctime, version, cversion, aversion, owner, child_count, pzxid = kept
        (expected,) = unpack_length(frame, version_at)
        # What counts in no digest is not plain: it lies under /zookeeper.
        if acl is not OPEN_ACL or expected not in (version, -1) or version == INT_MAX or not share:
            break
        version += 1
        stat = pack_stat(czxid, zxid, ctime, time_ms, version, cversion, aversion, owner, length, child_count, pzxid)
        creates = (cversion + child_count) % INT_SPAN // 2
        fields = pack_digest(czxid, zxid, pzxid, ctime, time_ms, version, creates, aversion, mark or owner)
        digest -= share
        share = crc32(fields, crc32(frame[data_at:version_at], crc32(path_bytes)))
        digest += share
        node = new(Node, (frame[data_at - 4 : version_at] + stat, acl, mark, share))
        pending[path] = (zxid, node)
        changes.append(((path, node, DATA_CHANGED),))
        tail = pack_tail(version, DIGEST_VERSION, digest if digest <= LONG_MAX else wrap_long(digest))
        entries.append(pack_head(session_id, xid, zxid, time_ms, SET_DATA) + frame[BODY_AT:version_at] + tail)
        replies.append(pack_reply(STAT_REPLY_BYTES, xid, zxid, 0) + stat)
        zxid += 1
    overlay.digest = digest
    return zxid - zxid_first


def create(overlay: Overlay, by: Writer, zxid: int, frame: bytes) -> Drafted | None:
    session_id, time_ms, kind = by
    size = len(frame)
    if frame[ACL_AT:-4] != OPEN_ACL_BYTES:
        return None
    (length,) = unpack_length(frame, BODY_AT)
    data_at = PATH_AT + length
    if length < 2 or data_at + 4 > size:
        return None
    path_bytes = frame[PATH_AT:data_at]
    (length,) = unpack_length(frame, data_at)
    (flags,) = unpack_length(frame, size - 4)
    path = path_bytes.decode("utf-8", "replace")
    parent_path = path[: path.rfind("/")] or "/"
    parent = overlay.find(parent_path)
    if length < 0 or data_at + 4 + length != size + ACL_AT or not 0 <= flags <= SEQUENTIAL | EPHEMERAL or parent is None:
        return None
    stat = stat_of(parent)
    creates = (stat[CVERSION] + stat[CHILD_COUNT]) % INT_SPAN // 2
    request = frame[BODY_AT:-4]
    if flags & SEQUENTIAL:
        path += f"{creates:010d}"
        path_bytes = path.encode()
        request = pack_length(len(path_bytes)) + path_bytes + frame[data_at:-4]
    if (
        parent[1] is not OPEN_ACL
        or stat[OWNER]
        or creates == CREATES_MAX
        or path.startswith(UNCOUNTED)
        or not VALID.fullmatch(path)
        or overlay.find(path) is not None
    ):
        return None
    owner = session_id if flags & EPHEMERAL else 0
    above = with_child(parent_path, parent, stat, 1, zxid)
    stat_bytes = pack_stat(zxid, zxid, time_ms, time_ms, 0, 0, 0, owner, length, 0, zxid)
    fields = pack_digest(zxid, zxid, zxid, time_ms, time_ms, 0, 0, 0, owner)
    share = crc32(fields, crc32(frame[data_at + 4 : ACL_AT], crc32(path_bytes)))
    node = new(Node, (frame[data_at:ACL_AT] + stat_bytes, OPEN_ACL, 0, share))
    overlay.pending[path] = (zxid, node)
    overlay.pending[parent_path] = (zxid, above)
    overlay.digest += node.digest + above.digest - parent.digest
    if owner:
        overlay.own(path, None, node)
    head = pack_head(session_id, unpack_length(frame)[0], zxid, time_ms, kind)
    entry = head + request + PARENT_TAIL.pack(bool(owner), creates + 1, DIGEST_VERSION, wrap_long(overlay.digest))
    body = pack_length(len(path_bytes)) + path_bytes
    if kind == CREATE2:
        body += stat_bytes
    reply = pack_reply(HEAD_BYTES + len(body), unpack_length(frame)[0], zxid, 0) + body
    return ((path, node, CREATED), (parent_path, above, CHILDREN_CHANGED)), entry, reply


def stat_of(node: Node) -> Stat:
    answer = node[0]
    return unpack_stat(answer, len(answer) - STAT_BYTES)


def with_child(path: str, parent: Node, stat: Stat, more: int, zxid: int) -> Node:
    """Return `parent`, whose Stat is `stat`, with a child more or less."""
    czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, length, child_count, _ = stat
    creates = (cversion + child_count) % INT_SPAN // 2 + (more > 0)
    cversion, child_count = wrap_int(cversion + 1), child_count + more
    packed = pack_stat(czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, length, child_count, zxid)
    answer, acl, mark, _ = parent
    data = answer[:-STAT_BYTES]  # and its length
    crc = crc32(b"" if path == "/" else path.encode())
    fields = pack_digest(czxid, mzxid, zxid, ctime, mtime, version, creates, aversion, mark or owner)
    return new(Node, (data + packed, acl, mark, crc32(fields, crc32(data[DATA_AT:], crc))))


def delete(overlay: Overlay, by: Writer, zxid: int, frame: bytes) -> Drafted | None:
    session_id, time_ms, _ = by
    (length,) = unpack_length(frame, BODY_AT) if len(frame) > PATH_AT else (0,)
    if length < 2 or PATH_AT + length + VERSION_BYTES != len(frame):
        return None
    path = frame[PATH_AT:-VERSION_BYTES].decode("utf-8", "replace")
    parent_path = path[: path.rfind("/")] or "/"
    parent, node = overlay.find(parent_path), overlay.find(path)
    (expected,) = unpack_length(frame, len(frame) - VERSION_BYTES)
    if (
        node is None
        or parent is None
        or parent.acl is not OPEN_ACL
        or expected not in (-1, (stat := stat_of(node))[VERSION])
        or stat[CHILD_COUNT]
        or path.startswith(UNCOUNTED)
    ):
        return None
    above = with_child(parent_path, parent, stat_of(parent), -1, zxid)
    overlay.pending[path] = (zxid, None)
    overlay.pending[parent_path] = (zxid, above)
    overlay.digest += above.digest - parent.digest - node.digest
    if stat[OWNER]:
        overlay.own(path, node, None)
    xid = unpack_length(frame)[0]
    head = pack_head(session_id, xid, zxid, time_ms, DELETE)
    entry = head + frame[BODY_AT:-VERSION_BYTES] + DELETE_TAIL.pack(DIGEST_VERSION, wrap_long(overlay.digest))
    changes = ((path, None, DELETED), (parent_path, above, CHILDREN_CHANGED))
    return changes, entry, pack_reply(HEAD_BYTES, xid, zxid, 0)


# Each drafts one request, in `frame`, into the overlay; or returns None, with nothing done, if it is not an ordinary one.
HOT: dict[int, Callable[[Overlay, Writer, int, bytes], Drafted | None]] = {
    OpCode.CREATE: create,
    OpCode.CREATE2: create,
    OpCode.DELETE: delete,
}
