"""Handing a file to a node of this very machine: the client lays it into the node's own folder, and the node makes it a blob.

It owns both sides of that. Nothing is lost against an upload: the node reads and digests every byte and syncs the file before
it answers, and all that it is handed is a file of its own folder. Where the client's file lies on the same file system the
first replica is that very file, linked; each other is a copy, so that no two share a block of the disk. Where anything is in
the way (a node on another machine, a folder of another user, a node that refuses) the caller uploads by Flight. What a killed
client leaves in the folder goes when the node starts next, as what a killed node leaves does.
"""

import os
import shutil
import uuid
from pathlib import Path

import msgspec

from muskox.errors import MuskoxError
from muskox.store.disk.blobs import BlobStore
from muskox.store.service.client import StoreClient
from muskox.store.service.messages import BYTES_PER_S_MIN, CALL_TIMEOUT_S, Handover

ADOPT = "adopt"  # the action


def hand_over(client: StoreClient, address: str, folder: Path, path: Path, digest: str) -> bool:
    """Let the node at `address`, whose folder `folder` is on this machine, take the file as a blob; return whether it has.

    The file at `path` must not be written to any more; it may be removed. Call it for one replica of a file at a time.
    """
    name = uuid.uuid4().hex
    laid = BlobStore(folder, is_ours=False).arriving(name)
    try:
        _lay(path, laid)
        timeout_s = CALL_TIMEOUT_S + path.stat().st_size / BYTES_PER_S_MIN
        client.action(address, ADOPT, msgspec.json.encode(Handover(digest=digest, name=name)), timeout_s)
    except (OSError, MuskoxError):
        return False
    finally:
        laid.unlink(missing_ok=True)
    return True


def _lay(path: Path, laid: Path) -> None:
    if path.stat().st_nlink == 1:
        try:
            os.link(path, laid)
            return
        except OSError:  # another file system, or one without links
            pass
    shutil.copyfile(path, laid)


def adopt(blobs: BlobStore, body: bytes) -> bytes:
    """Make a file that was laid into the folder a blob: the node's side of :func:`hand_over`, and the action's body and answer.

    Raises
    ------
    Corrupt
        If it has another digest.
    Unavailable
        If it is not there, is not this process's user's, or the disk is full.
    """
    handed = msgspec.json.decode(body, type=Handover)
    blobs.adopt(handed.name, handed.digest)
    return b""
