"""Engines: where programs run, in process or on a cluster's nodes; each gives the same bits for the same program and shards.

Names are imported when first used: a fit in process needs no cluster.
"""

from typing import TYPE_CHECKING

from muskox.front_door import lazy

if TYPE_CHECKING:
    from muskox.engines.in_process import InProcess, TableDataset, in_process_dataset
    from muskox.engines.nodes import ClusterDataset, Nodes

_HOMES = {
    "in_process": ("InProcess", "TableDataset", "in_process_dataset"),
    "nodes": ("ClusterDataset", "Nodes"),
}

__all__ = ["ClusterDataset", "InProcess", "Nodes", "TableDataset", "in_process_dataset"]

__getattr__ = lazy(__name__, _HOMES)
