"""A dataset version, open for reading: its manifest, its rows from whichever replicas answer, the health of its replicas.

Rows are read where they lie: from a file of this machine, mapped into memory, where a node of this machine holds them; else
over Flight, from one replica and, should that one fail, on from the same row from another. Only the column groups that a reader
needs are touched. A version that was registered in place is read there, by whoever reads.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from muskox.errors import CallerError, Corrupt, Unavailable
from muskox.program import BLOCK_ROWS, Manifest
from muskox.records import canonical_json
from muskox.store.care.holds import reading
from muskox.store.catalog import DatasetInfo, find_dataset, parse_reference, read_holders, read_manifest
from muskox.store.disk.blobs import BlobStore
from muskox.store.disk.cache import BlobCache, Fetcher
from muskox.store.disk.shard import joined, open_part, read_blocks, reblock
from muskox.store.home import Home, preference
from muskox.store.manifest import DatasetManifest, Part, ShardEntry
from muskox.store.objects import in_place
from muskox.store.objects.in_place import InPlace, decode_in_place
from muskox.store.objects.object_home import ObjectHome
from muskox.store.placement.groups import touched
from muskox.store.placement.holders import Holders
from muskox.store.schema import Columns, arrow_schema
from muskox.store.service.messages import BYTES_PER_S_MIN, CALL_TIMEOUT_S

VERIFIERS_MAX = 8  # replicas read again at a time
READERS_MAX = 4  # shards on their way at a time in to_arrow


@dataclass(frozen=True, slots=True)
class ReplicaHealth:
    """What a node found when it read its replica again: "good", "corrupt", "missing", or "unreachable"."""

    shard: int
    node: str
    digest: str
    state: str
    group: str = ""


def open_dataset(home: Home, name: str, version: int | None = None) -> "Dataset":
    """Return the dataset that `name` ("flights", "flights@2") and `version` name; the latest if neither says.

    Raises
    ------
    CallerError
        If there is no such dataset or version.
    Unavailable
        If no node can give its manifest.
    """
    name, number = parse_reference(name)
    if version is not None and number not in (None, version):
        raise CallerError(f"{name}@{number} and version {version} are two different things")
    info = find_dataset(home.session, name, number if version is None else version)
    return Dataset(home, info, read_manifest(home, info), read_holders(home.session, info))


class Dataset:
    """An immutable version of a dataset on a cluster's nodes."""

    def __init__(self, home: Home, info: DatasetInfo, full_manifest: DatasetManifest, holders: Sequence[Holders]) -> None:
        self.full_manifest = full_manifest
        self.info = info
        self._home = home
        self._holders = list(holders)
        self._in_place = None if full_manifest.registered is None else decode_in_place(full_manifest.registered)

    @property
    def name(self) -> str:
        return self.full_manifest.name

    @property
    def version(self) -> int:
        return self.full_manifest.version

    @property
    def home(self) -> Home:
        """Where its blobs are, and how to get at them."""
        return self._home

    @property
    def reference(self) -> str:
        """The dataset as name@version."""
        return f"{self.name}@{self.version}"

    @property
    def digest(self) -> str:
        """What the version is: a function of its columns, rule and rows, by shard."""
        return self.full_manifest.digest

    @property
    def columns(self) -> Columns:
        """The type of each column by name, in order."""
        return self.full_manifest.types

    def schema(self, columns: Sequence[str] | None = None) -> Any:
        """Return the pyarrow.Schema of `columns`, in that order; CallerError if there is no such column."""
        names = list(self.columns) if columns is None else list(columns)
        for name in names:
            if name not in self.columns:
                raise CallerError(f"no column {name!r}: {self.reference} has {', '.join(self.columns)}")
        return arrow_schema({name: self.columns[name] for name in names})

    @property
    def groups(self) -> dict[str, list[str]]:
        """The columns of each column group, by its name; one group "" holds them all unless others were asked for."""
        return dict(self.full_manifest.groups)

    @property
    def shards(self) -> Sequence[ShardEntry]:
        return self.full_manifest.shards

    @property
    def rows(self) -> int:
        return self.full_manifest.rows

    @property
    def manifest(self) -> Manifest:
        """What programs may know of it."""
        return self.full_manifest.program_manifest

    # -- where it lies --

    def nodes(self, shard: int, group: int = 0) -> tuple[str, ...]:
        """Return the nodes that hold a part of a shard, the preferred first; none where nodes hold no shards."""
        return self._holders[group].of(shard) if self._holders else ()

    @property
    def holders(self) -> list[Holders]:
        """Who holds what, by column group, as far as we know."""
        return list(self._holders)

    def refresh(self) -> None:
        """Look again where the shards lie: the coordinator moves replicas when nodes come and go."""
        self._holders = read_holders(self._home.session, self.info)

    def addresses(self, shard: int, group: int = 0) -> Iterator[str]:
        """Yield where a part of the shard may be had, looking anew once the known places are used up."""
        directory = self._home.directory
        if not self._holders:  # each shard at the same nodes every time: they have it in their caches then
            digest = self.shards[shard].parts[group].file_digest
            return directory.anybody(lambda names: preference(digest, names, ""))
        return directory.candidates(self.nodes(shard, group), lambda: self._moved(shard, group))

    def _moved(self, shard: int, group: int) -> Sequence[str]:
        self.refresh()
        return self.nodes(shard, group)

    # -- reading --

    def scan(
        self,
        columns: Sequence[str] | None = None,
        shards: Iterable[int] | None = None,
        *,
        batch_rows: int | None = None,
        first_row: int = 0,
    ) -> Iterator[Any]:
        """Yield the record batches of `shards` (all of them by default), in order; from another replica should one fail.

        Parameters
        ----------
        columns : which, in this order; None means all
        batch_rows : rows of each batch but the last; None takes them as they lie, at most BLOCK_ROWS, none across shards
        first_row : begin at this row, counted from 0 over the chosen shards

        Raises
        ------
        CallerError
            If there is no such column or shard.
        Unavailable
            If no replica of a shard can be read.
        """
        schema = self.schema(columns)
        chosen = range(len(self.shards)) if shards is None else list(shards)
        for shard in chosen:
            self._check_shard(shard)
        if first_row < 0 or (batch_rows is not None and batch_rows < 1):
            raise CallerError(f"a scan begins at row 0 or later, in batches of at least one row: not {first_row}, {batch_rows}")
        batches = self._held(chosen, list(schema.names), first_row)
        return batches if batch_rows is None else reblock(batches, batch_rows)

    def _held(self, shards: Iterable[int], columns: Sequence[str], first_row: int) -> Iterator[Any]:
        with reading(self._home.session, self.name, self.version):
            for shard in shards:
                rows = self.shards[shard].rows
                if first_row >= rows:
                    first_row -= rows
                    continue
                yield from self.read_shard(shard, columns, first_row)
                first_row = 0

    def read_shard(self, shard: int, columns: Sequence[str] | None = None, first_row: int = 0) -> Iterator[Any]:
        """Yield the record batches of one shard from row `first_row` of it on; raises as :meth:`scan` does."""
        self._check_shard(shard)
        names = list(self.schema(columns).names)
        if self._in_place is not None:
            yield from reblock(in_place.read_shard(self._in_place, shard, names, first_row))
            return
        skipped, begin = divmod(first_row, BLOCK_ROWS)
        owned = [(group, [name for name in listed if name in names]) for group, listed in self._touched(columns)]
        parts = [self._read_part(shard, group, own, skipped) for group, own in owned]
        is_as_stored = bool(names) and [own for _, own in owned] == [names]
        batches = joined(parts, None if is_as_stored else names)
        if begin and (block := next(batches, None)) is not None:
            yield block.slice(begin)
        yield from batches

    def _read_part(self, shard: int, group: int, columns: Sequence[str], first: int) -> Iterator[Any]:
        part = self.shards[shard].parts[group]
        path = self.local_path(shard, group)
        if path is not None:
            listed = self.full_manifest.groups[group][1]
            fields = [] if columns == listed else [listed.index(name) for name in columns]
            with contextlib.suppress(Unavailable, Corrupt):  # dropped or damaged since we looked: others have it
                return read_blocks(open_part(path, fields), first)
        return self._home.client.read_shard(self.addresses(shard, group), part.file_digest, columns, first)

    def local_path(self, shard: int, group: int = 0) -> Path | None:
        """Return the file of a part if a node of this very machine holds it, whole and readable for us; else None."""
        if self._in_place is not None:
            return None
        digest = self.shards[shard].parts[group].file_digest
        for folder in self._home.directory.local_folders(self.nodes(shard, group)):
            store = BlobStore(folder, is_ours=False)
            if store.has_whole(digest):
                return store.path(digest)
        return None

    def bring(
        self, shard: int, columns: Sequence[str], blobs: BlobStore, cache: BlobCache, held: contextlib.ExitStack
    ) -> list[Path]:
        """Return local files that hold `columns` (none means all) of a shard: from `blobs`, or brought into the cache.

        held : what is in the cache stays there until this is closed

        Raises
        ------
        Unavailable
            If no replica can be had.
        CallerError
            If it was registered in place, and is not what was registered any more.
        """
        if self._in_place is not None:
            return [held.enter_context(self._copied(self._in_place, shard, columns, cache))]
        paths = []
        for group, _ in self._touched(list(columns) or None):
            digest = self.shards[shard].parts[group].file_digest
            if blobs.has_whole(digest):
                paths.append(blobs.path(digest))
            else:
                paths.append(held.enter_context(cache.hold(digest, self._fetcher(shard, group))))
        return paths

    @contextlib.contextmanager
    def _copied(self, record: InPlace, shard: int, columns: Sequence[str], cache: BlobCache) -> Iterator[Path]:
        """Hold a copy of a registered shard; what it is made of is told by the shard's digest and the columns."""
        names = [name for name in self.columns if name in columns or not columns]
        key = hashlib.sha256(canonical_json([record.shards[shard].digest, names]).encode()).hexdigest()
        wanted = names if columns else None
        try:
            stack = contextlib.ExitStack()
            path = stack.enter_context(cache.hold_made(key, lambda into: in_place.write_local(record, shard, wanted, into)))
        except Corrupt as error:  # no other copy of it is anywhere: somebody has to act
            raise CallerError(str(error)) from error
        with stack:
            yield path

    def _fetcher(self, shard: int, group: int) -> Fetcher:
        if not self._holders:
            return lambda digest, into: self._home.fetch(digest, [], into)
        return lambda digest, into: self._home.client.fetch_blob(self.addresses(shard, group), digest, into)

    def blobs(self, shard: int, columns: Sequence[str] = ()) -> list[str]:
        """Return the blobs that hold `columns` (none means all) of a shard."""
        return [self.shards[shard].parts[group].file_digest for group, _ in self._touched(list(columns) or None)]

    def _touched(self, columns: Sequence[str] | None) -> list[tuple[int, list[str]]]:
        listed = [own for _, own in self.full_manifest.groups]
        return [(position, listed[position]) for position in touched(listed, columns)]

    def to_arrow(self, columns: Sequence[str] | None = None, *, progress: Callable[[int, int], None] | None = None) -> Any:
        """Return all rows as a pyarrow.Table, in order of shards; raises as :meth:`scan` does.

        progress : called with the rows read and the rows in all
        """
        schema = self.schema(columns)
        self._home.directory.live()
        parts: list[list[Any]] = []
        done = 0
        with reading(self._home.session, self.name, self.version):
            with ThreadPoolExecutor(READERS_MAX, thread_name_prefix="read") as pool:
                for part in pool.map(lambda shard: list(self.read_shard(shard, columns)), range(len(self.shards))):
                    parts.append(part)
                    done += sum(batch.num_rows for batch in part)
                    if progress is not None:
                        progress(done, self.rows)
        return pa.Table.from_batches([batch for part in parts for batch in part], schema=schema)

    # -- health --

    def verify(self, progress: Callable[[int, int], None] | None = None) -> list[ReplicaHealth]:
        """Have every replica read and digested again; return what was found, in order of shard, group and replica.

        Nodes read their own replicas. What lies in an object store or was registered in place, we read; its node is "".

        progress : called with the replicas that were looked at, and how many there are
        """
        self.refresh()
        looks = list(self._looks())
        found: list[ReplicaHealth] = []
        with ThreadPoolExecutor(VERIFIERS_MAX, thread_name_prefix="verify") as pool:
            for (health, _), state in zip(looks, pool.map(lambda each: each[1](), looks), strict=True):
                found.append(replace(health, state=state))
                if progress is not None:
                    progress(len(found), len(looks))
        return found

    def _looks(self) -> Iterator[tuple[ReplicaHealth, Callable[[], str]]]:
        """Yield each replica, and how to learn its state."""
        live = self._home.directory.live()
        names = [name for name, _ in self.full_manifest.groups]
        for shard, entry in enumerate(self.shards):
            if self._in_place is not None:
                yield ReplicaHealth(shard, "", entry.content_digest, ""), partial(_in_place_state, self._in_place, shard)
            for group, part in enumerate(entry.parts):
                if isinstance(self._home, ObjectHome):
                    look = partial(self._home.verify, part.file_digest)
                    yield ReplicaHealth(shard, "", part.file_digest, "", names[group]), look
                for node in self.nodes(shard, group):
                    look = partial(self._verify, part, live.get(node))
                    yield ReplicaHealth(shard, node, part.file_digest, "", names[group]), look

    def _verify(self, part: Part, address: str | None) -> str:
        if address is None:
            return "unreachable"
        try:
            return self._home.client.verify(address, part.file_digest, CALL_TIMEOUT_S + part.bytes / BYTES_PER_S_MIN)
        except (Unavailable, Corrupt):
            return "unreachable"

    # -- checks --

    def _check_shard(self, shard: int) -> None:
        if not 0 <= shard < len(self.shards):
            raise CallerError(f"{self.reference} has the shards 0 to {len(self.shards) - 1}, and no shard {shard}")


def _in_place_state(record: InPlace, shard: int) -> str:
    try:
        in_place.check_shard(record, shard)
    except Corrupt:
        return "corrupt"
    except Unavailable:
        return "unreachable"
    return "good"
