"""Which nodes hold which shards: a pure function of the number of shards, the nodes' names and the number of replicas.

Aligned runs of 2**k shards are the unit, because a worker that holds a run sends one vector for it (muskox.tree). Runs go to
nodes by rendezvous hashing (Thaler and Ravishankar 1998) under a cap: no node holds more than ceil(runs * replicas / nodes)
runs. It must never know addresses or files.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from muskox.errors import CallerError, Unavailable
from muskox.store.partition import Words, mix

RUNS_PER_NODE = 4  # so that losing one node of few spreads its work over several


def run_level(shards: int, nodes: int) -> int:
    """Return the k of the runs of 2**k shards: the largest that leaves at least RUNS_PER_NODE runs a node, or 0.

    >>> [run_level(12, 3), run_level(100_000, 1000), run_level(4, 3)]
    [0, 4, 0]
    """
    level = 0
    while -(-shards >> (level + 1)) >= RUNS_PER_NODE * nodes:
        level += 1
    return level


def place(shards: int, nodes: Sequence[str], replicas: int) -> list[list[str]]:
    """Return for each shard the nodes that shall hold it, the preferred first.

    With fewer nodes than `replicas` each node holds everything. The order of `nodes` does not matter.

    Raises
    ------
    CallerError
        If `replicas` is less than 1.
    Unavailable
        If there are no nodes.
    """
    if replicas < 1:
        raise CallerError(f"a shard needs at least one replica, not {replicas}")
    names = sorted(set(nodes))
    if not names:
        raise Unavailable("there is no live node to hold the data: start one")
    level = run_level(shards, len(names))
    runs = -(-shards >> level)
    chosen = _choose(ranking(runs, names), min(replicas, len(names)))
    return [[names[node] for node in chosen[shard >> level]] for shard in range(shards)]


def ranking(runs: int, names: Sequence[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    """Return for each run the positions of `names` from highest score to lowest, shape (runs, names)."""
    seeds = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") for name in names]
    scores: Words = mix(mix(np.arange(runs, dtype=np.uint64))[:, None] ^ np.array(seeds, np.uint64)[None, :])
    return np.argsort(~scores, axis=1, kind="stable")


def stand_ins(shard: int, nodes: Sequence[str], without: Sequence[str]) -> list[str]:
    """Return the nodes that may take a replica of `shard` when those in `without` cannot, the preferred first."""
    names = sorted(set(nodes) - set(without))
    return [names[position] for position in ranking(shard + 1, names)[shard]] if names else []


def _choose(ranks: "np.ndarray[tuple[int, int], np.dtype[np.int64]]", replicas: int) -> list[list[int]]:
    """Take for each run the highest-ranked nodes that have room.

    A node whose room is as large as the number of runs left must be taken now or its room is wasted; as many of those are taken
    as the slack demands, so that the last runs still find enough different nodes.
    """
    runs, nodes = ranks.shape
    room = [-(-runs * replicas // nodes)] * nodes
    chosen = []
    for run, rank in enumerate(ranks.tolist()):
        left = runs - run
        slack = sum(min(space, left) for space in room) - left * replicas
        critical = [node for node in rank if room[node] >= left]
        forced = critical[: max(0, len(critical) - slack)]
        others = [node for node in rank if room[node] and node not in forced]
        taken = sorted(forced + others[: replicas - len(forced)], key=rank.index)
        for node in taken:
            room[node] -= 1
        chosen.append(taken)
    return chosen
