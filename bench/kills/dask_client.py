"""A client that trains on Dask in rounds: the shards stay on the workers, the sum is taken here, in one order.

dask_client.py SCHEDULER FOLDER ROUNDS ROWS
"""

import sys
from pathlib import Path

import numpy as np
from distributed import Client
from kills.problem import FEATURES, SHARDS, digest, gradient, make_shard, step
from kills.trials import write_result, write_round


def main(scheduler: str, folder: Path, rounds: int, rows: int) -> None:
    with Client(scheduler) as client:
        client.wait_for_workers(2)
        shards = client.map(make_shard, range(SHARDS), rows=rows)
        weights = np.zeros(FEATURES)
        for number in range(1, rounds + 1):
            parts = client.gather([client.submit(gradient, weights, shard, pure=False) for shard in shards])
            weights = step(weights, np.sum(parts, axis=0), rows)
            write_round(folder / "rounds", number)
        write_result(folder, digest(weights))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
