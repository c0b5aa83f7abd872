"""SGDClassifier and SGDRegressor: scikit-learn's contract, and the optima of solvers that see all rows at once."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from learning_data import mixed_table
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from sklearn.linear_model import SGDClassifier as Peer
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from muskox.errors import CallerError
from muskox.learn import SGDClassifier, SGDRegressor, load_model, load_predictor
from muskox.records import pack, unpack

FEW_ROWS = SGDClassifier(loss="log_loss", solver="average", batch_size=4)
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "as of scikit-learn's own SGD: a row twice makes other batches",
}


@pytest.mark.filterwarnings("default")  # the checks warn of their own
@parametrize_with_checks(
    [SGDClassifier(), FEW_ROWS, SGDRegressor(), SGDRegressor(solver="average"), SGDRegressor(solver="adam")],
    expected_failed_checks=lambda estimator: EXPECTED if estimator.batch_size == 4 else {},
)
def test_it_passes_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def log_objective(model: Any, X: np.ndarray, y: np.ndarray, alpha: float) -> float:
    """The mean log loss and the penalty, over standardised columns."""
    scaled = model.coef_[0] * X.std(axis=0)
    margins = (X @ model.coef_[0] + model.intercept_[0]) * np.where(y, 1.0, -1.0)
    return float(np.logaddexp(0.0, -margins).mean() + 0.5 * alpha * scaled @ scaled)


@pytest.mark.parametrize(
    "given",
    [
        {"learning_rate": "adaptive"},
        {"learning_rate": "adaptive", "momentum": 0.9},
        {"learning_rate": "adaptive", "batch_size": 1},
        {"learning_rate": "constant", "average": 200, "tol": None, "max_epochs": 300},
        {"solver": "adam", "learning_rate": "adaptive"},
        {"solver": "average", "learning_rate": "adaptive", "batch_size": 1},
    ],
    ids=str,
)
def test_it_finds_the_minimum_that_all_rows_have(given: dict[str, Any]) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    alpha = 0.01
    exact = LogisticRegression(C=1.0 / (alpha * len(y)), tol=1e-8).fit(StandardScaler().fit_transform(X), y)
    exact.coef_ = exact.coef_ / X.std(axis=0)
    exact.intercept_ = exact.intercept_ - exact.coef_ @ X.mean(axis=0)
    least = log_objective(exact, X, y, alpha)
    model = SGDClassifier(**{"loss": "log_loss", "alpha": alpha, "tol": 1e-5, **given}).fit(X, y, shards=3)
    assert least <= log_objective(model, X, y, alpha) <= least * 1.003


@pytest.mark.parametrize("loss", ["hinge", "log_loss", "modified_huber", "squared_hinge"])
def test_digits_are_told_apart_as_well_as_by_scikit_learn(loss: str) -> None:
    X, y = load_digits(return_X_y=True)
    scaled = StandardScaler().fit_transform(X)
    peer = Peer(loss=loss, random_state=0).fit(scaled[:1200], y[:1200]).score(scaled[1200:], y[1200:])
    model = SGDClassifier(loss=loss).fit(X[:1200], y[:1200], shards=4)
    assert model.score(X[1200:], y[1200:]) > peer - 0.01
    assert model.coef_.shape == (10, 64)


def test_a_perceptron_stops_when_it_makes_no_mistake() -> None:
    X, y = load_digits(return_X_y=True)
    chosen = y < 2
    model = SGDClassifier(loss="perceptron", learning_rate="constant", eta0=1.0, penalty=None, batch_size=1)
    model.fit(X[chosen], y[chosen])
    assert model.score(X[chosen], y[chosen]) == 1.0
    assert model.loss_ == 0.0


def test_diabetes_has_ridges_and_lassos_minimum() -> None:
    X, y = load_diabetes(return_X_y=True)
    scaled, n = StandardScaler().fit_transform(X), len(y)
    given = {"learning_rate": "adaptive", "tol": 1e-3, "n_iter_no_change": 10}
    ridge, lasso = Ridge(alpha=0.1 * n).fit(scaled, y), Lasso(alpha=5.0).fit(scaled, y)
    near = SGDRegressor(alpha=0.1, **given).fit(X, y, shards=2)
    assert_allclose(near.coef_ * X.std(axis=0), ridge.coef_, atol=0.2)
    sparse = SGDRegressor(penalty="l1", alpha=5.0, **given).fit(X, y, shards=2)
    assert_allclose(sparse.coef_ * X.std(axis=0), lasso.coef_, atol=0.6)
    assert_array_equal(sparse.coef_ == 0.0, lasso.coef_ == 0.0)


def test_robust_losses_are_not_drawn_by_outliers() -> None:
    draw = np.random.default_rng(0)
    X = draw.normal(size=(400, 3))
    y = X @ [1.0, -2.0, 3.0] + 0.5 + 0.01 * draw.normal(size=400)
    y[::10] += 50.0
    for loss in ("huber", "epsilon_insensitive"):
        model = SGDRegressor(loss=loss, epsilon=0.05, learning_rate="adaptive", tol=1e-5, alpha=1e-6).fit(X, y)
        assert_allclose(model.coef_, [1.0, -2.0, 3.0], atol=0.05)
        assert_allclose(model.intercept_, 0.5, atol=0.1)
    drawn = SGDRegressor(loss="squared_error", learning_rate="adaptive", tol=1e-5).fit(X, y)
    assert abs(drawn.intercept_[0] - 0.5) > 3.0


def test_weights_count_as_rows_and_their_unit_does_not() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X, heavy, alpha = StandardScaler().fit_transform(X), np.where(y == 1, 4.0, 0.5), 0.01
    given = {"loss": "log_loss", "learning_rate": "adaptive", "tol": 1e-6, "alpha": alpha, "standardise": False}
    weighted = SGDClassifier(**given).fit(X, y, heavy)
    assert_allclose(SGDClassifier(**given).fit(X, y, 8.0 * heavy).coef_, weighted.coef_, rtol=1e-9)
    assert_array_equal(SGDClassifier(class_weight={1: 4.0, 0: 0.5}, **given).fit(X, y).coef_, weighted.coef_)
    exact = LogisticRegression(C=1.0 / (alpha * heavy.sum()), tol=1e-8).fit(X, y, heavy)
    assert_allclose(weighted.coef_, exact.coef_, atol=0.05)
    without = SGDClassifier().fit(X[100:], y[100:])
    zeros = SGDClassifier().fit(X, y, (np.arange(len(y)) >= 100).astype(float))
    assert_array_equal(zeros.coef_, without.coef_)
    balanced = SGDClassifier(class_weight="balanced").fit(X, y)
    assert balanced.score(X, y) > 0.95


@pytest.mark.parametrize("loss", ["hinge", "log_loss", "modified_huber"])
def test_a_model_of_mixed_columns_is_its_record_and_knows_rows_one_by_one(loss: str) -> None:
    table = mixed_table(400)
    model = SGDClassifier(loss=loss, max_epochs=5).fit(table, target="late", shards=3)
    again = load_model(unpack(pack(model.model_record_)))
    assert again.digest_ == model.digest_
    assert again.get_params() == {**model.get_params(), "categorical": []}
    assert_array_equal(again.predict(table), model.predict(table))
    margins = model.decision_function(table)
    for row in (0, 7, 399):
        assert model.decision_function(table.slice(row, 1))[0] == margins[row]
    assert model.score(table) > 0.6
    told = load_predictor(model.model_record_).predict_batch(table.to_batches()[0])
    assert_array_equal(told["prediction"], model.predict(table))
    if loss == "hinge":
        assert not hasattr(model, "predict_proba")
        assert_array_equal(told["score"], margins)
    else:
        assert_array_equal(told["probability"], model.predict_proba(table)[:, 1])
        assert_allclose(model.predict_proba(table).sum(axis=1), 1.0)
        assert_array_equal(model.predict_proba(table)[:, 1] > 0.5, margins > 0.0)
    X = model.encoder_.transform(table.drop_columns(["late"]))
    X[:, :2] = X[:, :2] * model.encoder_.scale + model.encoder_.mean
    assert_allclose(X @ model.coef_[0] + model.intercept_[0], margins, atol=1e-9)


def test_probabilities_of_many_classes_sum_to_one() -> None:
    X, y = load_digits(return_X_y=True)
    for loss in ("log_loss", "modified_huber"):
        model = SGDClassifier(loss=loss, max_epochs=5).fit(X, y)
        assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)
        assert (np.exp(model.predict_log_proba(X)) >= 0.0).all()


def test_partial_fits_go_on_as_one_training_would() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    given = {"loss": "log_loss", "momentum": 0.5, "penalty": "elasticnet", "average": True, "seed": 3}
    whole = SGDClassifier(max_epochs=3, tol=None, **given).fit(X, y, shards=2)
    parts = SGDClassifier(**given)
    for _ in range(3):
        parts.partial_fit(X, y, shards=2)
    assert_array_equal(parts.coef_, whole.coef_)
    assert (parts.t_, parts.n_iter_) == (whole.t_, 3)
    assert parts.get_params() == SGDClassifier(**given).get_params()
    chain = parts.model_record_["parameters"]["begin_with"]
    assert list(chain) == ["digest"], "a model holds no model within"


def test_partial_fits_learn_from_further_rows_what_the_first_had_not() -> None:
    X, y = load_digits(return_X_y=True)
    model = SGDClassifier(loss="log_loss", seed=1)
    for first in range(0, 1200, 100):
        model.partial_fit(X[first : first + 100], y[first : first + 100], classes=np.arange(10))
    assert model.score(X[1200:], y[1200:]) > 0.8
    only = SGDClassifier().partial_fit(X[y == 3], y[y == 3], classes=np.arange(10))
    assert only.classes_.tolist() == list(range(10))


def test_a_new_class_is_an_error_that_says_so() -> None:
    X, y = load_digits(return_X_y=True)
    model = SGDClassifier().partial_fit(X[y < 5], y[y < 5])
    with pytest.raises(CallerError, match="holds 5, a class that the model has not learned"):
        model.partial_fit(X[y >= 5], y[y >= 5])
    with pytest.raises(CallerError, match="not the same as on the first call"):
        model.partial_fit(X[y < 5], y[y < 5], classes=[0, 1])
    with pytest.raises(CallerError, match="holds 2, which is not among classes"):
        SGDClassifier().partial_fit(X, y, classes=[0, 1])
    with pytest.raises(CallerError, match="negative, infinite or missing"):
        model.partial_fit(X[y < 5], y[y < 5], sample_weight=-np.ones((y < 5).sum()))
    with pytest.raises(CallerError, match="is missing in some rows"):
        model.partial_fit(pa.table({**{f"x{i}": [0.0] for i in range(64)}, "y": pa.array([None], pa.int64())}), target="y")
    with pytest.raises(CallerError, match=r"is missing \(NaN\) or infinite"):
        SGDRegressor().partial_fit(X, y).partial_fit(X[:2], [1.0, np.nan])
    with pytest.raises(CallerError, match="'balanced' needs all rows at once"):
        SGDClassifier(class_weight="balanced").fit(X, y).partial_fit(X, y)


def test_a_warm_start_begins_where_the_model_stands() -> None:
    X, y = load_diabetes(return_X_y=True)
    model = SGDRegressor(max_epochs=1, warm_start=True, learning_rate="constant")
    losses = [model.fit(X, y).loss_ for _ in range(6)]
    assert losses[-1] < 0.5 * losses[0]
    assert model.n_iter_ == 1
    cold = SGDRegressor(max_epochs=1, learning_rate="constant").fit(X, y)
    assert cold.loss_ == losses[0]


def test_a_model_goes_on_with_the_columns_that_it_has_learned() -> None:
    table = mixed_table(200)
    model = SGDClassifier().fit(table, target="late", features=["amount", "city"])
    model.partial_fit(table, target="late")  # the others are left alone, as before
    assert model.feature_names_in_.tolist() == ["amount", "city"]
    with pytest.raises(CallerError, match="has not learned column 'month'"):
        model.partial_fit(table, target="late", features=["amount", "month"])
    with pytest.raises(CallerError, match="no column 'city' to use as feature"):
        model.partial_fit(table.select(["amount", "late"]), target="late")
    X, y = load_breast_cancer(return_X_y=True)
    with pytest.raises(CallerError, match="has not learned column 'x20'"):
        SGDClassifier(warm_start=True).fit(X[:, :20], y).fit(X, y)
    with pytest.raises(CallerError, match="is string here: the model has learned bool"):
        texts = table.set_column(4, "late", pa.array(["a"] * 200))
        model.partial_fit(texts, target="late")


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"loss": "squared"}, "it is one of hinge"),
        ({"penalty": "l3"}, "it is one of l2"),
        ({"solver": "lbfgs"}, "it is one of sgd"),
        ({"alpha": -1.0}, "0 or above"),
        ({"alpha": 0.0}, "alpha must be greater than 0"),
        ({"batch_size": 0}, "whole number, 1 or above"),
        ({"learning_rate": "fast"}, "it is one of constant"),
        ({"eta0": 0.0}, "above 0"),
        ({"momentum": 1.0}, "below 1"),
        ({"l1_ratio": 1.5}, "at most 1"),
        ({"tol": -1.0}, "0 or above"),
        ({"steps_per_round": 0}, "whole number"),
        ({"solver": "average", "average": True}, "choose one"),
        ({"solver": "adam", "momentum": 0.9}, "beta_1"),
        ({"max_epochs": 2.5}, "whole number"),
        ({"validation_fraction": 0.0, "early_stopping": True, "max_epochs": 1}, ""),
    ],
    ids=str,
)
def test_a_parameter_that_cannot_be_says_its_rule(given: dict[str, Any], rule: str) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    if rule:
        with pytest.raises(CallerError, match=rule):
            SGDClassifier(**given).fit(X, y)
    else:
        assert SGDClassifier(**given).fit(X, y).held_out_loss_ is None, "nothing is held out: the loss of training tells"
