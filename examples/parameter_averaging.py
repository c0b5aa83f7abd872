"""Parameter averaging on muskox: every shard trains by itself for an epoch, then the weights are averaged, and so on.

Also called local SGD or federated averaging: it speaks once an epoch in place of once a batch, which pays where the network is
slow. On muskox the *shard* is what trains by itself, not the worker: so the averages, and the model, do not depend on how many
workers there are, and a worker that dies in the middle of an epoch costs its shards' epoch and no bit.
Run it: ``python examples/parameter_averaging.py`` starts a local cluster for it.
"""

from collections.abc import Iterator

import numpy as np
from minibatch_sgd import points, read
from scipy.special import expit

import muskox as mx

SEED = 11
EPOCHS = 12
BATCH_ROWS = 128
LEARNING_RATE = 0.3


def initial(manifest: mx.Manifest) -> dict:
    features = [name for name in manifest.columns if name != "y"]
    return {"epoch": 0, "features": features, "weights": np.zeros(len(features))}


def partial(state: dict, shard: mx.Shard, blocks: Iterator[mx.Block]) -> dict:
    """One epoch of SGD over this shard, in an order that the seed, the shard and the epoch fix; weighted by its rows."""
    X, y = read(shard, blocks, state["features"])
    order = mx.stream(SEED, "order", shard.index, state["epoch"]).permutation(len(y))
    weights = state["weights"].copy()  # the state belongs to every shard of this worker
    for first in range(0, len(order), BATCH_ROWS):
        batch = order[first : first + BATCH_ROWS]
        errors = expit(np.einsum("ij,j->i", X[batch], weights)) - y[batch]
        weights -= LEARNING_RATE / len(batch) * np.einsum("ij,i->j", X[batch], errors)
    return {"weighted": len(y) * weights, "rows": len(y)}


def merge(left: dict, right: dict) -> dict:
    return {"weighted": left["weighted"] + right["weighted"], "rows": left["rows"] + right["rows"]}


def update(state: dict, total: dict) -> dict | mx.Done:
    done, weights = state["epoch"] + 1, total["weighted"] / total["rows"]
    return mx.Done({"weights": weights}) if done == EPOCHS else {**state, "epoch": done, "weights": weights}


PROGRAM = {"initial": initial, "partial": partial, "merge": merge, "update": update}


def main() -> None:
    table, true = points()
    with mx.local(nodes=2) as cluster:
        dataset = cluster.put("points", table, shards=8)
        found = mx.rounds(dataset, **PROGRAM)["weights"]
        alone = mx.rounds(dataset, workers=1, **PROGRAM)["weights"]
    print("weights", " ".join(f"{weight:.3f}" for weight in found))
    assert found.tobytes() == alone.tobytes()  # to the last bit
    assert np.abs(found - true).max() < 0.2


if __name__ == "__main__":
    main()
