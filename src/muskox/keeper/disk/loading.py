"""A snapshot read back: ours, Apache's, and what Apache compresses with gzip.

The loop over the znodes is written out, with tuples and bytes: by records and codecs a million of them took four times as long.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from struct import Struct, error
from typing import Any, NamedTuple, TypeVar
from zlib import adler32, crc32

from muskox.errors import Corrupt, PeerError
from muskox.keeper.disk.entries import Bytes
from muskox.keeper.disk.names import GZIP, SNAPPY
from muskox.keeper.disk.snapshot import (
    ACL,
    COUNT,
    DIGEST,
    FILE_HEAD,
    MAGIC,
    NO_COUNT,
    NODE_BYTES,
    OPEN_ACL_NUMBER,
    SEAL,
    SESSION,
)
from muskox.keeper.machine.node import (
    AVERSION_AT,
    CHILDREN_AT,
    CVERSION_AT,
    LONG,
    PZXID_AT,
    STAT,
    UNCOUNTED,
    Node,
    split_owner,
    wrap_int,
)
from muskox.keeper.machine.paths import ROOT
from muskox.keeper.machine.tree import Tree
from muskox.keeper.wire.jute import Codec
from muskox.keeper.wire.records import OPEN_ACL, AclList
from muskox.keeper.wire.transactions import DIGEST_VERSION

CREATES_PLAIN_MAX = 1 << 30  # twice as many do not fit into 32 bits
R = TypeVar("R", bound=tuple[Any, ...])
SEALED = b"/"
# A znode behind its data: number of the ACL; czxid and mzxid; times and versions; owner; pzxid. Together they are the Stat, but
# for the sizes, data and children, before the pzxid; and in another order what the digest is made of.
NODE = Struct(">8s16s28s8s8s")
SIZES = Struct(">ii")
NO_OWNER = bytes(8)
RECORD_BYTES = 1 << 10  # longer records take a second try
ADLER_BYTES = 1 << 24  # how much is read for a checksum at a time


class Loaded(NamedTuple):
    """What a snapshot holds. `digest` is the tree's if the file says it for just this tree, else None."""

    tree: Tree
    timeouts_ms: dict[int, int]
    digest: int | None


def load(path: Path, zxid: int) -> Loaded:
    """Return what the snapshot file at `path`, named after `zxid`, holds.

    Raises
    ------
    Corrupt
        If it is no whole snapshot, or compressed with snappy.
    OSError
        If it cannot be read.
    """
    if path.name.endswith(SNAPPY):
        raise Corrupt(
            f"{path.name} is compressed with snappy, which is not read here: let Apache write a snapshot without "
            "zookeeper.snapshot.compression.method, or with gz"
        )
    try:
        if path.name.endswith(GZIP):
            return Decoder(path.name, gunzip(path)).load(zxid)
        with mapped(path) as data:
            return Decoder(path.name, data).load(zxid)
    except PeerError as fault:
        raise Corrupt(f"{path.name} is no whole snapshot: {fault}") from fault


def gunzip(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise Corrupt(f"{path.name} is no whole gzip file: {fault}") from fault


@contextmanager
def mapped(path: Path) -> Iterator[Bytes]:
    """Read a file as memory, so that a long one takes none."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            yield b""
            return
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            yield data


class Decoder:
    """Reads one snapshot from front to back."""

    def __init__(self, name: str, data: Bytes) -> None:
        self.name = name
        self.data = data
        self.at = FILE_HEAD.size
        self.sealed = 0  # up to where the checksum has been computed
        self.checksum = 1

    def load(self, zxid: int) -> Loaded:
        if self.data[:4] != MAGIC:
            raise Corrupt(f"{self.name} is no snapshot: it starts with {self.data[:4]!r}")
        timeouts_ms = dict(self.unpack(SESSION) for _ in range(self.count()))
        acls: dict[int, AclList] = {OPEN_ACL_NUMBER: OPEN_ACL}
        for _ in range(self.count()):
            number, acl = self.take(ACL)
            acls[number] = OPEN_ACL if acl is None or acl == OPEN_ACL else acl
        tree = self.tree(acls)
        self.check_seal()
        digest = None
        if self.at < len(self.data):
            said = self.take(DIGEST)
            self.check_seal()
            # Apache goes on while it writes, and says the digest after the last transaction that it saw; 0 before the first.
            if 0 != said.zxid == zxid and said.version == DIGEST_VERSION:
                digest = said.digest
        return Loaded(tree, timeouts_ms, digest)

    def take(self, fields: Codec[R]) -> R:
        """Read a record, from a part of the file: the codecs read bytes, not maps."""
        size = RECORD_BYTES
        while True:
            try:
                record, used = fields.decode_from(self.data[self.at : self.at + size])
            except PeerError:
                if self.at + size >= len(self.data):
                    raise
                size *= 16
            else:
                self.at += used
                return record

    def count(self) -> int:
        (count,) = self.unpack(COUNT)
        if count < 0:
            raise Corrupt(f"{self.name} announces {count} records before byte {self.at}")
        return int(count)

    def unpack(self, numbers: Struct) -> tuple[Any, ...]:
        if self.at + numbers.size > len(self.data):
            raise Corrupt(f"{self.name} ends at byte {len(self.data)}, in the middle")
        values = numbers.unpack_from(self.data, self.at)
        self.at += numbers.size
        return values

    def tree(self, acls: dict[int, AclList]) -> Tree:
        tree = Tree()
        try:
            self.nodes(tree, {LONG.pack(number): acl for number, acl in acls.items()})
        except error as short:
            raise Corrupt(f"{self.name} ends at byte {len(self.data)}, in the middle: {short}") from short
        if ROOT not in tree.nodes:
            raise Corrupt(f"{self.name} holds no root")
        count_children(tree)
        return tree

    def nodes(self, tree: Tree, acls: dict[bytes, AclList]) -> None:  # noqa: PLR0915  # measured: calls would cost more than work
        """Read all znodes; how many children each has is not known yet."""
        data, at, size = self.data, self.at, len(self.data)
        nodes, children, new = tree.nodes, tree.children, tuple.__new__
        unpack_size, unpack_node, pack_sizes = COUNT.unpack_from, NODE.unpack_from, SIZES.pack
        parent, names = "", children.setdefault(ROOT, {})
        is_counted = True
        while True:
            (length,) = unpack_size(data, at)
            start = at + 4
            at = start + length
            if length < 0 or at > size:
                raise Corrupt(f"{self.name} announces a path of {length} bytes at byte {start}")
            path_bytes = data[start:at]
            if path_bytes == SEALED:
                break  # no znode is stored under it: the root's path is empty
            path = str(path_bytes, "utf-8", "replace")
            (length,) = unpack_size(data, at)
            at += 4
            length_at = at - 4
            value = b""
            if length == -1:
                length = 0
            else:
                start, at = at, at + length
                if length < 0 or at > size:
                    raise Corrupt(f"{self.name} announces {length} bytes of data of {path} at byte {start}")
                value = data[start:at]
            data_end = at
            number, ids, middle, owner, pzxid = unpack_node(data, at)
            at += NODE_BYTES
            acl = acls.get(number)
            if acl is None:
                raise Corrupt(f"{self.name} has no ACL of the number that {path or ROOT} needs")
            if path:
                above, slash, name = path.rpartition("/")
                if above != parent or not slash:
                    if not slash or (above or ROOT) not in nodes:
                        raise Corrupt(f"{self.name} holds {path} before or without its parent")
                    parent, names = above, children.setdefault(above or ROOT, {})
                    is_counted = not path.startswith(UNCOUNTED)
                names[name] = None
            else:
                path = ROOT
            digest = 0
            if is_counted:
                digest = crc32(ids + pzxid + middle + owner, crc32(value, crc32(path_bytes)))
            mark = 0
            if owner != NO_OWNER:
                session, mark = split_owner(*LONG.unpack(owner))
                owner = LONG.pack(session)
                if mark:
                    tree.mortal[path] = None
            stat = ids + middle + owner + pack_sizes(length, 0) + pzxid
            nodes[path] = new(Node, (data[length_at:data_end] + stat, acl, mark, digest))
        self.at = at

    def check_seal(self) -> None:
        for start in range(self.sealed, self.at, ADLER_BYTES):
            self.checksum = adler32(self.data[start : min(start + ADLER_BYTES, self.at)], self.checksum)
        self.sealed = self.at
        checksum, _ = self.unpack(SEAL)
        if checksum != self.checksum:
            raise Corrupt(
                f"{self.name} is damaged before byte {self.sealed}: its checksum is {self.checksum:#x}, "
                f"{checksum:#x} is written"
            )


def count_children(tree: Tree) -> None:
    """Put into each Stat how many children there are, and make the count of creates in it the cversion that clients see."""
    if not tree.children[ROOT]:
        del tree.children[ROOT]
    creates_at, creates_end = CVERSION_AT - STAT.size, AVERSION_AT - STAT.size
    for path, node in tree.nodes.items():
        names = tree.children.get(path, ())
        if names or node.answer[creates_at:creates_end] != NO_COUNT:
            stat = node.stat_bytes
            (creates,) = COUNT.unpack_from(stat, CVERSION_AT)
            cversion, child_count = COUNT.pack(wrap_int(creates * 2 - len(names))), COUNT.pack(len(names))
            stat = stat[:CVERSION_AT] + cversion + stat[AVERSION_AT:CHILDREN_AT] + child_count + stat[PZXID_AT:]
            tree.nodes[path] = node._replace(answer=node.answer[: -STAT.size] + stat)
