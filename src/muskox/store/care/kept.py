"""All that a cluster keeps on its nodes: every shard, manifest, model, program, result and checkpoint, with its holders.

It owns the way from znodes to units of repair and back: which blobs there should be, on which nodes, and how new holders of a
unit are written down, under the coordinator's fence. What to do about it is placement/repair.py's; what nobody names is
care/collection.py's.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from muskox.coordination import Check, Session, Set, layout, read_config, stored
from muskox.errors import Corrupt, Unavailable
from muskox.store.catalog import DatasetInfo, all_versions
from muskox.store.home import Home, NodeHome
from muskox.store.manifest import DatasetManifest, decode_manifest
from muskox.store.placement.holders import decode_holders, encode_holders
from muskox.store.placement.repair_events import Unit

FILES_MAX = 500_000  # named by the manifests that are kept in memory: some 200 MB

log = logging.getLogger(__name__)


class Manifests:
    """Manifests by digest, read once: they never change. Those used last are kept, up to FILES_MAX files named in all."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._known: OrderedDict[str, DatasetManifest] = OrderedDict()
        self._files = 0

    def read(self, digest: str, nodes: Sequence[str]) -> DatasetManifest:
        """Return a manifest; Unavailable if nobody can give it."""
        if digest not in self._known:
            manifest = decode_manifest(self._home.get(digest, nodes))
            self._known[digest] = manifest
            self._files += _files(manifest)
            while self._files > FILES_MAX and len(self._known) > 1:
                self._files -= _files(self._known.popitem(last=False)[1])
            return manifest
        self._known.move_to_end(digest)
        return self._known[digest]


def _files(manifest: DatasetManifest) -> int:
    return max(len(manifest.shards) * len(manifest.groups), 1)


@dataclass(frozen=True, slots=True)
class Kept:
    """A unit, and the znode that says who holds it: of a dataset's shards one run of its placement, else one list of nodes."""

    unit: Unit
    path: str
    run: int = -1
    shards: int = 0


def find_kept(home: Home, manifests: Manifests, *, is_strict: bool) -> Iterator[Kept]:
    """Yield everything that the cluster's nodes should hold.

    is_strict : whether all must be known. Who deletes what is not named wants that; who repairs goes on with the rest

    Raises
    ------
    Unavailable
        Where `is_strict`: if a manifest cannot be read, or a version was removed while it was looked at.
    """
    replicas = int(read_config(home.session)["replicas"])
    for info in all_versions(home.session):
        try:
            yield from _of_version(home, manifests, info)
        except (Unavailable, Corrupt) as error:
            if is_strict:
                raise
            log.warning("what %s@%d holds is not known now: %s", info.name, info.version, error)
    yield from _of_models(home.session, replicas)
    yield from _of_jobs(home.session, replicas)


def _of_version(home: Home, manifests: Manifests, info: DatasetInfo) -> Iterator[Kept]:
    session, name = home.session, f"{info.name}@{info.version}"
    path = layout.manifest_placement(info.name, info.version)
    found = session.find(path, stored.ManifestPlacement)
    if found is None:
        raise Unavailable(f"{name} was removed while it was looked at")
    nodes = tuple(found[0].nodes)
    size = info.record.shards * info.record.groups * 300  # what a manifest roughly takes: only for the order of copies
    unit = Unit(f"manifest/{name}", ((info.record.manifest, size),), info.record.replicas, nodes, revision=found[1])
    yield Kept(unit, path)
    if info.record.registered:
        return
    manifest = manifests.read(info.record.manifest, nodes)
    for group in range(info.record.groups):
        place = layout.placement(info.name, info.version, group)
        record = session.find(place, stored.PlacementRecord)
        if record is None and isinstance(home, NodeHome):
            raise Unavailable(f"{name} was removed while it was looked at")
        if record is None:  # an object store holds it, and no node
            blobs = tuple((shard.parts[group].file_digest, shard.parts[group].bytes) for shard in manifest.shards)
            yield Kept(Unit(f"shards/{name}/{group}", blobs, 0, ()), place)
            continue
        holders = decode_holders(record[0], info.record.shards)
        family = f"{info.name}/{group}"  # of all versions: what they share shall lie on the same nodes
        for run, run_nodes in enumerate(holders.runs):
            entries = (manifest.shards[shard].parts[group] for shard in holders.run(run, info.record.shards))
            blobs = tuple((part.file_digest, part.bytes) for part in entries)
            unit = Unit(f"shards/{name}/{group}/{run}", blobs, holders.replicas, run_nodes, family, run, record[1])
            yield Kept(unit, place, run, info.record.shards)


def _of_models(session: Session, replicas: int) -> Iterator[Kept]:
    for name in session.children(layout.MODELS):
        found = session.find(layout.model(name), layout.ModelRecord)
        if found is not None:
            record, version = found
            yield _lone(f"model/{name}", layout.model(name), (record.blob, record.nodes, version), replicas)
            if record.program:
                held = (record.program, record.program_nodes, version)
                yield _lone(f"recipe/{name}", layout.model(name), held, replicas)


def _of_jobs(session: Session, replicas: int) -> Iterator[Kept]:
    for job_id in session.children(layout.JOBS):
        job = session.find(layout.job(job_id), layout.JobRecord)
        state = session.find(layout.job_state(job_id), layout.JobState)
        if job is not None:
            yield _lone(f"program/{job_id}", layout.job(job_id), (job[0].program, job[0].program_nodes, job[1]), replicas)
        if state is not None and state[0].result_blob:
            held = (state[0].result_blob, state[0].result_nodes, state[1])
            yield _lone(f"result/{job_id}", layout.job_state(job_id), held, replicas)
        for path, checkpoint, version in checkpoints(session, job_id):
            yield _lone(f"checkpoint{path}", path, (checkpoint.blob, checkpoint.nodes, version), replicas)


def checkpoints(session: Session, job_id: str) -> Iterator[tuple[str, layout.CheckpointRecord, int]]:
    """Yield what is durable of a running job, with path and version: its checkpoint, or the pieces of its finished results."""
    numbers = map(int, session.children(layout.pieces(job_id)))
    for path in (layout.checkpoint(job_id), *(layout.piece(job_id, number) for number in numbers)):
        found = session.find(path, layout.CheckpointRecord)
        if found is not None:
            yield path, *found


def _lone(key: str, path: str, held: tuple[str, list[str], int], replicas: int) -> Kept:
    blob, nodes, version = held
    return Kept(Unit(key, ((blob, 0),), replicas, tuple(nodes), revision=version), path)


@dataclass(frozen=True, slots=True)
class Change:
    """New holders for a unit, in the stead of those that were written down `before`."""

    kept: Kept
    before: Sequence[str]
    nodes: Sequence[str]


def write_holders(session: Session, fence: int, changes: Sequence[Change]) -> tuple[list[Change], int]:
    """Write down who holds some units of one znode, in one step; return those that were written, and the znode's new version.

    Left out is what is gone, or is held by others than `before` by now.

    Raises
    ------
    Refused
        If the fence has passed, or the znode changed meanwhile.
    """
    path = changes[0].kept.path
    read: list[tuple[Change, Written]] = []
    record: msgspec.Struct | None = None
    for change in changes:
        written = _read(session, change.kept, record)
        if written is not None and list(written.nodes) == list(change.before):
            read.append((change, written))
            record = written.with_nodes(list(change.nodes))
    if record is None:
        return [], 0

    def was_done() -> bool:
        found = session.find(path, type(record))
        return found is not None and found[0] == record

    version = read[0][1].version
    session.commit([Check(layout.FENCE, fence), Set(path, record, version)], was_done)
    return [change for change, _ in read], version + 1


@dataclass(frozen=True, slots=True)
class Written:
    """What a unit's znode says: its holders, and how to say the same with others."""

    nodes: Sequence[str]
    version: int
    with_nodes: Callable[[list[str]], msgspec.Struct]


FIELDS: dict[str, tuple[type[msgspec.Struct], str, str]] = {  # by the kind of unit: the record, its list of nodes, its blob
    "manifest": (stored.ManifestPlacement, "nodes", ""),
    "model": (layout.ModelRecord, "nodes", "blob"),
    "recipe": (layout.ModelRecord, "program_nodes", "program"),
    "program": (layout.JobRecord, "program_nodes", "program"),
    "result": (layout.JobState, "result_nodes", "result_blob"),
    "checkpoint": (layout.CheckpointRecord, "nodes", "blob"),
}


def _read(session: Session, kept: Kept, changed: msgspec.Struct | None = None) -> Written | None:
    """Return what is written down of the unit now; None if it is gone, or another blob has taken its place.

    changed : the znode's record as it is about to be written, with other units changed
    """
    kind = kept.unit.key.partition("/")[0]
    if kind == "shards":
        placement = session.find(kept.path, stored.PlacementRecord)
        if placement is None:
            return None
        record = changed if isinstance(changed, stored.PlacementRecord) else placement[0]
        holders = decode_holders(record, kept.shards)
        return Written(holders.runs[kept.run], placement[1], lambda nodes: encode_holders(holders.with_run(kept.run, nodes)))
    record_type, field, blob = FIELDS[kind]
    found = session.find(kept.path, record_type)
    if found is None or (blob and getattr(found[0], blob) != kept.unit.blobs[0][0]):
        return None
    entry, version = changed if isinstance(changed, record_type) else found[0], found[1]
    return Written(getattr(entry, field), version, lambda nodes: msgspec.structs.replace(entry, **{field: nodes}))
