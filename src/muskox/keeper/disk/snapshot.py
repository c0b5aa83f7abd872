"""Snapshots in Apache's format: sessions, ACLs, znodes parents first, each part sealed with an Adler-32 checksum.

A snapshot is of one moment: the image it is made from does not change. A file gets its name when it is whole and on disk. How
one is read: see `loading`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple
from zlib import adler32

from muskox.keeper.disk.files import SYSTEM_DISK, Disk
from muskox.keeper.disk.names import snapshot_path
from muskox.keeper.machine.database import Image
from muskox.keeper.machine.node import AVERSION_AT, CHILDREN_AT, CVERSION_AT, LONG, OWNER_AT, PZXID_AT, STAT, Node
from muskox.keeper.machine.paths import ROOT
from muskox.keeper.wire.jute import Int, Long, codec
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
SYNC_BYTES = 4 << 20  # how much is written before it is synced: the log's syncs must not wait behind a whole snapshot
# A znode is its path, its data and Apache's StatPersisted: number of the ACL, czxid, mzxid, ctime, mtime, version, creates,
# aversion, owner, pzxid. But for the creates that is the Stat without the lengths behind the owner.
NODE_BYTES = 68
OWNER_END = 52
NO_COUNT = bytes(4)
SESSION = Struct(">qi")  # id, timeout in ms


class AclRecord(NamedTuple):
    number: Long
    acl: Acls


class DigestRecord(NamedTuple):
    zxid: Long
    version: Int
    digest: Long


ACL = codec(AclRecord)
DIGEST = codec(DigestRecord)


def write_snapshot(folder: Path, image: Image, disk: Disk = SYSTEM_DISK) -> Path:
    """Write `image` and return the path of its file once it is on disk.

    Raises
    ------
    OSError
        If the disk refuses; no file with a snapshot's name is left then.
    """
    path = snapshot_path(folder, image.zxid)
    draft = path.with_name(f"{path.name}.{os.getpid()}{DRAFT_SUFFIX}")  # nobody else's, should one outlive its server
    try:
        write_draft(draft, image, disk)
        disk.rename(draft, path)
    except OSError:
        disk.remove(draft)
        raise
    disk.sync_folder(folder)
    return path


def remove_drafts(folder: Path, pid: int | None = None) -> None:
    """Remove what is left of snapshots that were never finished, of one process or of all."""
    for draft in folder.glob(f"*{DRAFT_SUFFIX}" if pid is None else f"*.{pid}{DRAFT_SUFFIX}"):
        draft.unlink(missing_ok=True)


def write_draft(draft: Path, image: Image, disk: Disk) -> None:
    file = disk.create(draft)
    try:
        at = synced = 0
        for part in encode_snapshot(image):
            disk.write(file, part, at)
            at += len(part)
            if at - synced > SYNC_BYTES:
                disk.sync(file)
                synced = at
        disk.sync(file)
    finally:
        disk.close(file)


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
        out.append(SESSION.pack(*session))
    numbers = number_acls(image.nodes)
    out.append(COUNT.pack(len(numbers) - 1))
    for acl, number in numbers.items():
        if number != OPEN_ACL_NUMBER:
            ACL.write(AclRecord(number, acl), out)
    packed = {acl: LONG.pack(number) for acl, number in numbers.items()}
    size, pack_size, open_acl = 0, COUNT.pack, LONG.pack(OPEN_ACL_NUMBER)
    # Written out: it takes a third of what records and codecs take, and there may be millions.
    for path, (answer, acl, mark, _) in image.nodes.items():
        name = path.encode() if path != ROOT else b""
        data, stat = answer[: -STAT.size], answer[-STAT.size :]
        fields = stat[:OWNER_END]
        if mark or stat[CVERSION_AT:AVERSION_AT] != NO_COUNT or stat[CHILDREN_AT:PZXID_AT] != NO_COUNT:
            fields = stored_fields(image.nodes[path])
        out += (
            pack_size(len(name)),
            name,
            data,
            open_acl if acl is OPEN_ACL else packed[acl],
            fields,
            stat[PZXID_AT:],
        )
        size += len(name) + NODE_BYTES + len(data)
        if size > PART_BYTES:
            yield b"".join(out)
            out, size = [], 0
    out.append(SEAL_PATH)  # a path that no znode is stored under ends the list
    yield b"".join(out)


def number_acls(nodes: dict[str, Node]) -> dict[AclList, int]:
    numbers = {OPEN_ACL: OPEN_ACL_NUMBER}
    for node in nodes.values():
        acl = node.acl
        if acl is not OPEN_ACL and acl not in numbers:
            numbers[acl] = len(numbers)
    return numbers


def stored_fields(node: Node) -> bytes:
    """Return a Stat up to its owner as it is stored: with the creates for the cversion, and the mark of a container or TTL."""
    stat = node.stat_bytes
    return stat[:CVERSION_AT] + COUNT.pack(node.creates) + stat[AVERSION_AT:OWNER_AT] + LONG.pack(node.stored_owner)
