"""Random forests: scikit-learn's contract and scores, and one model whatever the shards lie on."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import RandomForestClassifier as PeerClassifier
from sklearn.ensemble import RandomForestRegressor as PeerRegressor
from sklearn.model_selection import train_test_split
from sklearn.utils.estimator_checks import parametrize_with_checks
from tree_data import FEATURES, mixed_table, run_scattered

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn import RandomForestClassifier, RandomForestRegressor, load_model, load_predictor
from muskox.records import pack, unpack

WEIGHTS = {
    "check_sample_weight_equivalence_on_dense_data": "a row of weight 2 is drawn into a tree once, two rows are drawn each: "
    "scikit-learn's own forest says the same"
}


@pytest.mark.filterwarnings("default")  # the checks warn of their own
@parametrize_with_checks(
    [RandomForestClassifier(n_estimators=5), RandomForestRegressor(n_estimators=5)],
    expected_failed_checks=lambda _: WEIGHTS,
)
def test_it_passes_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
def test_it_is_as_good_as_scikit_learns(load: Any) -> None:
    X, y = load(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0, test_size=0.4)
    ours = RandomForestClassifier(n_estimators=50, oob_score=True).fit(X, y, shards=3)
    peer = PeerClassifier(n_estimators=50, random_state=0, oob_score=True).fit(X, y)
    assert ours.score(X_test, y_test) > peer.score(X_test, y_test) - 0.03
    assert abs(ours.oob_score_ - peer.oob_score_) < 0.04
    assert np.corrcoef(ours.feature_importances_, peer.feature_importances_)[0, 1] > 0.8


def test_numbers_are_predicted_as_well_as_by_scikit_learns() -> None:
    X, y = load_diabetes(return_X_y=True)
    ours = RandomForestRegressor(n_estimators=50, oob_score=True, min_samples_leaf=3).fit(X, y, shards=3)
    peer = PeerRegressor(n_estimators=50, oob_score=True, min_samples_leaf=3, max_features=0.333, random_state=0).fit(X, y)
    assert abs(ours.oob_score_ - peer.oob_score_) < 0.05
    assert np.corrcoef(ours.predict(X), peer.predict(X))[0, 1] > 0.97


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize(("kind", "target"), [(RandomForestClassifier, "class"), (RandomForestRegressor, "score")])
def test_the_model_depends_on_no_order_of_computation(kind: Any, target: str, is_weighted: bool) -> None:
    table = mixed_table()
    estimator = kind(n_estimators=4, max_depth=6, features=FEATURES, oob_score=kind is RandomForestClassifier)
    weight = "w" if is_weighted else None
    whole = estimator.fit(table, target=target, weight=weight, shards=5)
    program = estimator.program(target, weight=weight)
    backwards = run_scattered(program, table, 5, lambda round_, shards: np.roll(range(shards), round_)[::-1].tolist())
    assert digest(backwards) == whole.digest_
    assert digest(run_scattered(program, table, 5, lambda _, shards: range(shards), adds_backwards=True)) == whole.digest_


def test_a_tree_depends_on_no_tree_beside_it() -> None:
    table = mixed_table()
    few, more = (
        RandomForestClassifier(n_estimators=count, features=FEATURES).fit(table, target="class").model_record_["trees"]
        for count in (3, 70)
    )
    for name in ("feature", "cut", "missing_left", "left", "leaves"):
        assert np.array_equal(few[name], more[name][: len(few[name])]) or name == "cut", name
    categorical = few["feature"] >= 2
    assert np.array_equal(few["cut"][~categorical], more["cut"][: len(few["cut"])][~categorical])


def test_text_and_missing_values_are_learned_from() -> None:
    table, other = mixed_table(), mixed_table(seed=1)
    model = RandomForestClassifier(n_estimators=30, features=FEATURES).fit(table, target="positive")
    assert model.score(other) > 0.75
    assert model.feature_importances_.shape == (3,)
    assert abs(model.feature_importances_.sum() - 1.0) < 1e-12 and model.feature_importances_[1] < 0.2


def test_a_row_predicts_as_in_a_batch_and_a_record_as_the_model() -> None:
    table = mixed_table(200)
    for kind, target in ((RandomForestClassifier, "class"), (RandomForestRegressor, "score")):
        model = kind(n_estimators=5, features=FEATURES).fit(table, target=target)
        batch = table.select(FEATURES).to_batches()[0]
        whole = load_predictor(unpack(pack(model.model_record_))).predict_batch(batch)
        single = [model.predict_batch(batch.slice(row, 1))["prediction"][0] for row in range(50)]
        assert list(whole["prediction"][:50]) == single
        again = load_model(unpack(pack(model.model_record_)))
        assert again.digest_ == model.digest_ and again.get_params()["n_estimators"] == 5


def test_weights_of_rows_and_classes_move_the_votes() -> None:
    X, y = np.zeros((60, 1)), np.array([0] * 40 + [1] * 20)
    forest = RandomForestClassifier(n_estimators=20)
    assert forest.fit(X, y).predict([[0.0]])[0] == 0
    assert forest.fit(X, y, np.where(y == 1, 3.0, 1.0)).predict([[0.0]])[0] == 1
    forest.set_params(class_weight={1: 3.0})
    assert forest.fit(X, y).predict([[0.0]])[0] == 1


def test_a_row_of_weight_zero_is_not_there() -> None:
    X, y = load_wine(return_X_y=True)
    weights = (np.arange(len(y)) % 3 > 0).astype(float)
    estimator = RandomForestClassifier(n_estimators=3)
    one = estimator.fit(X, y, weights).model_record_["trees"]
    other = estimator.fit(X[weights > 0], y[weights > 0], weights[weights > 0]).model_record_["trees"]
    assert all(np.array_equal(part, other[name]) for name, part in one.items())


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_estimators": 0}, {"max_depth": 0}, {"max_depth": 61}, {"max_bins": 1}, {"max_bins": 256}, {"max_features": "all"},
        {"max_features": 0}, {"max_features": 1.5}, {"min_samples_split": 1}, {"min_samples_leaf": 0}, {"max_samples": 0.0},
        {"bootstrap": False, "oob_score": True},
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_refused_with_its_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(CallerError, match=next(iter(wrong)) if len(wrong) == 1 else "oob_score"):
        RandomForestClassifier(**wrong).fit([[0.0], [1.0]], [0, 1])


def test_no_leaf_is_lighter_than_asked() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    forest = RandomForestClassifier(n_estimators=3, min_samples_leaf=20, bootstrap=False).fit(X, y)
    leaves = forest.model_record_["trees"]["leaves"]
    assert len(leaves) <= 3 * len(y) / 20
