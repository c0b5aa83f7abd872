"""Engines: where programs run. In process here; each engine gives the same bits for the same program and shards."""

from muskox.engines.in_process import InProcess, TableDataset, in_process_dataset

__all__ = ["InProcess", "TableDataset", "in_process_dataset"]
