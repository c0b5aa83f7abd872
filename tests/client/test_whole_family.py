"""Cross-validation, searches, importance and coefficients for estimators of every kind of the family, beside scikit-learn."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics
from sklearn.datasets import load_diabetes, load_iris

import muskox as mx
from muskox import learn
from muskox.digest import digest
from muskox.fold import Fold
from muskox.learn import GaussianProgram
from muskox.program import ArrayPartition

CUT = ArrayPartition(3)


def table(load: Any) -> pa.Table:
    X, y = load(return_X_y=True)
    return pa.table({f"x{index}": X[:, index] for index in range(4)} | {"y": y})


ESTIMATORS = [
    (mx.GaussianNB(), load_iris, "y", "accuracy", 0.9),
    (
        mx.MLPClassifier(hidden_layer_sizes=(8,), max_rounds=30, learning_rate_init=0.05, seed=1),
        load_iris,
        "y",
        "accuracy",
        0.5,
    ),
    (mx.SGDClassifier(max_rounds=20), load_iris, "y", "accuracy", 0.6),
    (learn.LinearSVC(), load_iris, "y", "accuracy", 0.8),
    (learn.Ridge(), load_diabetes, "y", "r2", 0.2),
    (mx.SGDRegressor(max_rounds=30), load_diabetes, "y", "r2", 0.1),
    (learn.RandomForestClassifier(n_estimators=10, max_depth=4), load_iris, "y", "accuracy", 0.9),
    (learn.GradientBoostingRegressor(n_estimators=20), load_diabetes, "y", "r2", 0.15),
    (mx.KMeans(n_clusters=3), load_iris, None, "neg_mean_squared_distance", -2.0),
]


@pytest.mark.parametrize(
    ("estimator", "load", "target", "scoring", "least"), ESTIMATORS, ids=lambda value: type(value).__name__
)
def test_a_fold_is_scored_as_its_model_predicts_it(
    estimator: Any, load: Any, target: str | None, scoring: str, least: float
) -> None:
    data = table(load) if target is not None else table(load).drop_columns("y")
    found = mx.cross_validate(estimator, data, target=target, folds=2, seed=4, checks=False)
    for number, fold in enumerate(found):
        held = Fold(GaussianProgram(), number, 2, 4, is_held_out=True).seen(0, data.num_rows)
        rows, fitted = data.filter(pa.array(held)), learn.load_model(fold["model"])
        if target is None:
            assert fold["sizes"].tolist() == np.bincount(fitted.predict(rows)).tolist()
            continue
        truth, guess = rows["y"].to_numpy(), fitted.predict(rows)
        measure = metrics.accuracy_score if scoring == "accuracy" else metrics.r2_score
        assert fold[scoring] == pytest.approx(measure(truth, guess), abs=1e-12)
        if "log_loss" in fold:
            assert (fold["log_loss"] is None) is not hasattr(fitted, "predict_proba")


@pytest.mark.parametrize(
    ("estimator", "load", "target", "scoring", "least"), ESTIMATORS, ids=lambda value: type(value).__name__
)
def test_a_search_finds_the_same_by_rounds_and_by_tasks(
    estimator: Any, load: Any, target: str | None, scoring: str, least: float
) -> None:
    data = table(load) if target is not None else table(load).drop_columns("y")
    grid = {"features": [["x0", "x1", "x2", "x3"], ["x0"]]}
    found = [
        mx.GridSearch(estimator, grid, folds=2, strategy=strategy, checks=False).fit(data, target=target, shards=3)
        for strategy in ("rounds", "tasks")
    ]
    assert found[0].scoring_ == scoring and found[0].best_score_ > least
    tables = [{"scores": search.cv_results_["mean_test_score"], "model": search.digest_} for search in found]
    assert digest(tables[0]) == digest(tables[1])


@pytest.mark.parametrize(
    ("estimator", "load", "target", "scoring", "least"), ESTIMATORS, ids=lambda value: type(value).__name__
)
def test_importance_is_told_of_every_model(estimator: Any, load: Any, target: str | None, scoring: str, least: float) -> None:
    data = table(load) if target is not None else table(load).drop_columns("y")
    model = estimator.fit(data, target=target, shards=3)
    found = mx.permutation_importance(model, data, repeats=2, partition=CUT)
    assert set(found["name"].to_pylist()) == {"x0", "x1", "x2", "x3"} and found["mean"][0].as_py() > 0.0


def test_coefficients_of_many_classes_are_told_class_by_class() -> None:
    model = learn.LinearSVC().fit(table(load_iris), target="y")
    found = mx.coefficients(model)
    assert found.schema.names == ["class", "name", "coefficient", "per_deviation"] and found.num_rows == 3 * 5
    of_two = found.filter(pa.compute.equal(found["class"], 2))
    assert of_two["coefficient"].to_pylist() == [*model.coef_[2].tolist(), model.intercept_[2]]
    numbers = mx.coefficients(learn.Ridge().fit(table(load_diabetes), target="y"))
    assert numbers["name"].to_pylist() == ["x0", "x1", "x2", "x3", "(intercept)"]
