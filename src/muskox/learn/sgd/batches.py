"""Mini-batches: what a shard tells of a round of global steps, and how the steps are taken.

Two ways, with the same batches. Of large batches, each shard sums the gradient over its rows of the batch, and the sum over
shards makes one step a round. Of small ones, a batch's rows are fewer bytes than an exchange is worth: the rows themselves
travel, of many batches at once, and everybody takes the same steps from them in the update.
"""

from collections.abc import Mapping

import numpy as np

from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.sgd.options import moved, moving
from muskox.learn.sgd.rows import EncodedRows, Ints, taken
from muskox.records import Record

ROUND_BYTES = 1 << 20  # of the rows of a round: enough that a round costs its bytes, not its overhead
ROUND_BYTES_MAX = 1 << 26  # if the caller says how many steps
STEPS_MIN = 8  # fewer batches in so many bytes are large ones: their gradients travel


def steps_of_round(batch_bytes: int, asked: int | None, steps: int) -> int:
    """Return how many batches' rows travel in a round; 1 if gradients do.

    Raises
    ------
    CallerError
        If the caller asks for more than fit a message.
    """
    if asked is None:
        found = ROUND_BYTES // batch_bytes
        return 1 if found < STEPS_MIN else min(found, steps)
    if asked > 1 and min(asked, steps) * batch_bytes > ROUND_BYTES_MAX:
        raise CallerError(
            f"steps_per_round={asked}: the rows of so many batches are {min(asked, steps) * batch_bytes} bytes, "
            f"at most {ROUND_BYTES_MAX} travel in a round: take fewer, or 1, which sends gradients"
        )
    return min(asked, steps)


def bounds(plan: Record, shard: int, first: int, last: int) -> Ints:
    """Return which rows of the shard's order belong to the steps `first` to `last` of an epoch, shape (last - first + 1,)."""
    rows = int(plan["ends"][-1])
    positions = np.minimum(np.arange(first, last + 1, dtype=np.int64) * plan["batch_size"], rows)
    return taken(plan["ends"], shard, positions)


def last_step(state: Record) -> int:
    """Return the step that the round which begins with `state` stops before: at the end of an epoch in any case."""
    plan = state["plan"]
    return int(min(state["step"] + plan["steps_per_round"], plan["steps"]))


def gradients(state: Record, rows: EncodedRows, order: Ints, shard: int, options: Floats) -> Record:
    """Return the sum of gradients of the shard's rows of a batch, their loss by output and their weight."""
    from muskox.learn.sgd import kernels

    first, last = bounds(state["plan"], shard, state["step"], last_step(state))
    part, W = rows.take(order[first:last]), np.array(state["point"]["W"])
    out = np.zeros(W.shape)
    loss = kernels.gradient(*part.arrays, 0, part.rows, W, options, out)
    return {"gradient": out, "sums": np.array([loss / len(W), np.add.reduce(part.weights)])}


def travellers(state: Record, rows: EncodedRows, order: Ints, shard: int) -> Record:
    """Return the shard's rows of the batches of a round, and the step of each."""
    first = state["step"]
    edges = bounds(state["plan"], shard, first, last_step(state))
    part = rows.take(order[edges[0] : edges[-1]])
    return {
        "step": np.repeat(np.arange(edges.size - 1, dtype=np.int32), np.diff(edges)),
        "numbers": part.numbers,
        "codes": part.codes,
        "target": part.target,
        "weights": part.weights,
    }


def joined(left: Mapping[str, Floats], right: Mapping[str, Floats]) -> Record:
    """Return the rows of two neighbours, one after the other."""
    return {name: np.concatenate([left[name], right[name]]) for name in left}


def advance(state: Record, total: Record, options: Floats) -> Record:
    """Return the state after the steps of a round."""
    from muskox.learn.sgd import kernels

    arrays, last = moving(state["point"]), last_step(state)
    if "gradient" in total:
        batch_size, whole = state["plan"]["batch_size"], int(state["plan"]["ends"][-1])
        size = min((state["step"] + 1) * batch_size, whole) - state["step"] * batch_size
        kernels.step(np.array(total["gradient"]), size * options[kernels.MEAN_WEIGHT], *arrays, options)
        loss, weight = total["sums"]
    else:
        sent = total["rows"]
        order = np.argsort(sent["step"], kind="stable").astype(np.int64)
        edges = np.searchsorted(sent["step"][order], np.arange(last - state["step"] + 1)).astype(np.int64)
        rows = EncodedRows(sent["numbers"], sent["codes"], sent["target"], sent["weights"]).take(order)
        loss = kernels.descend(*rows.arrays, edges, *arrays, options) / len(arrays[0])
        weight = np.add.reduce(rows.weights)
    sums = state["sums"] + np.array([loss, weight])
    return {**state, "point": moved(state["point"], arrays), "step": last, "sums": sums}
