"""Engines: where programs run, in process or on a cluster's nodes; each gives the same bits for the same program and shards.

Names are imported when first used: a fit in process needs no cluster.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from muskox.engines.in_process import InProcess, TableDataset, in_process_dataset
    from muskox.engines.nodes import ClusterDataset, Nodes

_HOMES = {
    "in_process": ("InProcess", "TableDataset", "in_process_dataset"),
    "nodes": ("ClusterDataset", "Nodes"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["ClusterDataset", "InProcess", "Nodes", "TableDataset", "in_process_dataset"]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
