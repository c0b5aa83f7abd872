"""One znode, frozen: a change makes a new one, so whoever holds the old one holds the past.

Its data and its Stat are kept as the bytes that answer a getData: in one place in memory, and ready to be sent. What it adds to
the digest of the tree is kept beside them, because every change of the znode has to take that out again.
"""

from struct import Struct
from typing import NamedTuple
from zlib import crc32

from muskox.keeper.wire.jute import LENGTH, NULL
from muskox.keeper.wire.records import Acl, AclList, Id, Stat

READ_ONLY_ACL: AclList = (Acl(1, Id("world", "anyone")),)

CONTAINER_OWNER = -(1 << 63)  # the owner that marks a container
TTL_SHIFT = 56  # a stored owner with 0xff above this bit is a time to live in milliseconds
TTL_MS_MAX = (1 << 40) - 1  # what lies between is for kinds of znodes that nobody has invented
INT_SPAN = 1 << 32
LONG_MAX = (1 << 63) - 1
LONG_SPAN = 1 << 64

STAT = Struct(">qqqqiiiqiiq")
DATA_AT = 4  # in the answer
LONG, INT = Struct(">q"), Struct(">i")
MZXID_AT, MTIME_AT, VERSION_AT, CVERSION_AT, AVERSION_AT, OWNER_AT, CHILDREN_AT, PZXID_AT = 8, 24, 32, 36, 40, 44, 56, 60
CHILDREN_AND_PZXID = Struct(">iq")
DIGEST_FIELDS = Struct(">qqqqqiiiq")
UNCOUNTED = "/zookeeper/"  # what lies under it is in no digest: Apache changes it without transactions


class Node(NamedTuple):
    """A znode; see `creates` and `stored_owner` for what is stored in files instead of what clients see.

    `answer` is the body of the reply to a getData: the length of the data, the data, the Stat. `mark` is the owner that says
    container or TTL, else 0. `digest` is its share of the digest of the tree.
    """

    answer: bytes
    acl: AclList
    mark: int
    digest: int

    @property
    def stat_bytes(self) -> bytes:
        return self.answer[-STAT.size :]

    @property
    def data(self) -> bytes | None:
        return None if self.answer.startswith(NULL) else self.answer[DATA_AT : -STAT.size]

    @property
    def stat(self) -> Stat:
        return Stat(*STAT.unpack(self.stat_bytes))

    @property
    def czxid(self) -> int:
        return int(LONG.unpack_from(self.answer, len(self.answer) - STAT.size)[0])

    @property
    def mzxid(self) -> int:
        return int(LONG.unpack_from(self.answer, len(self.answer) - STAT.size + MZXID_AT)[0])

    @property
    def mtime(self) -> int:
        return int(LONG.unpack_from(self.answer, len(self.answer) - STAT.size + MTIME_AT)[0])

    @property
    def version(self) -> int:
        return int(INT.unpack_from(self.answer, len(self.answer) - STAT.size + VERSION_AT)[0])

    @property
    def cversion(self) -> int:
        """How often a child was created or deleted."""
        return int(INT.unpack_from(self.answer, len(self.answer) - STAT.size + CVERSION_AT)[0])

    @property
    def aversion(self) -> int:
        return int(INT.unpack_from(self.answer, len(self.answer) - STAT.size + AVERSION_AT)[0])

    @property
    def owner(self) -> int:
        """The session of an ephemeral znode, else 0."""
        return int(LONG.unpack_from(self.answer, len(self.answer) - STAT.size + OWNER_AT)[0])

    @property
    def child_count(self) -> int:
        return int(INT.unpack_from(self.answer, len(self.answer) - STAT.size + CHILDREN_AT)[0])

    @property
    def pzxid(self) -> int:
        return int(LONG.unpack_from(self.answer, len(self.answer) - STAT.size + PZXID_AT)[0])

    @property
    def stored_owner(self) -> int:
        return self.mark or self.owner

    @property
    def ttl_ms(self) -> int | None:
        """The time to live of a znode that has one."""
        return self.mark & TTL_MS_MAX if self.mark >> TTL_SHIFT == -1 else None

    @property
    def creates(self) -> int:
        """How many children were ever created here: what a sequence suffix counts, and what is stored as cversion."""
        return (self.cversion + self.child_count) % INT_SPAN // 2  # the cversion of a busy parent wraps around

    def with_data(self, path: str, data: bytes | None, version: int, zxid: int, time_ms: int) -> "Node":
        czxid, _, ctime, _, _, cversion, aversion, owner, _, child_count, pzxid = STAT.unpack(self.stat_bytes)
        size = 0 if data is None else len(data)
        stat = STAT.pack(czxid, zxid, ctime, time_ms, version, cversion, aversion, owner, size, child_count, pzxid)
        return make_node(path, stat, data, self.acl, self.mark)

    def with_children(self, path: str, creates: int, child_count: int, pzxid: int) -> "Node":
        stat = self.stat_bytes
        cversion = INT.pack(wrap_int(creates * 2 - child_count))
        stat = stat[:CVERSION_AT] + cversion + stat[AVERSION_AT:CHILDREN_AT] + CHILDREN_AND_PZXID.pack(child_count, pzxid)
        return make_node(path, stat, self.data, self.acl, self.mark)

    def with_acl(self, path: str, acl: AclList, aversion: int) -> "Node":
        stat = self.stat_bytes[:AVERSION_AT] + INT.pack(aversion) + self.stat_bytes[OWNER_AT:]
        return make_node(path, stat, self.data, acl, self.mark)


def make_node(path: str, stat_bytes: bytes, data: bytes | None, acl: AclList, mark: int) -> Node:
    """Return the znode with these parts; `path` counts in its digest (Apache's DigestCalculator, version 2)."""
    answer = (NULL if data is None else LENGTH.pack(len(data)) + data) + stat_bytes
    if path.startswith(UNCOUNTED):
        return Node(answer, acl, mark, 0)
    czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, _, child_count, pzxid = STAT.unpack(stat_bytes)
    crc = crc32(b"" if path == "/" else path.encode())
    if data:
        crc = crc32(data, crc)
    creates = (cversion + child_count) % INT_SPAN // 2
    share = crc32(DIGEST_FIELDS.pack(czxid, mzxid, pzxid, ctime, mtime, version, creates, aversion, mark or owner), crc)
    return Node(answer, acl, mark, share)


def new_node(path: str, data: bytes | None, acl: AclList, owner: int, zxid: int, time_ms: int) -> Node:
    """Return a znode as it is just after its creation; `owner` is the stored one."""
    size = 0 if data is None else len(data)
    session, mark = split_owner(owner)
    return make_node(path, STAT.pack(zxid, zxid, time_ms, time_ms, 0, 0, 0, session, size, 0, zxid), data, acl, mark)


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
    return (value + LONG_MAX + 1) % LONG_SPAN - LONG_MAX - 1
