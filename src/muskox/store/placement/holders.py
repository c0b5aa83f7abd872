"""Which nodes hold the shards of one column group: aligned runs of shards, each on the same nodes, and their compact record.

It owns the way between a PlacementRecord (a znode) and lists of names. What should lie where is placement/runs.py's; this file
only says what is so. Pure.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from muskox.coordination import stored
from muskox.errors import Corrupt

NOBODY = 0xFFFF  # a replica that is not there
NODES_MAX = NOBODY


@dataclass(frozen=True, slots=True)
class Holders:
    """The nodes that hold each run of 2**level shards, the preferred first; `replicas` is how many there should be."""

    level: int
    replicas: int
    runs: tuple[tuple[str, ...], ...]

    def of(self, shard: int) -> tuple[str, ...]:
        """Return the nodes that hold `shard`."""
        return self.runs[shard >> self.level]

    def run(self, index: int, shards: int) -> range:
        """Return the shards of run `index`, of `shards` in all."""
        return range(index << self.level, min((index + 1) << self.level, shards))

    def with_run(self, index: int, nodes: Sequence[str]) -> "Holders":
        """Return the same, but for one run."""
        return Holders(self.level, self.replicas, (*self.runs[:index], tuple(nodes), *self.runs[index + 1 :]))


def encode_holders(holders: Holders) -> stored.PlacementRecord:
    """Return the record of `holders`, whose size grows with runs and nodes and not with shards."""
    nodes = sorted({node for run in holders.runs for node in run})
    position = {node: index for index, node in enumerate(nodes)}
    width = max([holders.replicas, *map(len, holders.runs)])
    table = np.full((len(holders.runs), width), NOBODY, "<u2")
    for index, run in enumerate(holders.runs):
        table[index, : len(run)] = [position[node] for node in run]
    text = base64.b64encode(table.tobytes()).decode()
    return stored.PlacementRecord(level=holders.level, replicas=holders.replicas, nodes=nodes, runs=text)


def decode_holders(record: stored.PlacementRecord, shards: int) -> Holders:
    """Return what the record says of `shards` shards.

    Raises
    ------
    Corrupt
        If it cannot be so: somebody else wrote it.
    """
    runs = -(-shards >> record.level)
    data = base64.b64decode(record.runs)
    if runs == 0 or len(data) % (2 * runs):
        raise Corrupt(f"a placement of {len(data)} bytes cannot be that of {runs} runs")
    table = np.frombuffer(data, "<u2").reshape(runs, -1)
    if int(table[table != NOBODY].astype(int).max(initial=-1)) >= len(record.nodes):
        raise Corrupt(f"a placement names a node beyond the {len(record.nodes)} that it lists")
    names = record.nodes
    return Holders(record.level, record.replicas, tuple(tuple(names[i] for i in row if i != NOBODY) for row in table.tolist()))
