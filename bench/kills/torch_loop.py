"""What torchrun runs: data-parallel gradient descent over gloo, with a snapshot every ten rounds, as its manual has it.

torch_loop.py FOLDER ROUNDS ROWS
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from kills.problem import FEATURES, SHARDS, digest, gradient, make_shard, step
from kills.trials import write_result, write_round

SNAPSHOT_ROUNDS = 10


def main(folder: Path, rounds: int, rows: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    (folder / f"rank-{rank}").write_text(str(os.getpid()))
    shards = [make_shard(index, rows) for index in range(SHARDS) if index * world // SHARDS == rank]
    snapshot = folder / "snapshot.npz"
    first, weights = 0, np.zeros(FEATURES)
    if snapshot.exists():
        with np.load(snapshot) as kept:
            first, weights = int(kept["round"]), kept["weights"]
    dist.barrier()  # nobody writes another snapshot before everybody has read this one
    for number in range(first + 1, rounds + 1):
        total = torch.from_numpy(np.sum([gradient(weights, shard) for shard in shards], axis=0))
        dist.all_reduce(total)
        weights = step(weights, total.numpy(), rows)
        if rank == 0:
            if number % SNAPSHOT_ROUNDS == 0:
                draft = folder / "draft.npz"
                np.savez(draft, round=number, weights=weights)
                draft.replace(snapshot)
            write_round(folder / "rounds", number)
    if rank == 0:
        write_result(folder, digest(weights))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
