"""A dataset version, open for reading: its manifest, its rows from whichever replicas answer, the health of its replicas."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from muskox.coordination import Session
from muskox.errors import CallerError, Corrupt, Unavailable
from muskox.program import Manifest
from muskox.store.catalog import find_dataset, parse_reference, read_manifest
from muskox.store.client import StoreClient
from muskox.store.directory import Directory
from muskox.store.manifest import DatasetManifest, ShardEntry
from muskox.store.messages import BYTES_PER_S_MIN, CALL_TIMEOUT_S
from muskox.store.schema import Columns, arrow_schema

VERIFIERS_MAX = 8  # replicas read again at a time
READERS_MAX = 4  # shards on their way at a time in to_arrow


@dataclass(frozen=True, slots=True)
class ReplicaHealth:
    """What a node found when it read its replica again: "good", "corrupt", "missing", or "unreachable"."""

    shard: int
    node: str
    digest: str
    state: str


def open_dataset(session: Session, client: StoreClient, name: str, version: int | None = None) -> "Dataset":
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
    directory = Directory(session)
    info = find_dataset(session, name, number if version is None else version)
    return Dataset(read_manifest(client, directory, info), client, directory)


class Dataset:
    """An immutable version of a dataset on a cluster's nodes."""

    def __init__(self, full_manifest: DatasetManifest, client: StoreClient, directory: Directory) -> None:
        self.full_manifest = full_manifest
        self._client = client
        self._directory = directory

    @property
    def name(self) -> str:
        return self.full_manifest.name

    @property
    def version(self) -> int:
        return self.full_manifest.version

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

    def addresses(self, shard: int) -> Iterator[str]:
        """Yield where replicas of the shard may be had, looking anew once the known addresses are used up."""
        return self._directory.candidates(self.shards[shard].nodes)

    def scan(self, columns: Sequence[str] | None = None, shards: Iterable[int] | None = None) -> Iterator[Any]:
        """Yield the record batches of `shards` (all of them by default), in order; from another replica should one fail.

        Raises
        ------
        CallerError
            If there is no such column or shard.
        Unavailable
            If no replica of a shard can be read.
        """
        self._schema(columns)
        for shard in range(len(self.shards)) if shards is None else shards:
            if not 0 <= shard < len(self.shards):
                raise CallerError(f"{self.reference} has the shards 0 to {len(self.shards) - 1}, and no shard {shard}")
            yield from self._client.read_shard(self.addresses(shard), self.shards[shard].file_digest, columns)

    def to_arrow(self, columns: Sequence[str] | None = None) -> Any:
        """Return all rows as a pyarrow.Table, in order of shards; raises as :meth:`scan` does."""
        schema = self._schema(columns)
        self._directory.live()
        with ThreadPoolExecutor(READERS_MAX, thread_name_prefix="read") as pool:
            parts = list(pool.map(lambda shard: list(self.scan(columns, [shard])), range(len(self.shards))))
        return pa.Table.from_batches([batch for part in parts for batch in part], schema=schema)

    def verify(self) -> list[ReplicaHealth]:
        """Let every node read and digest its replicas again; return what each found, in order of shard and replica."""
        live = self._directory.live()
        replicas = [(shard, node) for shard, entry in enumerate(self.shards) for node in entry.nodes]
        with ThreadPoolExecutor(VERIFIERS_MAX, thread_name_prefix="verify") as pool:
            return list(pool.map(lambda replica: self._verify(replica[0], replica[1], live), replicas))

    def _verify(self, shard: int, node: str, live: dict[str, str]) -> ReplicaHealth:
        entry = self.shards[shard]
        state = "unreachable"
        if node in live:
            try:
                state = self._client.verify(live[node], entry.file_digest, CALL_TIMEOUT_S + entry.bytes / BYTES_PER_S_MIN)
            except (Unavailable, Corrupt):
                state = "unreachable"
        return ReplicaHealth(shard, node, entry.file_digest, state)

    def _schema(self, columns: Sequence[str] | None) -> Any:
        names = list(self.columns) if columns is None else list(columns)
        for name in names:
            if name not in self.columns:
                raise CallerError(f"no column {name!r}: {self.reference} has {', '.join(self.columns)}")
        return arrow_schema({name: self.columns[name] for name in names})
