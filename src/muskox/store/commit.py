"""Committing a dataset version: the one ZooKeeper multi that makes it visible, or not at all.

It owns the fence of a dataset (the version of its znode: numbers of versions only grow, also over a removal), what is written
in the commit, and how a commit whose reply was lost is recognised. It knows nothing of where rows come from.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from muskox.coordination import Check, Create, Delete, Operation, Refused, Session, Set, layout, stored
from muskox.errors import Unavailable
from muskox.store.manifest import DatasetManifest, encode_manifest
from muskox.store.placement.holders import encode_holders
from muskox.store.upload import Uploads

MOVES_MAX = 20  # tries to commit while repair moves the shards that are taken over: a try takes milliseconds


@dataclass(frozen=True, slots=True)
class Fence:
    """Where a dataset stood when a new version of it was begun.

    latest : its latest version; 0 if there is none
    version : of its znode; None if there is none
    """

    latest: int
    version: int | None

    @property
    def number(self) -> int:
        """The new version: one more than the commits that the dataset's znode has seen."""
        return 1 if self.version is None else self.version + 2


def find_fence(session: Session, name: str) -> Fence:
    """Return where the dataset stands now."""
    found = session.find(layout.dataset(name), stored.DatasetRecord)
    return Fence(0, None) if found is None else Fence(found[0].latest, found[1])


@dataclass(frozen=True, slots=True)
class Commit:
    """What a version's commit needs beside its manifest.

    upload : the lease, which must still be there
    uploads : what brought its shards, and brings its manifest
    take_over : called before each try: it tells `uploads` where shards of another version lie, and returns what must hold still
    what : what runs, for whoever is told that it failed: "put", "registration"
    registered : the URL of what was registered in place
    """

    fence: int | None
    upload: str
    uploads: Uploads
    replicas: int
    take_over: Callable[[], Sequence[Check]] = lambda: ()
    what: str = "put"
    registered: str = ""


def commit(session: Session, manifest: DatasetManifest, how: Commit) -> int:
    """Make the version visible, in one step that holds only if nobody else changed the dataset and the lease is still there.

    Raises
    ------
    Unavailable
        If it does not hold, or nobody takes the manifest: nothing became visible.
    """
    name, number = manifest.name, manifest.version
    data = encode_manifest(manifest)
    blob = hashlib.sha256(data).hexdigest()
    nodes = how.uploads.keep(data, blob)
    record = stored.VersionRecord(
        manifest=blob,
        digest=manifest.digest,
        rows=manifest.rows,
        shards=len(manifest.shards),
        bytes=manifest.bytes,
        replicas=how.replicas,
        by=manifest.by,
        created_ms=int(time.time() * 1000),
        upload=how.upload,
        groups=len(manifest.groups),
        registered=how.registered,
    )
    version = layout.version(name, number)

    def was_done() -> bool:
        found = session.find(version, stored.VersionRecord)
        return found is not None and found[0].upload == how.upload

    left = MOVES_MAX
    while True:
        checks = list(how.take_over())
        operations = [*_step(manifest, how), Create(version, record), *checks, *_placed(manifest, how, nodes)]
        try:
            session.commit(operations, was_done)
            return number
        except Refused as error:
            if was_done():  # the lost reply was on its way when we looked
                return number
            have_moved = any(session.version(check.path) != check.version for check in checks)
            why = _why(session, name, how, have_moved=have_moved)
            left -= 1
            if why or not left:
                why = why or f"the shards of {name!r} were moved from node to node {MOVES_MAX} times as this {how.what} ended"
                raise Unavailable(f"{why}, so nothing was written: try again") from error


def _step(manifest: DatasetManifest, how: Commit) -> list[Operation]:
    """Return how the lease ends, and how the dataset comes to point at the version."""
    path, latest = layout.dataset(manifest.name), stored.DatasetRecord(latest=manifest.version)
    pointer: Operation = Create(path, latest) if how.fence is None else Set(path, latest, how.fence)
    return [Delete(layout.upload(how.upload), 0), pointer]


def _placed(manifest: DatasetManifest, how: Commit, nodes: list[str]) -> list[Operation]:
    """Return what says who holds the manifest and the shards."""
    name, number = manifest.name, manifest.version
    return [
        Create(layout.manifest_placement(name, number), stored.ManifestPlacement(nodes=nodes)),
        *(
            Create(layout.placement(name, number, group), encode_holders(holders))
            for group, holders in enumerate(how.uploads.settle())
        ),
    ]


def _why(session: Session, name: str, how: Commit, *, have_moved: bool) -> str:
    """Say why a commit was refused; "" if only shards that it takes over have moved."""
    if session.version(layout.upload(how.upload)) is None:
        return f"the session to ZooKeeper was lost while this {how.what} ran"
    if have_moved and session.version(layout.dataset(name)) == how.fence:
        return ""
    return f"somebody else changed dataset {name!r} while this {how.what} ran"
