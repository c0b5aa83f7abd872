"""All that a cluster keeps on its nodes: every shard, manifest, model, program, result and checkpoint, with its holders.

It owns the way from znodes to units of repair and back: which blobs there should be, on which nodes, and how new holders of a
unit are written down, under the coordinator's fence. What to do about it is store/repair.py's; what nobody names is
store/collection.py's.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from muskox.coordination import Check, Session, Set, layout, read_config, stored
from muskox.store.catalog import DatasetInfo, all_versions
from muskox.store.holders import decode_holders, encode_holders
from muskox.store.home import Home
from muskox.store.manifest import DatasetManifest, decode_manifest
from muskox.store.repair_events import Unit

MANIFESTS_MAX = 200  # that are kept in memory


class Manifests:
    """Manifests by digest, read once: they never change."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._known: OrderedDict[str, DatasetManifest] = OrderedDict()

    def read(self, digest: str, nodes: Sequence[str]) -> DatasetManifest:
        """Return a manifest; Unavailable if nobody can give it."""
        if digest not in self._known:
            while len(self._known) >= MANIFESTS_MAX:
                self._known.popitem(last=False)
            self._known[digest] = decode_manifest(self._home.get(digest, nodes))
        self._known.move_to_end(digest)
        return self._known[digest]


@dataclass(frozen=True, slots=True)
class Kept:
    """A unit, and the znode that says who holds it: of a dataset's shards one run of its placement, else one list of nodes."""

    unit: Unit
    path: str
    run: int = -1
    shards: int = 0


def find_kept(home: Home, manifests: Manifests) -> Iterator[Kept]:
    """Yield everything that the cluster's nodes should hold.

    Raises
    ------
    Unavailable
        If a manifest cannot be read: what it names is not known then.
    """
    replicas = int(read_config(home.session)["replicas"])
    for info in all_versions(home.session):
        yield from _of_version(home.session, manifests, info)
    yield from _of_models(home.session, replicas)
    yield from _of_jobs(home.session, replicas)


def _of_version(session: Session, manifests: Manifests, info: DatasetInfo) -> Iterator[Kept]:
    path = layout.manifest_placement(info.name, info.version)
    found = session.find(path, stored.ManifestPlacement)
    if found is None:
        return  # removed this moment
    nodes = tuple(found[0].nodes)
    manifest = manifests.read(info.record.manifest, nodes)
    name = f"{info.name}@{info.version}"
    size = len(manifest.shards) * 300  # what a manifest roughly takes: only for the order of copies
    unit = Unit(f"manifest/{name}", ((info.record.manifest, size),), info.record.replicas, nodes, revision=found[1])
    yield Kept(unit, path)
    for group in range(0 if info.record.registered else info.record.groups):
        place = layout.placement(info.name, info.version, group)
        record = session.find(place, stored.PlacementRecord)
        if record is None:  # an object store holds it, and no node
            blobs = tuple((shard.parts[group].file_digest, shard.parts[group].bytes) for shard in manifest.shards)
            yield Kept(Unit(f"shards/{name}/{group}", blobs, 0, ()), place)
            continue
        holders = decode_holders(record[0], info.record.shards)
        family = f"shards/{name}/{group}"
        for run, run_nodes in enumerate(holders.runs):
            entries = (manifest.shards[shard].parts[group] for shard in holders.run(run, info.record.shards))
            blobs = tuple((part.file_digest, part.bytes) for part in entries)
            unit = Unit(f"{family}/{run}", blobs, holders.replicas, run_nodes, family, run, record[1])
            yield Kept(unit, place, run, info.record.shards)


def _of_models(session: Session, replicas: int) -> Iterator[Kept]:
    for name in session.children(layout.MODELS):
        found = session.find(layout.model(name), layout.ModelRecord)
        if found is not None:
            yield _lone(f"model/{name}", layout.model(name), (found[0].blob, found[0].nodes, found[1]), replicas)


def _of_jobs(session: Session, replicas: int) -> Iterator[Kept]:
    for job_id in session.children(layout.JOBS):
        job = session.find(layout.job(job_id), layout.JobRecord)
        state = session.find(layout.job_state(job_id), layout.JobState)
        checkpoint = session.find(layout.checkpoint(job_id), layout.CheckpointRecord)
        if job is not None:
            yield _lone(f"program/{job_id}", layout.job(job_id), (job[0].program, job[0].program_nodes, job[1]), replicas)
        if state is not None and state[0].result_blob:
            held = (state[0].result_blob, state[0].result_nodes, state[1])
            yield _lone(f"result/{job_id}", layout.job_state(job_id), held, replicas)
        if checkpoint is not None:
            held = (checkpoint[0].blob, checkpoint[0].nodes, checkpoint[1])
            yield _lone(f"checkpoint/{job_id}", layout.checkpoint(job_id), held, replicas)


def _lone(key: str, path: str, held: tuple[str, list[str], int], replicas: int) -> Kept:
    blob, nodes, version = held
    return Kept(Unit(key, ((blob, 0),), replicas, tuple(nodes), revision=version), path)


def write_holders(session: Session, fence: int, kept: Kept, before: Sequence[str], nodes: Sequence[str]) -> int | None:
    """Write down who holds a unit now, if it is `before` still; return the znode's new version, or None if it is not.

    Raises
    ------
    Refused
        If the fence has passed, or the znode changed meanwhile.
    """
    written = _read(session, kept)
    if written is None or list(written.nodes) != list(before):
        return None
    record = written.with_nodes(list(nodes))

    def was_done() -> bool:
        now = _read(session, kept)
        return now is not None and list(now.nodes) == list(nodes)

    session.commit([Check(layout.FENCE, fence), Set(kept.path, record, written.version)], was_done)
    return written.version + 1


@dataclass(frozen=True, slots=True)
class Written:
    """What a unit's znode says: its holders, and how to say the same with others."""

    nodes: Sequence[str]
    version: int
    with_nodes: Callable[[list[str]], msgspec.Struct]


FIELDS: dict[str, tuple[type[msgspec.Struct], str, str]] = {  # by the kind of unit: the record, its list of nodes, its blob
    "manifest": (stored.ManifestPlacement, "nodes", ""),
    "model": (layout.ModelRecord, "nodes", "blob"),
    "program": (layout.JobRecord, "program_nodes", "program"),
    "result": (layout.JobState, "result_nodes", "result_blob"),
    "checkpoint": (layout.CheckpointRecord, "nodes", "blob"),
}


def _read(session: Session, kept: Kept) -> Written | None:
    """Return what is written down of the unit now; None if it is gone, or another blob has taken its place."""
    kind = kept.unit.key.partition("/")[0]
    if kind == "shards":
        placement = session.find(kept.path, stored.PlacementRecord)
        if placement is None:
            return None
        holders = decode_holders(placement[0], kept.shards)
        return Written(holders.runs[kept.run], placement[1], lambda nodes: encode_holders(holders.with_run(kept.run, nodes)))
    record_type, field, blob = FIELDS[kind]
    found = session.find(kept.path, record_type)
    if found is None or (blob and getattr(found[0], blob) != kept.unit.blobs[0][0]):
        return None
    record, version = found
    return Written(getattr(record, field), version, lambda nodes: msgspec.structs.replace(record, **{field: nodes}))
