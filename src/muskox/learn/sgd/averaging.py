"""Averaging of local models: each shard goes on alone from the common coefficients for some epochs, then all are averaged.

The average is weighted by the weights of the shards' rows and taken in the fixed tree: a *shard*, not a worker, is what learns
alone, so the average does not depend on how many workers there are.
"""

import numpy as np

from muskox.learn.columns import Floats
from muskox.learn.sgd.options import moving
from muskox.learn.sgd.rows import EncodedRows, Ints
from muskox.records import Record

PART_ROWS = 2048  # rows that are put in order at a time: they stay in a core's second cache


def local_model(state: Record, rows: EncodedRows, orders: list[Ints], options: Floats) -> Record:
    """Return the coefficients that a shard finds alone, times its weight; its loss by output, and its weight.

    orders : of the rows, for each local epoch; the loss is that of the last epoch
    """
    from muskox.learn.sgd import kernels

    arrays = moving(state["point"])
    weight, size = float(np.add.reduce(rows.weights)), state["plan"]["batch_size"]
    clock = arrays[-1]
    clock[kernels.STEPS] = float(state["epochs"]) * -(-rows.rows // size)  # of this shard, so far
    together = max(1, PART_ROWS // size) * size
    loss = 0.0
    for order in orders:
        loss = 0.0
        for first in range(0, rows.rows, together):
            part = rows.take(order[first : first + together])
            edges = np.append(np.arange(0, part.rows, size, dtype=np.int64), part.rows)
            loss += kernels.descend(*part.arrays, edges, *arrays, options)
    return {"models": weight * arrays[0], "sums": np.array([loss / len(arrays[0]), weight])}


def advance(state: Record, total: Record) -> tuple[Record, float]:
    """Return the state with the average of the models, and by how much a coefficient has moved at most.

    The movement is told in units of the greatest coefficient, if that is above 1.
    """
    before, weight = state["point"]["W"], total["sums"][1]
    W = total["models"] / weight
    moved = float(np.max(np.abs(W - before)) / max(1.0, np.max(np.abs(W))))
    point = {**state["point"], "W": W}
    step = state["plan"]["steps"]
    return {**state, "point": point, "sums": np.array(total["sums"]), "step": step}, moved
