"""Collecting what nothing names any more: removed versions, old versions and jobs, half-written uploads, left-over blobs.

A collection goes over all nodes in one round. It *begins*: it notes which uploads are under way and each node's clock. It
*ends* once all of those uploads are over, committed or not: then it reads everything that znodes name, then what each node
holds, and deletes the difference, but nothing that was written since the beginning (a later upload writes its blobs anew, so
that they are newer). What a removed version named goes at once; a blob of unknown origin must be `collect_after_s` old.
Versions that a reader, a job or a model needs stay (care/holds.py).

It is the coordinator's, one thread's, and decides nothing that a restart could not decide again.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from muskox.coordination import Config, Delete, Refused, Session, layout, stored
from muskox.errors import Corrupt, MuskoxError, Unavailable
from muskox.store.care.holds import Version, holders, readers
from muskox.store.care.kept import Kept, Manifests
from muskox.store.care.leases import collecting
from muskox.store.catalog import all_versions, remove_version, versions_of
from muskox.store.home import Home
from muskox.store.objects.object_blobs import ObjectBlobs
from muskox.store.objects.object_home import ObjectHome

log = logging.getLogger(__name__)

DELETED_AT_ONCE = 10_000  # names in one message to a node
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Begun:
    """Where a collection began: the uploads under way then, and each node's clock in nanoseconds."""

    uploads: frozenset[str]
    clocks: dict[str, int]


@dataclass(slots=True)
class Collected:
    """What a collection did, for people."""

    blobs: int = 0
    bytes: int = 0
    versions: list[str] = field(default_factory=list)


class Collector:
    """See the head of this file. `kept` tells everything that the nodes should hold; `busy` which blobs are being copied."""

    def __init__(
        self, home: Home, manifests: Manifests, kept: Callable[[], Iterable[Kept]], busy: Callable[[], Iterable[str]]
    ) -> None:
        self._home = home
        self._manifests = manifests
        self._kept = kept
        self._busy = busy
        self._begun: Begun | None = None

    def step(self, config: Config, fence: int = 0) -> Collected | None:
        """Begin a collection, or end the one begun; None while uploads of its beginning go on, in an object store any.

        fence : the coordinator's, which nodes refuse once they have heard of a later one; 0 for nobody's

        Raises
        ------
        Unavailable
            If a manifest cannot be read: it may name any blob, so none is deleted.
        """
        session = self._home.session
        if isinstance(self._home, ObjectHome) and session.children(layout.UPLOADS):
            return None
        if self._begun is None:
            retire_versions(session, int(config["versions_kept"]))
            retire_jobs(session, config["jobs_days"])
            clocks = self._clocks()  # before the uploads: one that begins between the two writes what is newer than this
            session.kazoo.sync(layout.UPLOADS)  # a follower may not know yet of a lease that is older than the clocks
            self._begun = Begun(frozenset(session.children(layout.UPLOADS)), clocks)
        if self._begun.uploads.intersection(session.children(layout.UPLOADS)):
            return None
        begun, self._begun = self._begun, None
        return self._end(begun, config["collect_after_s"], fence)

    def _clocks(self) -> dict[str, int]:
        clocks = {}
        for node, address in self._home.directory.live().items():
            try:
                clocks[node] = self._home.client.clock_ns(address)
            except MuskoxError:
                continue  # its blobs are left to the next collection
        return clocks

    def _end(self, begun: Begun, after_s: float, fence: int) -> Collected | None:
        if isinstance(self._home, ObjectHome):
            return self._end_in_objects(self._home.objects, after_s)
        trashed, removed, still_read = self._trash()
        named: dict[str, list[str]] = {}  # by digest: who should hold it
        for kept in self._kept():
            for digest, _ in kept.unit.blobs:
                named.setdefault(digest, []).extend(kept.unit.holders)
        held = self._inventories(begun)
        done = Collected()
        for node, digests in held.items():
            unnamed = [digest for digest in sorted(digests) if digest not in still_read and _is_free(digest, node, named, held)]
            busy = frozenset(self._busy())
            for old_s, doomed in (
                (0.0, [digest for digest in unnamed if digest in removed and digest not in busy]),
                (after_s, [digest for digest in unnamed if digest not in removed and digest not in busy]),
            ):
                limit_ns = begun.clocks[node] - int(old_s * 1e9)
                self._delete(node, {digest: digests[digest] for digest in doomed}, limit_ns, fence, done)
        for name, number in trashed:
            self._home.session.delete(layout.trash(name, number))
            done.versions.append(f"{name}@{number}")
        return done

    def _inventories(self, begun: Begun) -> dict[str, dict[str, int]]:
        """Return what each node holds that was there at the beginning and is there now."""
        held = {}
        live = self._home.directory.live()
        for node in begun.clocks:
            if node in live:
                try:
                    held[node] = self._home.client.inventory(live[node])
                except MuskoxError as error:
                    log.warning("what node %s need not hold is left to the next collection: %s", node, error)
        return held

    def _delete(self, node: str, doomed: dict[str, int], limit_ns: int, fence: int, done: Collected) -> None:
        """Delete these blobs (digest -> bytes) from a node, but for those written after `limit_ns` by its clock."""
        names = list(doomed)
        address = self._home.directory.address(node)
        try:
            for first in range(0, len(names) if address is not None else 0, DELETED_AT_ONCE):
                gone = self._home.client.delete(str(address), names[first : first + DELETED_AT_ONCE], limit_ns, fence)
                done.blobs += len(gone)
                done.bytes += sum(doomed[digest] for digest in gone)
        except MuskoxError as error:
            log.warning("what node %s need not hold is left to the next collection: %s", node, error)

    def _end_in_objects(self, objects: ObjectBlobs, after_s: float) -> Collected | None:
        """Delete from an object store what nothing names: while no upload is under way, and none can begin; else None."""
        done = Collected()
        with collecting(self._home.session) as turn:
            if not turn.is_free:
                return None
            trashed, removed, still_read = self._trash()
            needed = still_read | {digest for kept in self._kept() for digest, _ in kept.unit.blobs}
            before_ns = time.time_ns() - int(after_s * 1e9)
            doomed = {
                digest: size
                for digest, size, written_ns in objects.list()
                if digest not in needed and (digest in removed or written_ns < before_ns)
            }
            objects.delete(doomed, turn.check)
            objects.remove_unfinished(before_ns)
            done.blobs, done.bytes = len(doomed), sum(doomed.values())
            for name, number in trashed:
                self._home.session.delete(layout.trash(name, number))
                done.versions.append(f"{name}@{number}")
        return done

    def _trash(self) -> tuple[list[Version], set[str], set[str]]:
        """Return the removed versions that nobody reads, their blobs, and the blobs of those that somebody reads still."""
        unread: list[Version] = []
        removed: set[str] = set()
        still_read: set[str] = set()
        gone = _trashed(self._home.session)
        read = readers(self._home.session)  # after that: who holds one of them did so before it went
        for name, number in gone:
            found = self._home.session.find(layout.trash(name, number), stored.TrashRecord)
            if found is None:
                continue
            try:
                manifest = self._manifests.read(found[0].version.manifest, found[0].nodes)
            except (Unavailable, Corrupt):
                if (name, number) in read:
                    raise
                continue  # nobody can say what it named, nor needs it: it goes with what is of unknown origin
            blobs = {part.file_digest for shard in manifest.shards for part in shard.parts} | {found[0].version.manifest}
            if (name, number) in read:
                still_read |= blobs
            else:
                removed |= blobs
                unread.append((name, number))
        return unread, removed, still_read


def _is_free(digest: str, node: str, named: Mapping[str, list[str]], held: Mapping[str, Mapping[str, int]]) -> bool:
    """Return whether the node need not hold the blob: nobody names it, or others do hold it, every one that should."""
    holders = named.get(digest)
    return holders is None or (node not in holders and all(digest in held.get(other, ()) for other in holders))


def _trashed(session: Session) -> list[Version]:
    pairs = (child.rpartition("@") for child in session.children(layout.TRASH))
    return [(name, int(number)) for name, _, number in pairs if number.isdigit()]


def retire_versions(session: Session, kept: int) -> list[str]:
    """Remove of each dataset what is older than its `kept` newest versions (0: nothing) and needed by nobody; return it."""
    if not kept:
        return []
    needed = holders(session)
    gone = []
    for name in dict.fromkeys(info.name for info in all_versions(session)):
        for number in versions_of(session, name)[:-kept]:
            if (name, number) not in needed and remove_version(session, name, number):
                gone.append(f"{name}@{number}")
    return gone


def retire_jobs(session: Session, days: float) -> list[str]:
    """Forget the jobs that were over for so many days; what they made stays. Return their ids.

    Of any job that is over, forget what was kept on its way: who should have done so died, or kept it after the end.
    """
    before_ms = time.time_ns() // 1_000_000 - int(days * DAY_MS)
    gone = []
    for job_id in session.children(layout.JOBS):
        state = session.find(layout.job_state(job_id), layout.JobState)
        if state is None or not state[0].phase.is_final:
            continue
        if 0 < state[0].finished_ms < before_ms:
            if _forget(session, job_id):
                gone.append(job_id)
            continue
        if session.version(layout.checkpoint(job_id)) is not None:
            session.delete(layout.checkpoint(job_id))
        for number in session.children(layout.pieces(job_id)):
            session.delete(layout.piece(job_id, int(number)))
    return gone


def _forget(session: Session, job_id: str) -> bool:
    """Delete all znodes of a job that is over; return whether that was done. A job without a state would be taken for a new
    one, so these two go last and at once."""
    path, state = layout.job(job_id), layout.job_state(job_id)
    for child in session.children(path):
        if f"{path}/{child}" != state:
            session.delete(f"{path}/{child}", recursive=True)
    try:
        session.commit([Delete(state), Delete(path)], lambda: session.version(path) is None)
    except Refused as error:  # a node kept something of it just now
        log.info("job %s is left to the next collection: %s", job_id, error)
        return False
    return True
