"""Writing a dataset version: read, cut into shards, replicate, commit. Whole or not at all.

An upload holds a lease (an ephemeral znode) from before its first blob until its commit, one ZooKeeper multi that deletes the
lease, creates the version and moves the dataset's pointer if nobody else moved it. Until then nothing is visible; what a failed
or killed put leaves are blobs that nothing points at. Version numbers only grow, also over a removal: the dataset's znode
stays, and its own version is the fence.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from muskox.coordination import Check, Session, layout, read_config
from muskox.errors import CallerError, Unavailable
from muskox.store.care.leases import writing
from muskox.store.catalog import read_placements
from muskox.store.commit import Commit, Fence, commit, find_fence
from muskox.store.dataset import Dataset, open_dataset
from muskox.store.disk.cutting import Cutting
from muskox.store.disk.shard import ShardFiles
from muskox.store.home import Home
from muskox.store.input.ahead import ahead
from muskox.store.input.reading import USUAL, Reading
from muskox.store.input.source import Source, open_source
from muskox.store.manifest import DatasetManifest, Part, ShardEntry, dataset_digest
from muskox.store.partition.assignment import Bounds, assign, check_shards, sample_bounds
from muskox.store.partition.rules import ROWS, ByRandom, Rule, key_columns, needs_sample, parse_by
from muskox.store.partition.skew import find_dominant_key, measure_skew
from muskox.store.placement.groups import Groups, parse_groups
from muskox.store.placement.holders import Holders
from muskox.store.schema import arrow_schema
from muskox.store.upload import Uploads

SHARDS = 12  # where the caller does not say
UPLOADS_MAX = 4  # shards on their way at a time
CHANGED = "the input was changed while it was read: put it again once it is at rest"
REPLICAS_MAX = 10
MEMORY_MB_MIN = 128  # what readers hold of the input, whatever its size


@dataclass(frozen=True, slots=True)
class PutProgress:
    """How far a put is: `done` of `total` bytes in phase "looking", rows in phase "reading", shards in phase "storing"."""

    phase: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class PutOptions:
    """How to write a dataset.

    shards : how many; None means 12, or as many as the version that is appended to has
    by : "rows", "hash:COLUMN[,COLUMN]", "sha256:COLUMN", "range:COLUMN", "random" or "random:SEED" (partition/rules.py); None
        means rows, or what the version that is appended to has
    groups : columns that shall lie together, apart from the others, such as "ids:id,user; text:body; features:*"
    replicas : nodes that shall hold each shard; None means the cluster's setting
    overwrite, append : what to do if there is a dataset of that name; otherwise that is an error
    types : types by column that are not to be inferred, such as {"zip": "string"}
    reading : what the input does not say itself: its format, the dialect of CSV
    folder : where the client may write temporary files of the size of the data; None means the system's place
    memory_mb : how much memory the put may take, beside the program itself; at least MEMORY_MB_MIN. Parquet of many columns may
        take up to about 100 MB more: its reader holds a piece of each
    progress : called now and then from the calling thread
    warn : called with a sentence on what is worth knowing, such as a key that no rule can balance
    """

    shards: int | None = None
    by: str | None = None
    groups: str | None = None
    replicas: int | None = None
    overwrite: bool = False
    append: bool = False
    types: Mapping[str, str] | None = None
    reading: Reading = USUAL
    folder: Path | None = None
    memory_mb: int = 512
    progress: Callable[[PutProgress], None] | None = None
    warn: Callable[[str], None] | None = None

    def tell(self, phase: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(PutProgress(phase, done, total))


def put_dataset(home: Home, name: str, data: Any, options: PutOptions = PutOptions()) -> int:
    """Write `data` (whatever :func:`muskox.store.open_source` takes) as a new version of dataset `name`; return its number.

    Raises
    ------
    CallerError
        If the name, an option or the data breaks a rule, or the dataset exists and neither `overwrite` nor `append` is set.
    Unavailable
        If too few nodes take the data, a disk is full, or somebody else changed the dataset meanwhile. Nothing becomes visible.
    """
    layout.check_name("dataset", name)
    plan = _plan(home, name, options)
    types = {**(plan.base.columns if plan.base else {}), **(options.types or {})}
    reading = replace(options.reading, on_columns=plan.groups_of, progress=options.tell)
    with _temporary(options.folder) as folder, open_source(data, types, replace(reading, folder=folder)) as source:
        groups = plan.check_source(source)
        with writing(home.session, name) as upload:
            uploads = home.uploads(plan.replicas)
            uploads.begin(list(groups), plan.shards, plan.before)
            with plan.cutting(folder, arrow_schema(source.columns), groups, options) as cutting:
                bounds = _read(source, plan, cutting, options)
                _warn_of_skew(plan, cutting, options)
                entries = _store(plan, cutting, uploads, options)
            manifest = _manifest(plan, source, groups, entries, bounds)
            take_over = partial(_take_over, home.session, plan.base, entries, uploads)
            return commit(home.session, manifest, Commit(plan.fence.version, upload, uploads, plan.replicas, take_over))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What will be written; `base` is appended to."""

    name: str
    shards: int
    by: str
    groups: str
    replicas: int
    fence: Fence
    base: Dataset | None
    before: list[Holders]

    def check_source(self, source: Source) -> Groups:
        """Return the column groups, once the rows are known to fit the plan."""
        if self.base is not None and list(source.columns.items()) != list(self.base.columns.items()):  # in order, too
            raise CallerError(
                f"cannot append to {self.name!r}: its columns are {_typed(self.base.columns)}; those of the new rows are "
                f"{_typed(source.columns)}"
            )
        return self.groups_of(list(source.columns))

    def groups_of(self, columns: Sequence[str]) -> Groups:
        """Return the column groups of rows with these columns; CallerError if the rule or a group names others."""
        parse_by(self.by, columns)
        return self.base.groups if self.base is not None else parse_groups(self.groups, columns)

    def cutting(self, folder: Path, schema: Any, groups: Groups, options: PutOptions) -> Cutting:
        """Return what cuts the rows, which come after those of `base`."""
        columns, memory_bytes = [*groups.values()], options.memory_mb << 20
        before = None if self.base is None else self.base.read_shard
        return Cutting(folder, schema, self.shards, columns, memory_bytes=memory_bytes, before=before)


def _typed(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in columns.items())


def _replicas(session: Session, base: Dataset | None, options: PutOptions) -> int:
    """Return what was asked for, else what the version that is appended to has, else the live setting."""
    replicas = options.replicas
    if replicas is None:
        replicas = int(read_config(session)["replicas"]) if base is None else base.info.record.replicas
    if not 1 <= replicas <= REPLICAS_MAX:
        raise CallerError(f"a dataset has between 1 and {REPLICAS_MAX} replicas, not {replicas}")
    return replicas


def _plan(home: Home, name: str, options: PutOptions) -> _Plan:
    if options.overwrite and options.append:
        raise CallerError("a put either overwrites or appends, not both")
    if options.memory_mb < MEMORY_MB_MIN:
        raise CallerError(f"a put takes at least {MEMORY_MB_MIN} MB of memory, not {options.memory_mb}")
    fence = find_fence(home.session, name)
    latest = fence.latest
    if latest and not (options.overwrite or options.append):
        raise CallerError(f"there is a dataset {name!r} already: overwrite it or append to it (--overwrite, --append)")
    base = open_dataset(home, name, latest) if latest and options.append else None
    replicas = _replicas(home.session, base, options)
    shards, by = options.shards, options.by
    if base is not None:
        if shards not in (None, len(base.shards)) or by not in (None, base.full_manifest.by):
            raise CallerError(
                f"cannot append to {name!r} with other shards: it has {len(base.shards)} by {base.full_manifest.by!r}"
            )
        if options.groups is not None and parse_groups(options.groups, list(base.columns)) != base.groups:
            raise CallerError(f"cannot append to {name!r} with other column groups: leave --groups out")
        if base.info.record.registered:
            raise CallerError(f"{name!r} was registered in place: add the files there and register it again")
        shards, by = len(base.shards), base.full_manifest.by
    shards = check_shards(SHARDS if shards is None else shards)
    before = base.holders if base is not None else []
    return _Plan(name, shards, by or ROWS, options.groups or "", replicas, fence, base, before)


@contextmanager
def _temporary(parent: Path | None) -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="muskox-put-", dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise CallerError(f"cannot write temporary files to {parent or tempfile.gettempdir()}: {error.strerror}") from error
    with folder as path:
        yield Path(path)


def _read(source: Source, plan: _Plan, cutting: Cutting, options: PutOptions) -> Bounds:
    """Read all rows and cut them into shards; return the bounds of the rule, where it has any."""
    rule = parse_by(plan.by, list(source.columns))
    bounds = _bounds(source, plan, rule)
    before = plan.base.rows if plan.base is not None and isinstance(rule, ByRandom) else 0  # new rows draw new numbers
    done = 0
    for batch in ahead(batch for batch in source.batches()):
        if done + batch.num_rows > source.rows:
            raise CallerError(CHANGED)
        cutting.add(batch, assign(rule, batch, before + done, source.rows, plan.shards, bounds))
        done += batch.num_rows
        options.tell("reading", done, source.rows)
    if done != source.rows:
        raise CallerError(CHANGED)
    cutting.flush()
    return bounds


def _bounds(source: Source, plan: _Plan, rule: Rule) -> Bounds:
    """Return where the rule cuts: as the version that is appended to was cut, else by a pass over the rows of its own."""
    if not needs_sample(rule):
        return ()
    if plan.base is not None:
        return tuple(plan.base.full_manifest.bounds)
    return sample_bounds(rule, source.batches(key_columns(rule)), plan.shards)


def _warn_of_skew(plan: _Plan, cutting: Cutting, options: PutOptions) -> None:
    """Say which key is to blame, if the shards are very unequal."""
    skew = measure_skew([cutting.rows(shard) for shard in range(plan.shards)])
    if options.warn is None or not skew.is_large:
        return
    columns = key_columns(parse_by(plan.by, cutting.schema.names))
    dominant = find_dominant_key(cutting.batches(skew.largest, columns), columns, skew) if columns else None
    options.warn(skew.sentence() if dominant is None else dominant.sentence(plan.shards))


def _store(plan: _Plan, cutting: Cutting, uploads: Uploads, options: PutOptions) -> list[ShardEntry]:
    """Complete each shard and upload it while the next ones are completed; at most UPLOADS_MAX wait."""
    entries: dict[int, ShardEntry] = {}
    under_way: dict[int, Future[ShardEntry]] = {}
    with ThreadPoolExecutor(UPLOADS_MAX, thread_name_prefix="put") as pool:
        try:
            for shard in range(plan.shards):
                if plan.base is not None and not cutting.rows(shard):
                    entries[shard] = plan.base.shards[shard]  # taken over just before the commit
                    continue
                under_way[shard] = pool.submit(_upload, uploads, shard, cutting.finish(shard))
                while len(under_way) >= UPLOADS_MAX:
                    first = next(iter(under_way))
                    entries[first] = under_way.pop(first).result()
                    options.tell("storing", len(entries), plan.shards)
            for shard, future in under_way.items():
                entries[shard] = future.result()
                options.tell("storing", len(entries), plan.shards)
        finally:
            pool.shutdown(cancel_futures=True)
    return [entries[shard] for shard in range(plan.shards)]


def _take_over(session: Session, base: Dataset | None, entries: list[ShardEntry], uploads: Uploads) -> list[Check]:
    """Take over the shards of `base` that do not change from where they lie now; return what must hold still at the commit.

    Repair may have moved them while the rows were read, and what it has moved is deleted from where it lay.
    """
    if base is None:
        return []
    places = read_placements(session, base.info)
    if len(places) != len(base.holders):
        raise Unavailable(f"{base.reference} was removed while it was appended to, so nothing was written: try again")
    for shard, entry in enumerate(base.shards):
        if entries[shard] == entry:
            for group, part in enumerate(entry.parts):
                nodes = places[group][0].of(shard) if places else ()
                uploads.adopt((group, shard), part.file_digest, part.bytes, nodes)
    return [Check(layout.placement(base.name, base.version, group), version) for group, (_, version) in enumerate(places)]


def _upload(uploads: Uploads, shard: int, written: ShardFiles) -> ShardEntry:
    try:
        for group, part in enumerate(written.parts):
            uploads.upload((group, shard), part.path, part.file_digest)
    finally:
        for part in written.parts:
            part.path.unlink()
    parts = [Part(bytes=part.bytes, file_digest=part.file_digest) for part in written.parts]
    return ShardEntry(rows=written.rows, content_digest=written.content_digest, parts=parts)


def _manifest(plan: _Plan, source: Source, groups: Groups, entries: list[ShardEntry], bounds: Bounds) -> DatasetManifest:
    return DatasetManifest(
        name=plan.name,
        version=plan.fence.number,
        columns=list(source.columns.items()),
        by=plan.by,
        shards=entries,
        digest=dataset_digest(source.columns, plan.by, [entry.content_digest for entry in entries]),
        groups=list(groups.items()),
        bounds=list(bounds),
    )
