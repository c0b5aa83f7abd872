"""A random forest as a list of tasks: each tree is one, and runs on whichever worker is free.

A tree draws its rows and columns from a named stream, so who grows it, and how often, changes no bit of the forest.
Run it: ``python examples/forest_of_tasks.py`` starts a local cluster for it.
"""

import numpy as np
import pyarrow as pa
from sklearn.tree import DecisionTreeClassifier

import muskox as mx
from muskox.digest import digest

TREES, DEPTH = 12, 6


def grow(task: dict, shards: mx.Shards) -> dict:
    """Return one tree, grown on rows drawn with replacement."""
    table = shards.to_arrow()
    X, y = np.stack([table[name].to_numpy() for name in ("a", "b", "c")], axis=1), table["label"].to_numpy()
    draw = mx.stream(task["seed"], "tree", round=task["tree"])
    rows = draw.integers(len(y), size=len(y))
    tree = DecisionTreeClassifier(max_features="sqrt", max_depth=6, random_state=int(draw.integers(2**31))).fit(
        X[rows], y[rows]
    )
    grown = tree.tree_
    shape = {"left": grown.children_left, "right": grown.children_right, "feature": grown.feature, "threshold": grown.threshold}
    return {**shape, "share": grown.value[:, 0, 1]}


def vote(forest: list, X: np.ndarray) -> np.ndarray:
    """Return the mean share of the second class over all trees."""
    shares = np.zeros(len(X))
    for tree in forest:
        node = np.zeros(len(X), dtype=int)
        for _ in range(DEPTH):
            goes_left = X[np.arange(len(X)), tree["feature"][node]] <= tree["threshold"][node]
            below = np.where(goes_left, tree["left"][node], tree["right"][node])
            node = np.where(below < 0, node, below)  # a leaf has none
        shares += tree["share"][node]
    return shares / len(forest)


def main() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5_000, 3))
    label = X[:, 0] * X[:, 1] > 0  # no line separates these
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "label": label})
    tasks = [{"seed": 0, "tree": number} for number in range(TREES)]
    here = mx.tasks(table, tasks=tasks, run=grow)
    with mx.local(nodes=2) as cluster:
        forest = mx.tasks(cluster.put("points", table, shards=4, replicas=2), tasks=tasks, run=grow)
    print(f"{len(forest)} trees, {np.mean((vote(forest, X) > 0.5) == label):.3f} of the rows right")
    assert [digest(tree) for tree in forest] == [digest(tree) for tree in here]  # to the last bit


if __name__ == "__main__":
    main()
