"""A search on a real cluster: the results of one in process, whichever the strategy, and whoever dies meanwhile."""

import random
from typing import Any

import pyarrow.compute as pc
import pytest
from killing import Killer
from whole_path_data import BY, SEED, SHARDS, TARGET

import muskox as mx
from muskox.digest import digest
from muskox.program import ArrayPartition, RunOptions

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


def test_what_a_model_goes_by_is_the_same_on_a_cluster(some, flights) -> None:
    table, cut = flights.slice(0, 20_000), ArrayPartition(SHARDS, BY)
    model = mx.LogisticRegression(max_rounds=8, features=["hour", "distance", "carrier"]).fit(some, target=TARGET)
    expected = mx.permutation_importance(model, table, target=TARGET, repeats=2, partition=cut)
    assert mx.permutation_importance(model, some, repeats=2) == expected
    assert set(expected["name"].to_pylist()) == {"hour", "distance", "carrier"}


def test_two_datasets_of_a_cluster_are_held_beside_each_other(three_nodes, some, flights) -> None:
    test = three_nodes.put("other-flights", flights.slice(19_000, 3000), shards=3)
    with pytest.warns(mx.LeakageWarning) as told:
        found = mx.check_leakage(some, test, TARGET, key="tailnum")
    keys = [set(table["tailnum"].drop_null().to_pylist()) for table in (flights.slice(0, 20_000), flights.slice(19_000, 3000))]
    assert found["keys"]["both"] == len(keys[0] & keys[1]) and found["keys"]["train"] == len(keys[0])
    assert found["suspects"] == [] and len(told) == len(found["warnings"]) == 2
    assert found["rows"]["both"] >= 1000, "the last thousand rows of the one are the first of the other"


def test_an_evaluation_warns_of_a_column_that_gives_the_target_away(three_nodes, flights) -> None:
    table = flights.slice(0, 5000)
    told = table.append_column("told", pc.if_else(table[TARGET], "late", "on time"))
    dataset = three_nodes.put("told-flights", told, shards=4)
    model = mx.LogisticRegression(max_rounds=5, features=["hour", "told"]).fit(dataset, target=TARGET)
    with pytest.warns(mx.LeakageWarning, match="'told'"):
        found = three_nodes.evaluate(model, dataset)
    assert len(found["warnings"]) == 1 and found["accuracy"] == 1.0
    assert three_nodes.evaluate(model, dataset, checks=False)["warnings"] == []
    assert three_nodes.jobs()[0]["kind"] == "evaluate"
