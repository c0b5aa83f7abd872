"""The shortest way of the writes that clients send most: a setData on a znode that is open to all.

The hot path: bytes and tuples. Reading, checking and writing the same request as records, in `prepare`, takes three times as
long; the tests hold the two against each other. What is out of the ordinary in any way is left to `prepare`.
"""

from struct import Struct
from zlib import crc32

from muskox.keeper.machine.node import DIGEST_FIELDS, LONG_MAX, STAT, UNCOUNTED, Node, wrap_long
from muskox.keeper.machine.overlay import Overlay
from muskox.keeper.machine.replies import HEAD, HEAD_BYTES
from muskox.keeper.machine.tree import Change
from muskox.keeper.wire.jute import LENGTH
from muskox.keeper.wire.opcodes import EventType, OpCode
from muskox.keeper.wire.records import OPEN_ACL
from muskox.keeper.wire.transactions import DIGEST_VERSION

BODY_AT = 8
PATH_AT = 12
VERSION_BYTES = 4
SET_DATA_BYTES_MIN = 22  # a path of two characters: that of the root is a special case everywhere
INT_MAX = (1 << 31) - 1
STAT_REPLY_BYTES = HEAD_BYTES + STAT.size
ENTRY_HEAD = Struct(">qiqqi")  # the transaction's header
ENTRY_TAIL = Struct(">iiq")  # version of the znode, version and value of the tree's digest

SET_DATA = int(OpCode.SET_DATA)
DATA_CHANGED = EventType.DATA_CHANGED

unpack_length = LENGTH.unpack_from
unpack_stat, pack_stat = STAT.unpack, STAT.pack
pack_head, pack_tail, pack_reply, pack_digest = ENTRY_HEAD.pack, ENTRY_TAIL.pack, HEAD.pack, DIGEST_FIELDS.pack
new = tuple.__new__


def set_data(overlay: Overlay, session_id: int, zxid: int, time_ms: int, frame: bytes) -> tuple[Change, bytes, bytes] | None:
    """Draft a setData and return its change, log entry and reply; None, with nothing done, if it is not an ordinary one."""
    size = len(frame)
    if size < SET_DATA_BYTES_MIN:
        return None
    (xid,) = unpack_length(frame)
    (length,) = unpack_length(frame, BODY_AT)
    data_at = PATH_AT + length
    if length < 2 or data_at + 4 > size:
        return None
    path_bytes = frame[PATH_AT:data_at]
    path = path_bytes.decode("utf-8", "replace")
    pending = overlay.pending.get(path)
    node = overlay.tree.nodes.get(path) if pending is None else pending[1]
    (length,) = unpack_length(frame, data_at)
    version_at = size - VERSION_BYTES
    if node is None or length < 0 or data_at + 4 + length != version_at:
        return None
    stat, _, acl, mark, share = node
    czxid, _, ctime, _, version, cversion, aversion, owner, _, child_count, pzxid = unpack_stat(stat)
    (expected,) = unpack_length(frame, version_at)
    if acl is not OPEN_ACL or expected not in (-1, version) or version == INT_MAX or path.startswith(UNCOUNTED):
        return None
    data = frame[data_at + 4 : version_at]
    version += 1
    stat = pack_stat(czxid, zxid, ctime, time_ms, version, cversion, aversion, owner, length, child_count, pzxid)
    creates = (cversion + child_count) // 2
    fields = pack_digest(czxid, zxid, pzxid, ctime, time_ms, version, creates, aversion, mark or owner)
    crc = crc32(path_bytes)
    digest = overlay.digest - share
    share = crc32(fields, crc32(data, crc) if length else crc)
    digest += share
    node = new(Node, (stat, data, acl, mark, share))
    overlay.digest = digest
    overlay.pending[path] = (zxid, node)
    if digest > LONG_MAX:
        digest = wrap_long(digest)
    entry = pack_head(session_id, xid, zxid, time_ms, SET_DATA) + frame[BODY_AT:version_at]
    entry += pack_tail(version, DIGEST_VERSION, digest)
    return (path, node, DATA_CHANGED), entry, pack_reply(STAT_REPLY_BYTES, xid, zxid, 0) + stat
