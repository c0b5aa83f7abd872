"""Mini-batch SGD on muskox: in every round each shard draws a few of its rows, and the sum of their gradients makes one step.

Two things keep the bits the same whoever works and whoever dies. What a shard draws depends on the seed, the shard and the
round alone (a named stream), never on how often a worker has drawn before. And the step is taken from a sum over shards, not
over workers, so that two workers or five make the same step.
Run it: ``python examples/minibatch_sgd.py`` starts a local cluster for it.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from scipy.special import expit

import muskox as mx

SEED = 7
ROUNDS = 200
BATCH_ROWS = 64  # of each shard and round
LEARNING_RATE = 0.5


def initial(manifest: mx.Manifest) -> dict:
    """The state: everything that the next round needs, and nothing else. Any survivor of a death holds it."""
    features = [name for name in manifest.columns if name != "y"]
    return {"round": 0, "features": features, "weights": np.zeros(len(features))}


def read(shard: mx.Shard, blocks: Iterator[mx.Block], features: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The shard as arrays, kept by the worker from the first round on: later rounds read no file."""

    def make() -> tuple[np.ndarray, np.ndarray]:
        parts = [([block[name] for name in features], block["y"]) for block in blocks]
        X = np.concatenate([np.stack(columns, axis=1) for columns, _ in parts])
        return X, np.concatenate([y for _, y in parts]).astype(np.float64)

    return shard.cached("arrays", make)


def partial(state: dict, shard: mx.Shard, blocks: Iterator[mx.Block]) -> dict:
    """The gradient over the rows that this shard draws in this round. einsum and expit have the same bits on any CPU."""
    X, y = read(shard, blocks, state["features"])
    rows = mx.stream(SEED, "mini-batch", shard.index, state["round"]).integers(0, len(y), BATCH_ROWS)
    errors = expit(np.einsum("ij,j->i", X[rows], state["weights"])) - y[rows]
    return {"gradient": np.einsum("ij,i->j", X[rows], errors), "rows": len(rows)}


def merge(left: dict, right: dict) -> dict:
    return {"gradient": left["gradient"] + right["gradient"], "rows": left["rows"] + right["rows"]}


def update(state: dict, total: dict) -> dict | mx.Done:
    """One step, which every worker takes by itself; the rate falls slowly, as SGD needs it."""
    done = state["round"] + 1
    rate = LEARNING_RATE / (1.0 + 0.01 * state["round"])
    weights = state["weights"] - rate * total["gradient"] / total["rows"]
    return mx.Done({"weights": weights}) if done == ROUNDS else {**state, "round": done, "weights": weights}


PROGRAM = {"initial": initial, "partial": partial, "merge": merge, "update": update}


def points(rows: int = 60_000) -> tuple[pa.Table, np.ndarray]:
    """Made-up rows whose true weights are known."""
    draw = mx.stream(SEED, "points")
    true = np.array([1.0, -2.0, 0.5, 0.0])
    X = draw.normal(size=(rows, len(true)))
    y = draw.random(rows) < expit(np.einsum("ij,j->i", X, true))
    return pa.table({**{f"x{column}": X[:, column] for column in range(len(true))}, "y": y}), true


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
