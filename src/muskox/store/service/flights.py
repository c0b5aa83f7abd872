"""Datasets as any Arrow Flight client sees them: which there are, where their shards are served, rows by columns and range.

It owns descriptors (a path ``["flights@2"]``, or a command in JSON), the endpoints, one a shard in order, and reading what a
ticket asks for, from this node or whichever has it. Each caller sees the datasets that it may read; others do not exist for it.
It must never know how a caller proved who it is. Rows are held against collection while they are read.
"""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from pyarrow import flight

from muskox.coordination import layout, stored
from muskox.errors import CallerError, Corrupt, Unavailable
from muskox.program import BLOCK_ROWS
from muskox.store.care.holds import reading
from muskox.store.catalog import DatasetInfo, find_dataset, parse_reference, read_holders, versions_of
from muskox.store.dataset import Dataset
from muskox.store.disk.shard import joined, open_part, read_blocks
from muskox.store.home import Home
from muskox.store.manifest import DatasetManifest, decode_manifest
from muskox.store.placement.groups import touched
from muskox.store.schema import arrow_schema
from muskox.store.service.access import may_read
from muskox.store.service.callers import Caller, Role
from muskox.store.service.messages import RowsTicket

MANIFESTS_MAX = 32  # that are kept in memory: one of 100,000 shards is large
READS_MAX = 64  # streams of rows at a time: a client that stops reading keeps its thread and its version
USER_READS_MAX = 8  # of these for one user, so that one who stops reading shuts nobody else out
TOKEN_READS_MAX = 48  # for all who show the read token, and for all members: the token does not say which of them calls
LOCATIONS_MAX = 3  # of an endpoint, where every node can serve it
MEMBERS_S = 5.0  # between looks at who is a member
COMMAND = '{"dataset": "flights@2", "columns": ["delay"], "rows": [0, 1000]}'


class Selection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a descriptor asks for; None means all columns, all rows. `rows` is [first, end)."""

    dataset: str
    columns: list[str] | None = None
    rows: tuple[int, int] | None = None


class Span(NamedTuple):
    """The rows from `first` to before `end` of one shard."""

    shard: int
    first: int
    end: int


class DatasetFlights:
    """The flights of a node: what the store's service plugs in.

    supply : gets a blob of an object store, where one is behind the nodes; see `home.supplier`
    is_tls : whether the nodes are reached by TLS
    """

    def __init__(self, home: Home, *, supply: Callable[[str], Path] | None = None, is_tls: bool = False) -> None:
        self._home = home
        self._supply = supply
        self._scheme = "grpc+tls" if is_tls else "grpc"
        self._manifest = lru_cache(MANIFESTS_MAX)(self._read_manifest)
        self._reads = Reads()
        self._addresses: dict[str, str] = {}
        self._looked_s = -MEMBERS_S

    # -- what there is --

    def listing(self, caller: Caller, criteria: bytes) -> Iterator[Any]:
        """Yield a FlightInfo, without endpoints, for the latest version of every dataset; for every version of that one
        which `criteria` names. One whose manifest nobody can give now is left out.
        """
        session = self._home.session
        for name in [_text(criteria)] if criteria else session.children(layout.DATASETS):
            found = session.find(layout.dataset(layout.check_name("dataset", name)), stored.DatasetRecord)
            if found is None or not found[0].latest or not self._is_open_to(caller, name):
                continue
            for number in versions_of(session, name) if criteria else [found[0].latest]:
                try:
                    dataset = self._open(caller, f"{name}@{number}")
                except (Unavailable, CallerError):  # nobody has its manifest now, or it was removed this moment
                    continue
                yield flight.FlightInfo(
                    arrow_schema(dataset.columns),
                    flight.FlightDescriptor.for_path(dataset.reference),
                    [],
                    dataset.rows,
                    dataset.full_manifest.bytes,
                    ordered=True,
                )

    def info(self, caller: Caller, descriptor: Any) -> Any:
        """Return the FlightInfo of a selection: one endpoint a shard, in order, each at all live nodes that hold a part of it.

        `total_bytes` counts the files that hold the columns, by the share of the rows: what crosses the network is about that.

        Raises
        ------
        CallerError
            If there is no such dataset for this caller, no such column, or no such rows.
        """
        asked = _selection(descriptor)
        dataset = self._open(caller, asked.dataset)
        schema = _schema(dataset, asked.columns)
        spans = _spans(dataset, range(len(dataset.shards)), asked.rows)
        addresses = self._members()
        groups = touched(dataset.groups, asked.columns)
        endpoints = []
        total_bytes = 0
        for span in spans:
            entry = dataset.shards[span.shard]
            is_whole = (span.first, span.end) == (0, entry.rows)
            rows = None if is_whole else (span.first, span.end)
            ticket = RowsTicket(dataset=dataset.reference, columns=asked.columns, shard=span.shard, rows=rows)
            endpoints.append(
                flight.FlightEndpoint(msgspec.json.encode(ticket), self._locations(dataset, span, groups, addresses))
            )
            size = sum(entry.parts[group].bytes for group in groups) if entry.parts else entry.bytes
            total_bytes += size * (span.end - span.first) // max(entry.rows, 1)
        total_rows = sum(span.end - span.first for span in spans)
        return flight.FlightInfo(schema, descriptor, endpoints, total_rows, total_bytes, ordered=True)

    def schema(self, caller: Caller, descriptor: Any) -> Any:
        """Return the pyarrow.Schema of a selection; raises as :meth:`info` does."""
        asked = _selection(descriptor)
        return _schema(self._open(caller, asked.dataset), asked.columns)

    def _locations(self, dataset: Dataset, span: Span, groups: Sequence[int], addresses: dict[str, str]) -> Sequence[str]:
        """Return where a shard is served: those who hold most of its column groups first; some nodes where all can get it."""
        held = [node for group in groups for node in dataset.nodes(span.shard, group)]
        nodes = sorted(dict.fromkeys(held), key=lambda node: -held.count(node))
        if not dataset.holders:
            names = list(addresses)
            nodes = [names[(span.shard + k) % len(names)] for k in range(min(LOCATIONS_MAX, len(names)))]
        return [f"{self._scheme}://{addresses[node]}" for node in nodes if node in addresses]

    # -- rows --

    def read(self, caller: Caller, ticket: RowsTicket) -> tuple[Any, Iterator[Any]]:
        """Return the schema and the record batches that a ticket asks for; raises as :meth:`info` does."""
        dataset = self._open(caller, ticket.dataset)
        schema = _schema(dataset, ticket.columns)
        if ticket.shard is not None and not 0 <= ticket.shard < len(dataset.shards):
            raise CallerError(f"{dataset.reference} has the shards 0 to {len(dataset.shards) - 1}, and no shard {ticket.shard}")
        shards = range(len(dataset.shards)) if ticket.shard is None else range(ticket.shard, ticket.shard + 1)
        spans = _spans(dataset, shards, ticket.rows)
        self._members()
        return schema, self._rows(caller, dataset, schema.names, spans)

    def _rows(self, caller: Caller, dataset: Dataset, columns: Sequence[str], spans: Sequence[Span]) -> Iterator[Any]:
        with self._reads.one(caller), reading(self._home.session, dataset.name, dataset.version):
            for span in spans:
                yield from self._span(dataset, columns, span)

    def _span(self, dataset: Dataset, columns: Sequence[str], span: Span) -> Iterator[Any]:
        """Yield the rows of one span; where it ends with its shard, read on: a reader may find only there what is wrong."""
        left = span.end - span.first
        is_to_the_end = span.end == dataset.shards[span.shard].rows
        for batch in self._blocks(dataset, columns, span) if left else ():
            if is_to_the_end and batch.num_rows > left:
                raise Corrupt(f"shard {span.shard} of {dataset.reference} has more rows than its manifest says")
            part = batch if batch.num_rows <= left else batch.slice(0, left)
            left -= part.num_rows
            yield part
            if not left and not is_to_the_end:
                return
        if left:
            raise Corrupt(f"shard {span.shard} of {dataset.reference} has {left} rows less than its manifest says")

    def _blocks(self, dataset: Dataset, columns: Sequence[str], span: Span) -> Iterator[Any]:
        if self._supply is None or dataset.full_manifest.registered is not None:
            yield from dataset.read_shard(span.shard, columns, span.first)
            return
        skipped, begin = divmod(span.first, BLOCK_ROWS)
        files = [open_part(self._supply(digest)) for digest in dataset.blobs(span.shard, columns)]
        for batch in joined([read_blocks(file, skipped) for file in files], columns):
            yield batch.slice(begin) if begin else batch
            begin = 0

    # -- datasets --

    def _is_open_to(self, caller: Caller, name: str) -> bool:
        return caller.role is not Role.USER or may_read(self._home.session, name, caller.id)

    def _open(self, caller: Caller, reference: str) -> Dataset:
        name, number = parse_reference(reference)
        if caller.role is Role.USER:
            info = self._find_for_user(caller, name, number)
        else:
            info = find_dataset(self._home.session, name, number)
        placed = self._home.session.find(layout.manifest_placement(info.name, info.version), stored.ManifestPlacement)
        nodes = () if placed is None else tuple(placed[0].nodes)
        return Dataset(self._home, info, self._manifest(info.record.manifest, nodes), read_holders(self._home.session, info))

    def _find_for_user(self, caller: Caller, name: str, number: int | None) -> DatasetInfo:
        """Return what is known of a version; one that is not there and one that is not for this user look the same."""
        refusal = CallerError(f"there is no dataset {name!r} that you may read")
        if not self._is_open_to(caller, name):
            raise refusal
        try:
            return find_dataset(self._home.session, name, number)
        except CallerError as error:  # it names what else there is
            raise refusal from error

    def _read_manifest(self, digest: str, nodes: tuple[str, ...]) -> DatasetManifest:
        return decode_manifest(self._home.get(digest, nodes))

    def _members(self) -> dict[str, str]:
        """Return the address of every node as of MEMBERS_S ago at most."""
        if time.monotonic() - self._looked_s >= MEMBERS_S:
            self._addresses = self._home.directory.live()
            self._looked_s = time.monotonic()
        return self._addresses


class Reads:
    """The streams of rows that a node sends now, by who asked for them; bounded in all and for each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_caller: Counter[Caller] = Counter()

    @contextmanager
    def one(self, caller: Caller) -> Iterator[None]:
        """Count one stream for as long as this block runs; Unavailable if that is one too many."""
        own_max = USER_READS_MAX if caller.role is Role.USER else TOKEN_READS_MAX
        with self._lock:
            if self._by_caller.total() >= READS_MAX:
                raise Unavailable(f"this node reads for {READS_MAX} clients already: ask another one, or later")
            if self._by_caller[caller] >= own_max:
                raise Unavailable(f"this node sends you {own_max} streams already: read one to its end, or ask another node")
            self._by_caller[caller] += 1
        try:
            yield
        finally:
            with self._lock:
                self._by_caller[caller] -= 1
                if not self._by_caller[caller]:
                    del self._by_caller[caller]


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise CallerError("the name of a dataset is text in UTF-8") from error


def _selection(descriptor: Any) -> Selection:
    """Return what a FlightDescriptor asks for."""
    if descriptor.descriptor_type == flight.DescriptorType.PATH:
        if len(descriptor.path) != 1:
            raise CallerError(f'a path is one name such as ["flights"] or ["flights@2"], not {len(descriptor.path)} of them')
        return Selection(_text(descriptor.path[0]))
    try:
        return msgspec.json.decode(descriptor.command or b"", type=Selection)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CallerError(f"a command is JSON such as {COMMAND}: {error}") from error


def _schema(dataset: Dataset, columns: Sequence[str] | None) -> Any:
    schema = dataset.schema(columns)  # a column named twice is in it once
    if not schema.names or (columns is not None and len(schema) < len(columns)):
        raise CallerError(f"name each column once, and at least one of {', '.join(dataset.columns)}, or leave columns out")
    return schema


def _spans(dataset: Dataset, shards: Sequence[int], rows: tuple[int, int] | None) -> list[Span]:
    """Return which rows of which of `shards` the range `rows`, counted over them, takes; None takes all."""
    counts = [dataset.shards[shard].rows for shard in shards]
    total = sum(counts)
    if rows is None:
        return [Span(shard, 0, count) for shard, count in zip(shards, counts, strict=True)]
    first, end = rows
    if not 0 <= first <= end <= total:
        raise CallerError(f"rows are [first, end) within 0 and {total}, not [{first}, {end})")
    starts = itertools.accumulate(counts, initial=0)
    spans = (
        Span(shard, max(first - start, 0), min(end - start, count))
        for shard, start, count in zip(shards, starts, counts, strict=False)
    )
    return [span for span in spans if span.first < span.end]
