"""How much of a worker's memory may hold what it derived from its shards: encoded blocks, binned columns.

Of a job that says how much memory each worker takes, what finds no room in that is made again each round, from mapped
files, whose pages the system takes back when it needs to. What one shard needs while it is worked on is not bounded here.
Without a word, half of the machine is shared by as many workers as cores.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from muskox.program import Shard
from muskox.runtime.computing import OpenShard
from muskox.runtime.devices import find_memory_bytes, usable_cores
from muskox.runtime.messages import Setup
from muskox.shelf import Shelf
from muskox.store import open_shard

WORKER_BYTES = 160 << 20  # of Python, NumPy, pyarrow and Numba, before a worker has seen a row
KEPT_SHARE = 0.7  # of the rest: what remains is for the shard that is being worked on, states and totals


def kept_bytes(memory_bytes: int) -> int:
    """Return how much may be kept by a worker of a job that asked for `memory_bytes` (0: it did not say)."""
    if memory_bytes:
        return int(max(memory_bytes - WORKER_BYTES, 0) * KEPT_SHARE)
    return find_memory_bytes() // 2 // usable_cores()


def shard_opener(setup: Setup) -> OpenShard:
    """Return what opens shards of the job that a worker was set up for; what it derives from all of them shares one bound."""
    return partial(open_in, Shelf(kept_bytes(setup.memory_bytes)))


def open_in(shelf: Shelf, paths: Sequence[Path], index: int) -> Shard:
    return open_shard(paths, index, shelf)
