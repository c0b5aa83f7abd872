"""mx.cross_validate for estimators of every kind, on datasets, tables and arrays."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_iris

import muskox as mx
from muskox.client.cross_validation import looks
from muskox.digest import digest
from muskox.learn import RandomForestClassifier
from muskox.program import ArrayPartition, in_process


def iris() -> pa.Table:
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])
    columns = {f"x{index}": X[:, index] for index in range(4)}
    return pa.table({**columns, "kind": names[y], "w": np.arange(len(y)) % 3 * 1.0})


def test_many_classes_are_scored_by_their_metrics() -> None:
    found = mx.cross_validate(mx.GaussianNB(features=["x0", "x2", "x3"]), iris(), target="kind", folds=3)
    assert [sorted(fold["classes"]) for fold in found] == [["setosa", "versicolor", "virginica"]] * 3
    assert all(fold["macro_f1"] > 0.9 and fold["log_loss"] < 0.4 for fold in found)
    assert sum(fold["rows"] for fold in found) == 150


def test_arrays_tables_and_datasets_give_the_same_bits() -> None:
    table = iris().drop_columns("w")
    X, y = np.stack([table[f"x{i}"].to_numpy() for i in range(4)], axis=1), table["kind"].to_numpy(zero_copy_only=False)
    partition = ArrayPartition(4)
    estimator = mx.GaussianNB()
    expected = mx.cross_validate(estimator, table, target="kind", folds=3, partition=partition)
    dataset = in_process(table, partition)
    assert digests(mx.cross_validate(estimator, dataset, target="kind", folds=3, at_once=1)) == digests(expected)
    named = mx.cross_validate(estimator, X, y, folds=3, partition=partition)
    assert [fold["confusion"].tolist() for fold in named] == [fold["confusion"].tolist() for fold in expected]


def test_weights_count_in_training_and_scores() -> None:
    table = iris()
    found = mx.cross_validate(mx.GaussianNB(), table, target="kind", weight="w", folds=3)
    assert sum(fold["rows"] for fold in found) == 100
    assert sum(fold["confusion"].sum() for fold in found) == table["w"].to_numpy().sum()
    assert all(fold["model"]["parameters"]["weight"] == "w" for fold in found)


def test_what_trains_by_tasks_is_refused_with_a_sentence() -> None:
    forest = RandomForestClassifier(n_estimators=3, strategy="shards")
    with pytest.raises(mx.CallerError, match="RandomForestClassifier trains here by tasks of its own, not in rounds: choose"):
        mx.cross_validate(forest, iris(), target="kind")
    search = mx.GridSearch(forest, {"strategy": ["shards", "global"]}, folds=2, checks=False)
    with pytest.warns(UserWarning, match="1 of 2 candidates failed; the first: RandomForestClassifier trains here"):
        search.fit(iris(), target="kind")
    assert search.best_params_ == {"strategy": "global"}


def digests(folds: list[dict[str, Any]]) -> list[str]:
    return [digest(fold) for fold in folds]


def test_a_dataset_is_not_given_with_what_to_predict_beside_it() -> None:
    dataset = in_process(iris(), ArrayPartition(2))
    with pytest.raises(mx.CallerError, match="a dataset is fitted with target="):
        mx.cross_validate(mx.GaussianNB(), dataset, np.zeros(3), target="kind")


def test_where_no_column_is_left_to_judge_none_is_looked_at() -> None:
    data = in_process(iris().select(["kind", "w"]), ArrayPartition(2))
    assert looks(mx.GaussianNB(), data, {"target": "kind", "weight": "w"}) is None
