"""Datasets: sharded, replicated, immutable versions of tables on the nodes' disks. The front door.

Names are imported when first used: cutting a table in process needs neither gRPC nor a cluster, and a forkserver that imports
this room must not start gRPC.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from muskox.store.blobs import BlobStore
    from muskox.store.catalog import DatasetInfo, find_dataset, list_datasets, parse_reference, remove_dataset
    from muskox.store.client import StoreClient
    from muskox.store.dataset import Dataset, ReplicaHealth, open_dataset
    from muskox.store.directory import Directory
    from muskox.store.manifest import DatasetManifest, ShardEntry, dataset_digest
    from muskox.store.partition import assign_rows, assign_shards, cut, hash_partition
    from muskox.store.placement import place, run_level
    from muskox.store.put import PutOptions, PutProgress, put_dataset
    from muskox.store.schema import arrow_schema, columns_of, conform_table
    from muskox.store.server import Plugins, StoreServer, Stream
    from muskox.store.shard import content_digest, open_shard
    from muskox.store.source import Source, open_source

_HOMES = {
    "BlobStore": "blobs",
    "Dataset": "dataset",
    "DatasetInfo": "catalog",
    "DatasetManifest": "manifest",
    "Directory": "directory",
    "Plugins": "server",
    "PutOptions": "put",
    "PutProgress": "put",
    "ReplicaHealth": "dataset",
    "ShardEntry": "manifest",
    "Source": "source",
    "StoreClient": "client",
    "StoreServer": "server",
    "Stream": "server",
    "arrow_schema": "schema",
    "assign_rows": "partition",
    "assign_shards": "partition",
    "columns_of": "schema",
    "conform_table": "schema",
    "content_digest": "shard",
    "cut": "partition",
    "dataset_digest": "manifest",
    "find_dataset": "catalog",
    "hash_partition": "partition",
    "list_datasets": "catalog",
    "open_dataset": "dataset",
    "open_shard": "shard",
    "open_source": "source",
    "parse_reference": "catalog",
    "place": "placement",
    "put_dataset": "put",
    "remove_dataset": "catalog",
    "run_level": "placement",
}

__all__ = [
    "BlobStore",
    "Dataset",
    "DatasetInfo",
    "DatasetManifest",
    "Directory",
    "Plugins",
    "PutOptions",
    "PutProgress",
    "ReplicaHealth",
    "ShardEntry",
    "Source",
    "StoreClient",
    "StoreServer",
    "Stream",
    "arrow_schema",
    "assign_rows",
    "assign_shards",
    "columns_of",
    "conform_table",
    "content_digest",
    "cut",
    "dataset_digest",
    "find_dataset",
    "hash_partition",
    "list_datasets",
    "open_dataset",
    "open_shard",
    "open_source",
    "parse_reference",
    "place",
    "put_dataset",
    "remove_dataset",
    "run_level",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
