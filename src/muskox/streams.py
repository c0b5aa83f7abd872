"""Named random streams: the only source of randomness in muskox.

A stream is a function of (seed, purpose, shard, round) and of nothing else, so it does not matter which worker draws from
it, nor when. Never ``seed + epoch``: seed 0 epoch 1 would share its numbers with seed 1 epoch 0.
"""

import hashlib

import numpy as np


def stream(seed: int, purpose: str, shard: int = 0, round: int = 0) -> np.random.Generator:  # noqa: A002
    """Return the generator (Philox, keyed by SHA-256) that belongs to this purpose, shard and round.

    Examples
    --------
    >>> int(stream(0, "shuffle", shard=3).integers(100)) == int(stream(0, "shuffle", shard=3).integers(100))
    True
    """
    key = hashlib.sha256(f"{seed}/{purpose}/{shard}/{round}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(key[:16], dtype="<u8")))
