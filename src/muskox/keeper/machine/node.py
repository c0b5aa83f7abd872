"""One znode, frozen: a change makes a new one, so whoever holds the old one holds the past.

The first eleven fields are the Stat that clients see, in the order of the wire, so that a reply packs them as they stand.
"""

from struct import Struct
from typing import NamedTuple
from zlib import crc32

from muskox.keeper.wire.records import Acl, AclList, Id, Stat

OPEN_ACL: AclList = (Acl(31, Id("world", "anyone")),)
READ_ONLY_ACL: AclList = (Acl(1, Id("world", "anyone")),)

CONTAINER_OWNER = -(1 << 63)  # the owner that marks a container
INT_SPAN = 1 << 32

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

    def with_children(self, creates: int, child_count: int, pzxid: int) -> "Node":
        return self._replace(cversion=wrap_int(creates * 2 - child_count), child_count=child_count, pzxid=pzxid)


def new_node(data: bytes | None, acl: AclList, owner: int, zxid: int, time_ms: int) -> Node:
    """Return a znode as it is just after its creation; `owner` is the stored one."""
    size = 0 if data is None else len(data)
    # No session id has the top bit, so an owner below 0 marks a container or a TTL.
    session, mark = (owner, 0) if owner >= 0 else (0, owner)
    return Node(zxid, zxid, time_ms, time_ms, 0, 0, 0, session, size, 0, zxid, data, acl, mark)


def wrap_int(value: int) -> int:
    """Return `value` as a Java int: versions wrap around."""
    return (value + (1 << 31)) % INT_SPAN - (1 << 31)


def node_digest(path: str, node: Node) -> int:
    """Return what `node` adds to the digest of the tree (Apache's DigestCalculator, version 2)."""
    if path.startswith(UNCOUNTED):
        return 0
    crc = crc32(b"" if path == "/" else path.encode())
    if node.data:
        crc = crc32(node.data, crc)
    numbers = DIGEST_FIELDS.pack(
        node.czxid,
        node.mzxid,
        node.pzxid,
        node.ctime,
        node.mtime,
        node.version,
        node.creates,
        node.aversion,
        node.stored_owner,
    )
    return crc32(numbers, crc)
