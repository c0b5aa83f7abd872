"""Snapshots in Apache's format: sessions, ACLs, znodes parents first, each part sealed with an Adler-32 checksum.

A snapshot is of one moment: the image it is made from does not change. A file gets its name when it is whole and on disk.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple, TypeVar
from zlib import adler32

from muskox.errors import Corrupt, PeerError
from muskox.keeper.disk.log import sync_folder
from muskox.keeper.disk.names import snapshot_path
from muskox.keeper.machine.database import Database, Image
from muskox.keeper.machine.node import Node, split_owner, wrap_int
from muskox.keeper.machine.paths import ROOT, parent_of
from muskox.keeper.machine.tree import Tree
from muskox.keeper.wire.jute import Buffer, Codec, Int, Long, Text, codec
from muskox.keeper.wire.records import OPEN_ACL, AclList, Acls
from muskox.keeper.wire.transactions import DIGEST_VERSION

MAGIC = b"ZKSN"
FILE_HEAD = Struct(">4siq")
FILE_VERSION = 2
DATABASE_ID = -1
COUNT = Struct(">i")
SEAL_PATH = b"\0\0\0\x01/"
SEAL = Struct(">q5s")
OPEN_ACL_NUMBER = -1  # what Apache calls the ACL that is open to all
DRAFT_SUFFIX = ".draft"
PART_BYTES = 1 << 16  # how much is encoded before it is written


class SessionRecord(NamedTuple):
    id: Long
    timeout_ms: Int


class AclRecord(NamedTuple):
    number: Long
    acl: Acls


class NodeRecord(NamedTuple):
    """A znode with its path: Apache's DataNode and StatPersisted."""

    path: Text
    data: Buffer
    acl: Long
    czxid: Long
    mzxid: Long
    ctime: Long
    mtime: Long
    version: Int
    creates: Int
    aversion: Int
    owner: Long
    pzxid: Long


class DigestRecord(NamedTuple):
    zxid: Long
    version: Int
    digest: Long


SESSION = codec(SessionRecord)
ACL = codec(AclRecord)
NODE = codec(NodeRecord)
DIGEST = codec(DigestRecord)

R = TypeVar("R", bound=tuple[Any, ...])


def write_snapshot(folder: Path, image: Image) -> Path:
    """Write `image` and return the path of its file once it is on disk.

    Raises
    ------
    OSError
        If the disk refuses; no file with a snapshot's name is left then.
    """
    path = snapshot_path(folder, image.zxid)
    draft = path.with_name(path.name + DRAFT_SUFFIX)
    try:
        with draft.open("wb") as file:
            for part in encode_snapshot(image):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(folder)
    return path


def encode_snapshot(image: Image) -> Iterator[bytes]:
    """Yield the bytes of a snapshot file."""
    checksum = 1
    for part in encode_body(image):
        checksum = adler32(part, checksum)
        yield part
    # The second seal covers the first, and the digest between them.
    digest = DIGEST.encode(DigestRecord(image.zxid, DIGEST_VERSION, image.digest))
    tail = SEAL.pack(checksum, SEAL_PATH) + digest
    yield tail
    yield SEAL.pack(adler32(tail, checksum), SEAL_PATH)


def encode_body(image: Image) -> Iterator[bytes]:
    out = [FILE_HEAD.pack(MAGIC, FILE_VERSION, DATABASE_ID), COUNT.pack(len(image.timeouts_ms))]
    for session in image.timeouts_ms.items():
        SESSION.write(SessionRecord(*session), out)
    numbers = number_acls(image.nodes)
    out.append(COUNT.pack(len(numbers) - 1))
    for acl, number in numbers.items():
        if number != OPEN_ACL_NUMBER:
            ACL.write(AclRecord(number, acl), out)
    size = 0
    for path, node in image.nodes.items():
        NODE.write(node_record(path, node, numbers[node.acl]), out)
        size += len(path) + node.data_length
        if size > PART_BYTES:
            yield b"".join(out)
            out, size = [], 0
    out.append(SEAL_PATH)  # a path that no znode is stored under ends the list
    yield b"".join(out)


def number_acls(nodes: dict[str, Node]) -> dict[AclList, int]:
    numbers = {OPEN_ACL: OPEN_ACL_NUMBER}
    for node in nodes.values():
        if node.acl not in numbers:
            numbers[node.acl] = len(numbers)
    return numbers


def node_record(path: str, node: Node, acl: int) -> NodeRecord:
    return NodeRecord(
        "" if path == ROOT else path,
        node.data,
        acl,
        node.czxid,
        node.mzxid,
        node.ctime,
        node.mtime,
        node.version,
        node.creates,
        node.aversion,
        node.stored_owner,
        node.pzxid,
    )


def decode_snapshot(name: str, data: bytes, zxid: int) -> Database:
    """Return the database that the snapshot file `name` holds.

    Raises
    ------
    Corrupt
        If the bytes are no whole snapshot.
    """
    try:
        return Decoder(name, data).database(zxid)
    except PeerError as error:
        raise Corrupt(f"{name} is no whole snapshot: {error}") from error


class Decoder:
    """Reads one snapshot from front to back."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.data = data
        self.at = FILE_HEAD.size

    def database(self, zxid: int) -> Database:
        if self.data[:4] != MAGIC:
            raise Corrupt(f"{self.name} is no snapshot: it starts with {self.data[:4]!r}")
        timeouts_ms = {each.id: each.timeout_ms for each in (self.take(SESSION) for _ in range(self.count()))}
        acls: dict[int, AclList] = {OPEN_ACL_NUMBER: OPEN_ACL}
        for _ in range(self.count()):
            number, acl = self.take(ACL)
            acls[number] = OPEN_ACL if acl is None or acl == OPEN_ACL else acl
        tree = self.tree(acls)
        self.check_seal()
        if self.at < len(self.data):
            self.take(DIGEST)
            self.check_seal()
        return Database(tree, timeouts_ms, zxid)

    def take(self, fields: Codec[R]) -> R:
        record, self.at = fields.decode_from(self.data, self.at)
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
        records: list[NodeRecord] = []
        child_counts: dict[str, int] = {}
        while self.data[self.at : self.at + len(SEAL_PATH)] != SEAL_PATH:
            record = self.take(NODE)
            records.append(record)
            if record.path:
                parent = parent_of(record.path)
                child_counts[parent] = child_counts.get(parent, 0) + 1
        self.at += len(SEAL_PATH)
        tree = Tree()
        for record in records:
            path = record.path or ROOT
            if path != ROOT and parent_of(path) not in tree.nodes:
                raise Corrupt(f"{self.name} holds {path} before or without its parent")
            if record.acl not in acls:
                raise Corrupt(f"{self.name} has no ACL number {record.acl}, which {path} needs")
            tree.install(path, make_node(record, acls[record.acl], child_counts.get(path, 0)))
        if ROOT not in tree.nodes:
            raise Corrupt(f"{self.name} holds no root")
        return tree

    def check_seal(self) -> None:
        wanted = adler32(self.data[: self.at])
        checksum, _ = self.unpack(SEAL)
        if checksum != wanted:
            raise Corrupt(
                f"{self.name} is damaged before byte {self.at}: its checksum is {wanted:#x}, {checksum:#x} is written"
            )


def make_node(record: NodeRecord, acl: AclList, child_count: int) -> Node:
    _, data, _, czxid, mzxid, ctime, mtime, version, creates, aversion, stored_owner, pzxid = record
    owner, mark = split_owner(stored_owner)
    size = 0 if data is None else len(data)
    cversion = wrap_int(creates * 2 - child_count)
    return Node(czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, size, child_count, pzxid, data, acl, mark)
