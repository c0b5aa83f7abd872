"""Writing a dataset version: read, cut into shards, replicate, commit. Whole or not at all.

An upload holds a lease (an ephemeral znode) from before its first blob until its commit, one ZooKeeper multi that deletes the
lease, creates the version and moves the dataset's pointer if nobody else moved it. Until then nothing is visible; what a failed
or killed put leaves are blobs that nothing points at. Version numbers only grow, also over a removal: the dataset's znode
stays, and its own version is the fence.
"""

import hashlib
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from muskox.coordination import Create, Delete, Operation, Refused, Session, Set, layout, read_config
from muskox.errors import CallerError, Unavailable
from muskox.store.catalog import find_dataset, read_manifest
from muskox.store.client import StoreClient
from muskox.store.directory import Directory
from muskox.store.manifest import DatasetManifest, ShardEntry, dataset_digest, encode_manifest
from muskox.store.partition import ROWS, ByHash, ByRows, Indexes, Rule, assign_rows, assign_shards, check_shards, parse_by
from muskox.store.schema import arrow_schema
from muskox.store.shard import ShardFile, write_shard
from muskox.store.source import Source, open_source
from muskox.store.spill import Spill
from muskox.store.upload import Uploader

SHARDS = 12  # where the caller does not say
UPLOADS_MAX = 4  # shards on their way at a time; also bounds the shard files on the client's disk
CHANGED = "the input was changed while it was read: put it again once it is at rest"
REPLICAS_MAX = 10


@dataclass(frozen=True, slots=True)
class PutProgress:
    """How far a put is: `done` of `total` rows in phase "reading", of shards in phase "storing"."""

    phase: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class PutOptions:
    """How to write a dataset.

    shards : how many; None means 12, or as many as the version that is appended to has
    by : "rows" or "hash:COLUMN"; None means rows, or what the version that is appended to has
    replicas : nodes that shall hold each shard; None means the cluster's setting
    overwrite, append : what to do if there is a dataset of that name; otherwise that is an error
    types : types by column that are not to be inferred, such as {"zip": "string"}
    folder : where the client may write temporary files of the size of the data; None means the system's place
    progress : called now and then from the calling thread
    """

    shards: int | None = None
    by: str | None = None
    replicas: int | None = None
    overwrite: bool = False
    append: bool = False
    types: Mapping[str, str] | None = None
    folder: Path | None = None
    progress: Callable[[PutProgress], None] | None = None

    def tell(self, phase: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(PutProgress(phase, done, total))


def put_dataset(session: Session, client: StoreClient, name: str, data: Any, options: PutOptions = PutOptions()) -> int:
    """Write `data` (paths, a pyarrow.Table or a pandas DataFrame) as a new version of dataset `name`; return its number.

    Raises
    ------
    CallerError
        If the name, an option or the data breaks a rule, or the dataset exists and neither `overwrite` nor `append` is set.
    Unavailable
        If too few nodes take the data, a disk is full, or somebody else changed the dataset meanwhile. Nothing becomes visible.
    """
    layout.check_name("dataset", name)
    plan = _plan(session, client, name, options)
    source = open_source(data, {**(plan.base.types if plan.base else {}), **(options.types or {})})
    plan.check_source(source)
    with _lease(session, name) as upload, _temporary(options.folder) as folder:
        uploader = Uploader(Directory(session), client, plan.replicas)
        stores = _Stores(session, client, uploader, uploader.place(plan.shards), folder)
        with Spill(folder / "spill", arrow_schema(source.columns), plan.shards) as spill:
            _read(source, plan, spill, options)
            entries = _store(plan, spill, stores, options)
        return _commit(session, plan, upload, uploader, _manifest(plan, source, entries))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What will be written. `fence` is the version of the dataset's znode, None if there is none; `base` is appended to."""

    name: str
    shards: int
    by: str
    replicas: int
    fence: int | None
    base: DatasetManifest | None

    @property
    def number(self) -> int:
        """The new version: one more than the commits that the dataset's znode has seen."""
        return 1 if self.fence is None else self.fence + 2

    def check_source(self, source: Source) -> Rule:
        if self.base is not None and list(source.columns.items()) != list(self.base.types.items()):  # in order, too
            raise CallerError(
                f"cannot append to {self.name!r}: its columns are {_typed(self.base.types)}; those of the new rows are "
                f"{_typed(source.columns)}"
            )
        return parse_by(self.by, list(source.columns))


def _typed(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in columns.items())


def _replicas(session: Session, name: str, options: PutOptions) -> int:
    """Return what was asked for, else what the version that is appended to has, else the live setting."""
    if options.replicas is not None:
        return options.replicas
    found = session.find(layout.dataset(name), layout.DatasetRecord) if options.append else None
    if found is not None and found[0].latest:
        return find_dataset(session, name, found[0].latest).record.replicas
    return int(read_config(session)["replicas"])


def _plan(session: Session, client: StoreClient, name: str, options: PutOptions) -> _Plan:
    if options.overwrite and options.append:
        raise CallerError("a put either overwrites or appends, not both")
    replicas = _replicas(session, name, options)
    if not 1 <= replicas <= REPLICAS_MAX:
        raise CallerError(f"a dataset has between 1 and {REPLICAS_MAX} replicas, not {replicas}")
    found = session.find(layout.dataset(name), layout.DatasetRecord)
    latest, fence = (0, None) if found is None else (found[0].latest, found[1])
    if latest and not (options.overwrite or options.append):
        raise CallerError(f"there is a dataset {name!r} already: overwrite it or append to it (--overwrite, --append)")
    base = read_manifest(client, Directory(session), find_dataset(session, name, latest)) if latest and options.append else None
    shards, by = options.shards, options.by
    if base is not None:
        if shards not in (None, len(base.shards)) or by not in (None, base.by):
            raise CallerError(f"cannot append to {name!r} with other shards: it has {len(base.shards)} by {base.by!r}")
        shards, by = len(base.shards), base.by
    return _Plan(name, check_shards(SHARDS if shards is None else shards), by or ROWS, replicas, fence, base)


@contextmanager
def _lease(session: Session, name: str) -> Iterator[str]:
    """Hold the znode that the commit deletes; it goes with our session, or here if anything fails."""
    upload = uuid.uuid4().hex
    session.create(layout.upload(upload), layout.UploadRecord(dataset=name, started_ms=int(time.time() * 1000)), ephemeral=True)
    try:
        yield upload
    finally:
        session.delete(layout.upload(upload))


@contextmanager
def _temporary(parent: Path | None) -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="muskox-put-", dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise CallerError(f"cannot write temporary files to {parent or tempfile.gettempdir()}: {error.strerror}") from error
    with folder as path:
        yield Path(path)


def _read(source: Source, plan: _Plan, spill: Spill, options: PutOptions) -> None:
    rule = plan.check_source(source)
    done = 0
    for batch in source.batches():
        if done + batch.num_rows > source.rows:
            raise CallerError(CHANGED)
        spill.add(batch, _assign(rule, batch, done, source.rows, plan.shards))
        done += batch.num_rows
        options.tell("reading", done, source.rows)
    if done != source.rows:
        raise CallerError(CHANGED)
    spill.flush()


def _assign(rule: Rule, batch: Any, first: int, rows: int, shards: int) -> Indexes:
    match rule:
        case ByHash(column):
            return assign_shards(batch.column(column), shards)
        case ByRows():
            return assign_rows(first, batch.num_rows, rows, shards)


@dataclass(frozen=True, slots=True)
class _Stores:
    """Where shards come from and go to."""

    session: Session
    client: StoreClient
    uploader: Uploader
    placement: list[list[str]]
    folder: Path


def _store(plan: _Plan, spill: Spill, stores: _Stores, options: PutOptions) -> list[ShardEntry]:
    """Write each shard and upload it while the next ones are written; at most UPLOADS_MAX wait."""
    entries: dict[int, ShardEntry] = {}
    under_way: dict[int, Future[ShardEntry]] = {}
    directory = Directory(stores.session)
    with ThreadPoolExecutor(UPLOADS_MAX, thread_name_prefix="put") as pool:
        try:
            for shard in range(plan.shards):
                old = plan.base.shards[shard] if plan.base else None
                if old is not None and not spill.has_rows(shard):
                    entries[shard] = old
                    continue
                before = () if old is None else stores.client.read_shard(directory.candidates(old.nodes), old.file_digest)
                file = write_shard(stores.folder / f"shard-{shard}", spill.schema, chain(before, spill.batches(shard)))
                under_way[shard] = pool.submit(_upload, stores.uploader, shard, file, stores.placement[shard])
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


def _upload(uploader: Uploader, shard: int, file: ShardFile, nodes: list[str]) -> ShardEntry:
    try:
        holders = uploader.upload(shard, file.path, file.file_digest, nodes)
    finally:
        file.path.unlink()
    return ShardEntry(
        rows=file.rows, bytes=file.bytes, content_digest=file.content_digest, file_digest=file.file_digest, nodes=holders
    )


def _manifest(plan: _Plan, source: Source, entries: list[ShardEntry]) -> DatasetManifest:
    return DatasetManifest(
        name=plan.name,
        version=plan.number,
        columns=list(source.columns.items()),
        by=plan.by,
        shards=entries,
        digest=dataset_digest(source.columns, plan.by, [entry.content_digest for entry in entries]),
    )


def _commit(session: Session, plan: _Plan, upload: str, uploader: Uploader, manifest: DatasetManifest) -> int:
    data = encode_manifest(manifest)
    blob = hashlib.sha256(data).hexdigest()
    nodes = uploader.upload(plan.number, data, blob, uploader.preferred(plan.number))
    record = layout.VersionRecord(
        manifest=blob,
        nodes=nodes,
        digest=manifest.digest,
        rows=manifest.rows,
        shards=plan.shards,
        bytes=manifest.bytes,
        replicas=uploader.replicas,
        by=plan.by,
        created_ms=int(time.time() * 1000),
        upload=upload,
    )
    version = layout.version(plan.name, plan.number)
    latest = layout.DatasetRecord(latest=plan.number)
    pointer: list[Operation] = (
        [Create(layout.dataset(plan.name), latest), Create(version, record)]
        if plan.fence is None
        else [Set(layout.dataset(plan.name), latest, plan.fence), Create(version, record)]
    )

    def was_done() -> bool:
        found = session.find(version, layout.VersionRecord)
        return found is not None and found[0].upload == upload

    try:
        session.commit([Delete(layout.upload(upload), 0), *pointer], was_done)
    except Refused as error:
        if was_done():  # the lost reply was on its way when we looked
            return plan.number
        lost = session.version(layout.upload(upload)) is None
        why = "the session to ZooKeeper was lost" if lost else f"somebody else changed dataset {plan.name!r}"
        raise Unavailable(f"{why} while this put ran, so nothing was written: put again") from error
    return plan.number
