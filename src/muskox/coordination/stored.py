"""The records in ZooKeeper of what the store keeps: datasets, where they lie, disks, how they fare. Paths: layout.py. Pure."""

import msgspec


class DatasetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset's latest committed version; 0 while there is none."""

    latest: int


class AclRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who may read a dataset without the cluster's secret: digest users, as ``user:base64(sha1(user:password))``."""

    readers: list[str] = []


class VersionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A committed, immutable version of a dataset. `manifest` is the digest of a blob; where it and the shards lie is in the
    version's PlacementRecords. `groups` counts the column groups; `registered` is the URL of what was registered in place.
    """

    manifest: str
    digest: str
    rows: int
    shards: int
    bytes: int
    replicas: int
    by: str
    created_ms: int
    upload: str
    groups: int = 1
    registered: str = ""


class PlacementRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Where one column group of a version lies: for each run of 2**level shards `replicas` positions in `nodes`.

    `runs` is Base64 of little-endian uint16 of shape (runs, replicas), 65535 for a replica that is not there: 100,000 shards on
    1,000 nodes take some 50 kB. See :mod:`muskox.store.placement.holders`.
    """

    level: int
    replicas: int
    nodes: list[str]
    runs: str


class ManifestPlacement(msgspec.Struct, frozen=True, kw_only=True):
    """Which nodes hold a version's manifest."""

    nodes: list[str]


class TrashRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A removed version whose bytes are still there; its manifest lies on `nodes`."""

    version: VersionRecord
    nodes: list[str]


class UploadRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An upload under way; the commit checks and deletes it."""

    dataset: str
    started_ms: int


class HoldRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A version that somebody reads: it is not collected."""

    dataset: str
    version: int


class DiskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of its disk; written when it changed, at most now and then. `bad` counts blobs found damaged or gone."""

    bytes_free: int
    bytes_held: int = 0
    blobs: int = 0
    bad: int = 0
    scrubbed_ms: int = 0
    folder_id: str = ""


class DrainRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Since when a node is to be emptied."""

    since_ms: int


class RepairRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How what the cluster keeps stands: units (runs of shards, models, ...) with fewer replicas than they should have.

    below, endangered : units with fewer whole live replicas than wanted; of those, the ones with none or one
    lost : names of units of which something lies on no live node: they wait for a node to come back
    copies, bytes : that wait or are under way; moving : units that go to other nodes
    """

    units: int = 0
    below: int = 0
    endangered: int = 0
    lost: list[str] = []
    copies: int = 0
    bytes: int = 0
    moving: int = 0
