"""One znode, frozen: a change makes a new one, so whoever holds the old one holds the past.

The first eleven fields are the Stat that clients see, in the order of the wire, so that a reply packs them as they stand.
"""

from struct import Struct
from typing import NamedTuple
from zlib import crc32

from muskox.keeper.wire.records import Acl, AclList, Id, Stat

READ_ONLY_ACL: AclList = (Acl(1, Id("world", "anyone")),)

CONTAINER_OWNER = -(1 << 63)  # the owner that marks a container
TTL_SHIFT = 56  # a stored owner with 0xff above this bit is a time to live in milliseconds
INT_SPAN = 1 << 32
LONG_HALF = 1 << 63

STAT = Struct(">qqqqiiiqiiq")
DIGEST_FIELDS = Struct(">qqqqqiiiq")
UNCOUNTED = "/zookeeper/"  # what lies under it is in no digest: Apache changes it without transactions


class Node(NamedTuple):
    """A znode as its clients see it: see `creates` and `stored_owner` for what is stored instead.

    `cversion` counts creates plus deletes of children. `owner` is the session of an ephemeral znode, else 0. `mark` is the
    owner that says container or TTL, else 0.
    """

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    owner: int
    data_length: int
    child_count: int
    pzxid: int
    data: bytes | None
    acl: AclList
    mark: int

    @property
    def stored_owner(self) -> int:
        return self.mark or self.owner

    @property
    def creates(self) -> int:
        """How many children were ever created here: what a sequence suffix counts, and what is stored as cversion."""
        return (self.cversion + self.child_count) // 2

    @property
    def stat(self) -> Stat:
        return Stat(*self[:11])

    @property
    def stat_bytes(self) -> bytes:
        """The Stat as it is sent."""
        return STAT.pack(*self[:11])

    def with_data(self, data: bytes | None, version: int, zxid: int, time_ms: int) -> "Node":
        # Written out: this is the hot path, and _replace takes three times as long.
        czxid, _, ctime, _, _, cversion, aversion, owner, _, child_count, pzxid, _, acl, mark = self
        size = 0 if data is None else len(data)
        return Node(czxid, zxid, ctime, time_ms, version, cversion, aversion, owner, size, child_count, pzxid, data, acl, mark)

    def with_children(self, creates: int, child_count: int, pzxid: int) -> "Node":
        czxid, mzxid, ctime, mtime, version, _, aversion, owner, size, _, _, data, acl, mark = self
        cversion = wrap_int(creates * 2 - child_count)
        return Node(czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, size, child_count, pzxid, data, acl, mark)


def new_node(data: bytes | None, acl: AclList, owner: int, zxid: int, time_ms: int) -> Node:
    """Return a znode as it is just after its creation; `owner` is the stored one."""
    size = 0 if data is None else len(data)
    session, mark = split_owner(owner)
    return Node(zxid, zxid, time_ms, time_ms, 0, 0, 0, session, size, 0, zxid, data, acl, mark)


def split_owner(stored: int) -> tuple[int, int]:
    """Return owner and mark of a stored owner.

    A container's is the least number there is, a TTL's has 0xff in its first byte; any other is a session, even below 0.
    """
    is_marked = stored == CONTAINER_OWNER or stored >> TTL_SHIFT == -1
    return (0, stored) if is_marked else (stored, 0)


def wrap_int(value: int) -> int:
    """Return `value` as a Java int: versions wrap around."""
    return (value + (1 << 31)) % INT_SPAN - (1 << 31)


def wrap_long(value: int) -> int:
    """Return `value` as a Java long."""
    if -LONG_HALF <= value < LONG_HALF:
        return value
    return (value + LONG_HALF) % (2 * LONG_HALF) - LONG_HALF


def node_digest(path: str, node: Node) -> int:
    """Return what `node` adds to the digest of the tree (Apache's DigestCalculator, version 2)."""
    if path.startswith(UNCOUNTED):
        return 0
    czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, _, child_count, pzxid, data, _, mark = node
    crc = crc32(b"" if path == "/" else path.encode())
    if data:
        crc = crc32(data, crc)
    creates = (cversion + child_count) // 2
    return crc32(DIGEST_FIELDS.pack(czxid, mzxid, pzxid, ctime, mtime, version, creates, aversion, mark or owner), crc)
