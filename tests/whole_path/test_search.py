"""A search on a real cluster: the results of one in process, whichever the strategy, and whoever dies meanwhile."""

import random
from typing import Any

import pytest
from killing import Killer
from whole_path_data import BY, SEED, SHARDS, TARGET

import muskox as mx
from muskox.digest import digest
from muskox.program import RunOptions

GRID = {"C": [1e-3, 1.0, -1.0], "max_rounds": [12]}


def search(data: Any, strategy: str = "rounds", options: RunOptions | None = None, **cut: Any) -> str:
    """Return the digest of what was found, and of the best model."""
    estimator = mx.LogisticRegression(tol=1e-13, features=["month", "hour", "distance", "carrier"])
    found = mx.GridSearch(estimator, GRID, scoring="auc", folds=2, strategy=strategy)
    with pytest.warns(UserWarning, match="1 of 3 candidates failed"):
        found.fit(data, target=TARGET, options=options, **cut)
    assert found.best_score_ > 0.6
    return digest({"scores": found.cv_results_["mean_test_score"], "model": found.digest_, "best": found.best_params_})


@pytest.fixture(scope="module")
def whole(flights) -> str:
    return search(flights.slice(0, 20_000), shards=SHARDS, by=BY)


@pytest.fixture(scope="module")
def some(three_nodes, flights) -> Any:
    return three_nodes.put("some-flights", flights.slice(0, 20_000), shards=SHARDS, by=BY, replicas=2)


@pytest.mark.parametrize("strategy", ["rounds", "tasks"])
def test_a_search_keeps_its_digest(cluster, some, whole, strategy: str) -> None:
    assert search(some, strategy) == whole


@pytest.mark.parametrize(("strategy", "at"), [("rounds", 4), ("tasks", 1)])
def test_a_death_changes_no_bit_of_a_search(cluster, some, whole, strategy: str, at: int) -> None:
    killer = Killer(cluster, "worker", random.Random(f"{SEED}/search/{strategy}"))
    killer.at = at
    assert search(some, strategy, RunOptions(on_round=killer)) == whole
    assert killer.pid, f"the search ended before round {at} was told of"
