"""The manifest of a dataset version: every shard with its files and digests. A JSON blob; a znode holds its digest.

It owns the record and the dataset's digest, which covers columns, rule and the shards' contents, and neither where replicas
lie (placement/holders.py), nor how columns are grouped, nor how the files are written. It never changes once it is committed.
"""

from typing import Any

import msgspec

from muskox.digest import digest
from muskox.errors import Corrupt
from muskox.program import Manifest
from muskox.store.schema import ARROW_TYPES, Columns

FORMAT = 2


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of one group of a shard: one file, the blob `file_digest`."""

    bytes: int
    file_digest: str


class ShardEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One shard: its rows, what they are, and a part for each column group (none where it was registered in place)."""

    rows: int
    content_digest: str
    parts: list[Part]
    size: int = 0

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts) or self.size


class DatasetManifest(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset version, whole. `columns` are (name, type) in order; shards by index.

    groups : (name, its columns), in the order of each shard's parts
    bounds : where a rule such as "range:COLUMN" cuts; found once, used again by every append
    registered : for a version registered in place: the files, and which row groups make up which shard; see objects/in_place.py
    """

    name: str
    version: int
    columns: list[tuple[str, str]]
    by: str
    shards: list[ShardEntry]
    digest: str
    groups: list[tuple[str, list[str]]]
    bounds: list[Any] = []
    registered: dict[str, Any] | None = None
    format: int = FORMAT

    @property
    def types(self) -> Columns:
        return dict(self.columns)

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def bytes(self) -> int:
        return sum(shard.bytes for shard in self.shards)

    @property
    def program_manifest(self) -> Manifest:
        """Return what programs may know of the dataset."""
        return Manifest(self.types, tuple(shard.rows for shard in self.shards))


def dataset_digest(columns: Columns, by: str, content_digests: list[str]) -> str:
    """Return what a dataset version *is*: the same for the same rows and rule, on however many nodes it lies."""
    record: dict[str, Any] = {"columns": [list(item) for item in columns.items()], "by": by, "shards": content_digests}
    return digest(record)


def encode_manifest(manifest: DatasetManifest) -> bytes:
    return msgspec.json.encode(manifest)


def decode_manifest(data: bytes) -> DatasetManifest:
    """Return the manifest in a blob.

    Raises
    ------
    Corrupt
        If the blob is none that this version of muskox can read.
    """
    try:
        manifest = msgspec.json.decode(data, type=DatasetManifest)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Corrupt(f"a manifest of {len(data)} bytes cannot be read: {error}") from error
    if manifest.format != FORMAT or any(kind not in ARROW_TYPES for kind in manifest.types.values()):
        raise Corrupt(
            f"the manifest of {manifest.name}@{manifest.version} has format {manifest.format}; this muskox knows {FORMAT}"
        )
    return manifest
