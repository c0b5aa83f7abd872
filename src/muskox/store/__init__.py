"""Datasets: sharded, replicated, immutable versions of tables on the nodes' disks. The front door.

Names are imported when first used: cutting a table in process needs neither gRPC nor a cluster, and a forkserver that imports
this room must not start gRPC.
"""

from typing import TYPE_CHECKING

from muskox.front_door import lazy

if TYPE_CHECKING:
    from muskox.store.access import acl, grant, revoke
    from muskox.store.arrow_dataset import to_duckdb, to_polars, to_pyarrow_dataset, to_reader
    from muskox.store.auth import flight_token
    from muskox.store.blobs import BlobStore
    from muskox.store.cache import BlobCache
    from muskox.store.catalog import (
        DatasetInfo,
        find_dataset,
        list_datasets,
        parse_reference,
        read_holders,
        remove_dataset,
        remove_version,
    )
    from muskox.store.check import CheckOptions, CheckReport, Rows, check_rows
    from muskox.store.client import StoreClient
    from muskox.store.dataset import Dataset, ReplicaHealth, open_dataset
    from muskox.store.difference import Difference, compare_versions
    from muskox.store.directory import Directory, this_host
    from muskox.store.drains import count_units, drain, undrain
    from muskox.store.flights import DatasetFlights
    from muskox.store.holders import Holders
    from muskox.store.holds import needed_by
    from muskox.store.home import Home, NodeHome, open_home, supplier
    from muskox.store.manifest import DatasetManifest, ShardEntry, dataset_digest
    from muskox.store.objects import ObjectBlobs
    from muskox.store.partition import assign_rows, assign_shards, cut, hash_partition
    from muskox.store.placement import place, run_level
    from muskox.store.put import PutOptions, PutProgress, put_dataset
    from muskox.store.reading import Reading
    from muskox.store.register import RegisterOptions, register_dataset
    from muskox.store.schema import arrow_schema, columns_of, conform_table
    from muskox.store.scrub import Scrubber
    from muskox.store.server import Plugins, StoreServer, Stream
    from muskox.store.shard import content_digest, open_shard
    from muskox.store.skew import Skew, measure_skew
    from muskox.store.source import Source, open_source
    from muskox.store.steward import Steward
    from muskox.store.torch_rows import TorchOptions, TorchRows

_HOMES = {
    "arrow_dataset": ("to_duckdb", "to_polars", "to_pyarrow_dataset", "to_reader"),
    "access": ("acl", "grant", "revoke"),
    "auth": ("flight_token",),
    "blobs": ("BlobStore",),
    "cache": ("BlobCache",),
    "catalog": (
        "DatasetInfo",
        "find_dataset",
        "list_datasets",
        "parse_reference",
        "read_holders",
        "remove_dataset",
        "remove_version",
    ),
    "check": ("CheckOptions", "CheckReport", "Rows", "check_rows"),
    "client": ("StoreClient",),
    "dataset": ("Dataset", "ReplicaHealth", "open_dataset"),
    "difference": ("Difference", "compare_versions"),
    "directory": ("Directory", "this_host"),
    "drains": ("count_units", "drain", "undrain"),
    "flights": ("DatasetFlights",),
    "holders": ("Holders",),
    "holds": ("needed_by",),
    "home": ("Home", "NodeHome", "open_home", "supplier"),
    "manifest": ("DatasetManifest", "ShardEntry", "dataset_digest"),
    "objects": ("ObjectBlobs",),
    "partition": ("assign_rows", "assign_shards", "cut", "hash_partition"),
    "placement": ("place", "run_level"),
    "put": ("PutOptions", "PutProgress", "put_dataset"),
    "reading": ("Reading",),
    "register": ("RegisterOptions", "register_dataset"),
    "schema": ("arrow_schema", "columns_of", "conform_table"),
    "scrub": ("Scrubber",),
    "server": ("Plugins", "StoreServer", "Stream"),
    "shard": ("content_digest", "open_shard"),
    "skew": ("Skew", "measure_skew"),
    "source": ("Source", "open_source"),
    "steward": ("Steward",),
    "torch_rows": ("TorchOptions", "TorchRows"),
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
