"""Collecting what nothing names any more: removed versions, old versions and jobs, half-written uploads, left-over blobs.

A collection goes over all nodes in one round. It *begins*: it notes which uploads are under way and each node's clock. It
*ends* once all of those uploads are over, committed or not: then it reads everything that znodes name, then what each node
holds, and deletes the difference, but nothing that was written since the beginning (a later upload writes its blobs anew, so
that they are newer). What a removed version named goes at once; a blob of unknown origin must be `collect_after_s` old: a
program or result is stored a moment before the znode that names it. Versions that a reader, a job or a model needs stay
(store/holds.py).

It is the coordinator's, one thread's, and decides nothing that a restart could not decide again.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from muskox.coordination import Config, Session, layout, stored
from muskox.errors import MuskoxError
from muskox.store.catalog import all_versions, remove_version, versions_of
from muskox.store.holds import Version, holders, readers
from muskox.store.home import Home
from muskox.store.kept import Kept, Manifests
from muskox.store.leases import collecting
from muskox.store.object_home import ObjectHome
from muskox.store.objects import ObjectBlobs

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

    def step(self, config: Config) -> Collected | None:
        """Begin a collection, or end the one begun; None while uploads of its beginning go on, in an object store any.

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
            uploads = frozenset(session.children(layout.UPLOADS))
            self._begun = Begun(uploads, self._clocks())
        if self._begun.uploads.intersection(session.children(layout.UPLOADS)):
            return None
        begun, self._begun = self._begun, None
        return self._end(begun, config["collect_after_s"])

    def _clocks(self) -> dict[str, int]:
        clocks = {}
        for node, address in self._home.directory.live().items():
            try:
                clocks[node] = self._home.client.clock_ns(address)
            except MuskoxError:
                continue  # its blobs are left to the next collection
        return clocks

    def _end(self, begun: Begun, after_s: float) -> Collected | None:
        if isinstance(self._home, ObjectHome):
            return self._end_in_objects(self._home.objects, after_s)
        trashed, removed, still_read = self._trash()
        named: dict[str, set[str]] = {}
        for kept in self._kept():
            for node in kept.unit.holders:
                named.setdefault(node, set()).update(digest for digest, _ in kept.unit.blobs)
        spared = still_read.union(self._busy())
        done = Collected()
        live = self._home.directory.live()
        for node, clock_ns in begun.clocks.items():
            if node in live:
                self._sweep(node, live[node], (named.get(node, set()) | spared, removed), (clock_ns, after_s), done)
        for name, number in trashed:
            self._home.session.delete(layout.trash(name, number))
            done.versions.append(f"{name}@{number}")
        return done

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

    def _sweep(
        self, node: str, address: str, digests: tuple[set[str], set[str]], times: tuple[int, float], done: Collected
    ) -> None:
        """Delete from one node what nothing names: of removed versions at once, of unknown origin once it is old."""
        needed, removed = digests
        clock_ns, after_s = times
        try:
            held = self._home.client.inventory(address)
            unnamed = sorted(held.keys() - needed)
            for doomed, limit_ns in (
                ([digest for digest in unnamed if digest in removed], clock_ns),
                ([digest for digest in unnamed if digest not in removed], clock_ns - int(after_s * 1e9)),
            ):
                for first in range(0, len(doomed), DELETED_AT_ONCE):
                    gone = self._home.client.delete(address, doomed[first : first + DELETED_AT_ONCE], limit_ns)
                    done.blobs += len(gone)
                    done.bytes += sum(held[digest] for digest in gone)
        except MuskoxError as error:
            log.warning("what node %s need not hold is left to the next collection: %s", node, error)

    def _trash(self) -> tuple[list[Version], set[str], set[str]]:
        """Return the removed versions that nobody reads, their blobs, and the blobs of those that somebody reads still."""
        unread: list[Version] = []
        removed: set[str] = set()
        still_read: set[str] = set()
        read = readers(self._home.session)
        for name, number in _trashed(self._home.session):
            found = self._home.session.find(layout.trash(name, number), stored.TrashRecord)
            if found is None:
                continue
            manifest = self._manifests.read(found[0].version.manifest, found[0].nodes)
            blobs = {part.file_digest for shard in manifest.shards for part in shard.parts} | {found[0].version.manifest}
            if (name, number) in read:
                still_read |= blobs
            else:
                removed |= blobs
                unread.append((name, number))
        return unread, removed, still_read


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
    """Forget the jobs that were over for so many days; what they made stays. Return their ids."""
    before_ms = time.time_ns() // 1_000_000 - int(days * DAY_MS)
    gone = []
    for job_id in session.children(layout.JOBS):
        state = session.find(layout.job_state(job_id), layout.JobState)
        if state is not None and state[0].phase.is_final and 0 < state[0].finished_ms < before_ms:
            session.delete(layout.job(job_id), recursive=True)
            gone.append(job_id)
    return gone
