"""Datasets: sharded, replicated, immutable versions of tables on the nodes' disks. The front door.

Names are imported when first used: cutting a table in process needs neither gRPC nor a cluster, and a forkserver that imports
this room must not start gRPC.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from muskox.store.partition import SHARDS_MAX, assign_rows, assign_shards, cut, hash_partition

_HOMES = {
    "partition": ("SHARDS_MAX", "assign_rows", "assign_shards", "cut", "hash_partition"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["SHARDS_MAX", "assign_rows", "assign_shards", "cut", "hash_partition"]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
