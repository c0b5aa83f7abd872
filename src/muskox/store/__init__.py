"""Datasets: sharded, replicated, immutable versions of tables on the nodes' disks. The front door.

Names are imported when first used: cutting a table in process needs neither gRPC nor a cluster, and a forkserver that imports
this room must not start gRPC.
"""

from typing import TYPE_CHECKING

from muskox.front_door import lazy

if TYPE_CHECKING:
    from muskox.store.care.drains import count_units, drain, undrain
    from muskox.store.care.holds import needed_by
    from muskox.store.care.steward import Steward
    from muskox.store.catalog import (
        DatasetInfo,
        find_dataset,
        list_datasets,
        parse_reference,
        read_holders,
        remove_dataset,
        remove_version,
    )
    from muskox.store.dataset import Dataset, ReplicaHealth, open_dataset
    from muskox.store.disk.blobs import BlobStore
    from muskox.store.disk.cache import BlobCache
    from muskox.store.disk.scrub import Scrubber
    from muskox.store.disk.shard import content_digest, open_shard
    from muskox.store.home import Home, NodeHome, open_home, supplier
    from muskox.store.input.reading import Reading
    from muskox.store.input.source import Source, open_source
    from muskox.store.inspection.check import CheckOptions, CheckReport, Rows, check_rows
    from muskox.store.inspection.difference import Difference, compare_versions
    from muskox.store.inspection.keys import KeysProgram
    from muskox.store.manifest import DatasetManifest, ShardEntry, dataset_digest
    from muskox.store.objects.object_blobs import ObjectBlobs
    from muskox.store.objects.register import RegisterOptions, register_dataset
    from muskox.store.partition.assignment import assign_rows, assign_shards, cut, hash_partition
    from muskox.store.partition.skew import Skew, measure_skew
    from muskox.store.placement.holders import Holders
    from muskox.store.placement.runs import place, run_level
    from muskox.store.put import PutOptions, PutProgress, put_dataset
    from muskox.store.readers.arrow_dataset import to_duckdb, to_polars, to_pyarrow_dataset, to_reader
    from muskox.store.readers.torch_rows import TorchOptions, TorchRows
    from muskox.store.schema import arrow_schema, columns_of, conform_table
    from muskox.store.service.access import acl, grant, revoke
    from muskox.store.service.auth import flight_token
    from muskox.store.service.client import StoreClient
    from muskox.store.service.directory import Directory, this_host
    from muskox.store.service.flights import DatasetFlights
    from muskox.store.service.server import Plugins, StoreServer, Stream

_HOMES = {
    "readers.arrow_dataset": ("to_duckdb", "to_polars", "to_pyarrow_dataset", "to_reader"),
    "service.access": ("acl", "grant", "revoke"),
    "service.auth": ("flight_token",),
    "disk.blobs": ("BlobStore",),
    "disk.cache": ("BlobCache",),
    "catalog": (
        "DatasetInfo",
        "find_dataset",
        "list_datasets",
        "parse_reference",
        "read_holders",
        "remove_dataset",
        "remove_version",
    ),
    "inspection.check": ("CheckOptions", "CheckReport", "Rows", "check_rows"),
    "service.client": ("StoreClient",),
    "dataset": ("Dataset", "ReplicaHealth", "open_dataset"),
    "inspection.difference": ("Difference", "compare_versions"),
    "inspection.keys": ("KeysProgram",),
    "service.directory": ("Directory", "this_host"),
    "care.drains": ("count_units", "drain", "undrain"),
    "service.flights": ("DatasetFlights",),
    "placement.holders": ("Holders",),
    "care.holds": ("needed_by",),
    "home": ("Home", "NodeHome", "open_home", "supplier"),
    "manifest": ("DatasetManifest", "ShardEntry", "dataset_digest"),
    "objects.object_blobs": ("ObjectBlobs",),
    "partition.assignment": ("assign_rows", "assign_shards", "cut", "hash_partition"),
    "placement.runs": ("place", "run_level"),
    "put": ("PutOptions", "PutProgress", "put_dataset"),
    "input.reading": ("Reading",),
    "objects.register": ("RegisterOptions", "register_dataset"),
    "schema": ("arrow_schema", "columns_of", "conform_table"),
    "disk.scrub": ("Scrubber",),
    "service.server": ("Plugins", "StoreServer", "Stream"),
    "disk.shard": ("content_digest", "open_shard"),
    "partition.skew": ("Skew", "measure_skew"),
    "input.source": ("Source", "open_source"),
    "care.steward": ("Steward",),
    "readers.torch_rows": ("TorchOptions", "TorchRows"),
}

__all__ = [
    "BlobCache",
    "BlobStore",
    "CheckOptions",
    "CheckReport",
    "Dataset",
    "DatasetFlights",
    "DatasetInfo",
    "DatasetManifest",
    "Difference",
    "Directory",
    "Holders",
    "Home",
    "KeysProgram",
    "NodeHome",
    "ObjectBlobs",
    "Plugins",
    "PutOptions",
    "PutProgress",
    "Reading",
    "RegisterOptions",
    "ReplicaHealth",
    "Rows",
    "Scrubber",
    "ShardEntry",
    "Skew",
    "Source",
    "Steward",
    "StoreClient",
    "StoreServer",
    "Stream",
    "TorchOptions",
    "TorchRows",
    "acl",
    "arrow_schema",
    "assign_rows",
    "assign_shards",
    "check_rows",
    "columns_of",
    "compare_versions",
    "conform_table",
    "content_digest",
    "count_units",
    "cut",
    "dataset_digest",
    "drain",
    "find_dataset",
    "flight_token",
    "grant",
    "hash_partition",
    "list_datasets",
    "measure_skew",
    "needed_by",
    "open_dataset",
    "open_home",
    "open_shard",
    "open_source",
    "parse_reference",
    "place",
    "put_dataset",
    "read_holders",
    "register_dataset",
    "remove_dataset",
    "remove_version",
    "revoke",
    "run_level",
    "supplier",
    "this_host",
    "to_duckdb",
    "to_polars",
    "to_pyarrow_dataset",
    "to_reader",
    "undrain",
]

__getattr__ = lazy(__name__, _HOMES)
