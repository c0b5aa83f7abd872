"""Which nodes hold which shards: a pure function of the number of shards, the nodes and the number of replicas.

Aligned runs of 2**k shards are the unit, because a worker that holds a run sends one vector for it (muskox.tree). Who gets a
run is settled in muskox.store.placement.settling, by weighted rendezvous hashing under a cap. It must never know addresses or
files.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from muskox.errors import Unavailable
from muskox.store.partition.assignment import mix
from muskox.store.placement.settling import NodeView, Run, seed, settle

RUNS_PER_NODE = 4  # so that losing one node of few spreads its work over several

__all__ = ["NodeView", "Run", "place", "run_level", "settle", "stand_ins"]


def run_level(shards: int, nodes: int) -> int:
    """Return the k of the runs of 2**k shards: the largest that leaves at least RUNS_PER_NODE runs a node, or 0.

    >>> [run_level(12, 3), run_level(100_000, 1000), run_level(4, 3)]
    [0, 4, 0]
    """
    level = 0
    while -(-shards >> (level + 1)) >= RUNS_PER_NODE * nodes:
        level += 1
    return level


def place(shards: int, nodes: Sequence[str] | Mapping[str, NodeView], replicas: int, salt: str = "") -> list[list[str]]:
    """Return for each shard the nodes that shall hold it, the preferred first.

    With fewer nodes than `replicas` each node holds everything. The order of `nodes` does not matter. Datasets and column
    groups of different `salt` are placed apart.

    Raises
    ------
    CallerError
        If `replicas` is less than 1, or a node's weight is not positive.
    Unavailable
        If there are no nodes.
    """
    if not nodes:
        raise Unavailable("there is no live node to hold the data: start one")
    views = nodes if isinstance(nodes, Mapping) else {name: NodeView() for name in nodes}
    level = run_level(shards, len(views))
    runs = [Run(replicas, family=salt, index=index) for index in range(-(-shards >> level))]
    placed = [list(holders) for holders in settle(runs, views)]
    return [list(placed[shard >> level]) for shard in range(shards)]


def stand_ins(
    shard: int, nodes: Iterable[str], without: Sequence[str], racks: Mapping[str, str] | None = None, salt: str = ""
) -> list[str]:
    """Return the nodes that may take a replica of `shard` when those in `without` cannot, the preferred first.

    With `racks`, by node, those of other racks than all in `without` come first.
    """
    names = sorted(set(nodes) - set(without))
    if not names:
        return []
    word = mix(np.array([shard], np.uint64)) ^ np.uint64(seed(salt))
    scores = mix(word ^ np.array([seed(name) for name in names], np.uint64))
    ranked = [names[position] for position in np.argsort(~scores, kind="stable")]
    used = {racks[name] for name in without if racks.get(name)} if racks else set()
    return sorted(ranked, key=lambda name: racks is not None and racks.get(name, "") in used)
