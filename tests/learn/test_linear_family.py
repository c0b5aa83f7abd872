"""The linear family: scikit-learn's contract and numbers, penalties, losses with corners, early stopping, one set of bits."""

import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from learning_data import mixed_table
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression as LeastSquaresPeer
from sklearn.linear_model import LogisticRegression as LogisticPeer
from sklearn.linear_model import Ridge as RidgePeer
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC as SvcPeer
from sklearn.svm import LinearSVR as SvrPeer
from sklearn.utils.estimator_checks import parametrize_with_checks

from muskox.errors import CallerError
from muskox.learn import LinearRegression, LinearSVC, LinearSVR, LogisticRegression, Ridge, load_model
from muskox.program import ArrayPartition, Done, in_process
from muskox.records import pack, unpack
from muskox.tree import reduce, root

OF_CORNERS = {  # as scikit-learn expects of its own LinearSVR
    "check_sample_weight_equivalence_on_sparse_data": "minima are found to 1e-3, not to 1e-7, where corners are rounded",
}


@pytest.mark.filterwarnings("default")  # the checks warn of their own
@parametrize_with_checks(
    [
        LinearRegression(),
        Ridge(),
        LinearSVC(tol=1e-12),  # weights and repeated rows are compared to 1e-7
        LinearSVR(loss="squared_epsilon_insensitive", tol=1e-12),
    ]
)
def test_they_pass_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.filterwarnings("default")
@parametrize_with_checks([LinearSVR()], expected_failed_checks=lambda _: OF_CORNERS)
def test_a_loss_with_corners_passes_but_for_the_last_digits(estimator: Any, check: Any) -> None:
    check(estimator)


# -- least squares --


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("shards", [1, 3])
def test_least_squares_has_scikit_learns_numbers(shards: int, is_weighted: bool) -> None:
    X, y = load_diabetes(return_X_y=True)
    weights = np.arange(len(y)) % 4 if is_weighted else None
    ours, peer = LinearRegression().fit(X, y, weights, shards=shards), LeastSquaresPeer().fit(X, y, weights)
    np.testing.assert_allclose(ours.coef_, peer.coef_, rtol=1e-9)
    np.testing.assert_allclose(ours.intercept_, peer.intercept_, rtol=1e-12)
    np.testing.assert_allclose(ours.predict(X), peer.predict(X), rtol=1e-9)
    assert ours.n_rounds_ == 1


@pytest.mark.parametrize("solver", ["exact", "lbfgs"])
def test_ridge_without_standardise_has_scikit_learns_numbers(solver: str) -> None:
    X, y = load_diabetes(return_X_y=True)
    X = X * 30.0
    ours, peer = Ridge(alpha=7.0, standardise=False, solver=solver).fit(X, y), RidgePeer(alpha=7.0).fit(X, y)
    np.testing.assert_allclose(ours.coef_, peer.coef_, rtol=1e-5)
    best = np.mean((peer.predict(X) - y) ** 2) / 2 + 7.0 * np.sum(peer.coef_**2) / (2 * len(y))
    np.testing.assert_allclose(ours.loss_, best, rtol=1e-9)


def test_ridge_penalises_standardised_columns() -> None:
    X, y = load_diabetes(return_X_y=True)
    peer = RidgePeer(alpha=7.0).fit(StandardScaler().fit_transform(X), y)
    np.testing.assert_allclose(Ridge(alpha=7.0).fit(X, y).model_record_["coef"], peer.coef_, rtol=1e-9)


def test_columns_that_depend_on_others_share_as_scikit_learn_shares() -> None:
    X, y = load_diabetes(return_X_y=True)
    X = np.column_stack([X, X[:, :2], np.ones(len(X)), 2.0 * X[:, 1] + X[:, 3]])
    ours, peer = LinearRegression().fit(X, y, shards=2), LeastSquaresPeer().fit(X, y)
    np.testing.assert_allclose(ours.coef_, peer.coef_, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(ours.predict(X), peer.predict(X), rtol=1e-9)


@pytest.mark.parametrize("solver", ["exact", "lbfgs"])
def test_text_and_missing_values_are_those_of_the_encoded_matrix(solver: str) -> None:
    table = mixed_table(900)
    ours = Ridge(solver=solver, categorical=["month"]).fit(table.drop_columns("late"), table.column("late").cast("float64"))
    X, y = ours.encoder_.transform(table), table.column("late").to_numpy().astype(float)
    peer = RidgePeer(alpha=1.0).fit(X, y)
    np.testing.assert_allclose(ours.predict(table), peer.predict(X), atol=1e-6)


# -- logistic regression --


@pytest.mark.parametrize("load", [load_iris, load_wine, load_digits])
def test_more_than_two_classes_have_scikit_learns_probabilities(load: Any) -> None:
    X, y = load(return_X_y=True)
    X, y = X[::2], y[::2]
    standard = StandardScaler().fit_transform(X)
    ours, peer = LogisticRegression(tol=1e-7, max_rounds=500).fit(X, y), LogisticPeer(tol=1e-9, max_iter=5000).fit(standard, y)
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(standard), atol=1e-4)
    assert ours.coef_.shape == peer.coef_.shape
    assert ours.status_ == "converged"


@pytest.mark.parametrize(("penalty", "share"), [("l1", 1.0), ("elasticnet", 0.3)])
@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
def test_absolute_values_leave_scikit_learns_coefficients(load: Any, penalty: str, share: float) -> None:
    X, y = load(return_X_y=True)
    standard = StandardScaler().fit_transform(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = {"penalty": penalty, "l1_ratio": share if penalty == "elasticnet" else None}
        peer = LogisticPeer(C=0.2, solver="saga", tol=1e-6, max_iter=10_000, **given).fit(standard, y)
    ours = LogisticRegression(C=0.2, penalty=penalty, l1_ratio=share, tol=1e-8, max_rounds=1000).fit(X, y)
    np.testing.assert_allclose(np.atleast_2d(ours.model_record_["coef"]), peer.coef_, atol=2e-3)
    np.testing.assert_array_equal(ours.coef_ == 0.0, peer.coef_ == 0.0)
    assert np.any(ours.coef_ == 0.0) and ours.status_ == "converged"


def test_no_penalty_is_scikit_learns() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X = X[:, :5]
    peer = LogisticPeer(C=np.inf, solver="newton-cholesky", tol=1e-12).fit(X, y)
    ours = LogisticRegression(penalty=None, tol=1e-9, max_rounds=500).fit(X, y)
    np.testing.assert_allclose(ours.coef_, peer.coef_, rtol=1e-4)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 1: 0.5}])
def test_weights_of_classes_and_rows_are_scikit_learns(class_weight: Any) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X, weights = StandardScaler().fit_transform(X), 0.5 + np.arange(len(y)) % 3
    peer = LogisticPeer(class_weight=class_weight, solver="newton-cholesky", tol=1e-12)
    ours = LogisticRegression(class_weight=class_weight, standardise=False, tol=1e-9, max_rounds=500)
    plain = ours.fit(X, y).coef_
    np.testing.assert_allclose(plain, peer.fit(X, y).coef_, rtol=1e-4, atol=1e-6)
    if isinstance(class_weight, dict):  # balanced counts rows by their weights here
        np.testing.assert_allclose(ours.fit(X, y, weights).coef_, peer.fit(X, y, weights).coef_, rtol=1e-4, atol=1e-6)


def test_a_warm_start_goes_on_where_the_last_fit_ended() -> None:
    X, y = load_wine(return_X_y=True)
    model = LogisticRegression(warm_start=True, max_rounds=200).fit(X, y)
    cold, before = model.n_rounds_, model.predict_proba(X)
    model.fit(X, y)
    assert model.n_rounds_ <= 2 < cold
    np.testing.assert_allclose(model.predict_proba(X), before, atol=1e-5)
    assert load_model(unpack(pack(model.model_record_))).digest_ == model.digest_
    with pytest.raises(CallerError, match=r"warm_start: the coefficients of the last fit have shape \(3, 13\)"):
        model.fit(X[:, :5], y)


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("make", [lambda **given: Ridge(solver="lbfgs", **given), LinearSVR])
def test_a_warm_start_begins_in_the_units_of_the_target(make: Any, standardise: bool) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(3.0, 2.0, (400, 3))
    y = 1e4 + 50.0 * X[:, 0] + X[:, 1] + rng.normal(size=400)
    model = make(warm_start=True, standardise=standardise).fit(X, y)
    assert model.status_ == "converged"
    cold, coef, intercept = model.n_rounds_, model.coef_, model.intercept_
    assert model.fit(X, y).n_rounds_ < cold
    again = make(warm_start=True, standardise=standardise).fit(X, y).set_params(max_rounds=1).fit(X, y)
    assert again.n_rounds_ == 1
    np.testing.assert_allclose(again.coef_, coef, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(again.intercept_, intercept, rtol=1e-6)


@pytest.mark.parametrize("columns", [["colour", "city"], ["colour"]])
def test_rows_held_out_may_have_categories_that_training_never_saw(columns: list[str]) -> None:
    rng = np.random.default_rng(0)
    mark = np.arange(800) % 4 == 0
    colour = np.where(mark, rng.choice(["p", "q"], 800), rng.choice(["p", "q", "r"], 800))
    city = np.where(mark, "new", rng.choice(["a", "b"], 800))
    late = (colour == "q") ^ (rng.random(800) < 0.05)
    table = pa.table({"colour": colour, "city": city, "late": late, "mark": mark})
    model = LogisticRegression(features=columns).fit(table, target="late", validation="mark")
    unseen = table.filter(table.column("mark"))
    truth = unseen.column("late").to_numpy()
    np.testing.assert_allclose(model.validation_loss_, log_loss(truth, model.predict_proba(unseen)), rtol=1e-9)
    assert np.mean(model.predict(unseen) == truth) > 0.9


def test_rows_held_out_stop_the_training_at_the_best_point() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(300, 80))
    y = X[:, 0] + 0.8 * rng.normal(size=300) > 0
    model = LogisticRegression(C=1e5, validation_fraction=0.3, n_iter_no_change=5, seed=3)
    early = model.fit(X, y, shards=3)
    assert early.status_ == "stopped_early"
    assert early.validation_loss_ < 0.69
    fresh = rng.normal(size=(1000, 80))
    truth = fresh[:, 0] > 0
    marked = LogisticRegression(C=1e5, n_iter_no_change=5).fit(X, y, validation=(fresh, truth))
    full = LogisticRegression(C=1e5).fit(X, y)
    np.testing.assert_allclose(marked.validation_loss_, log_loss(truth, marked.predict_proba(fresh)), rtol=1e-9)
    assert marked.validation_loss_ < log_loss(truth, full.predict_proba(fresh)) - 0.05
    with pytest.raises(CallerError, match="no row is held out for validation"):
        LogisticRegression(validation_fraction=1e-9).fit(X, y)


# -- support vectors --


def svm_objective(X: Any, y: Any, coef: Any, intercept: Any, C: float, loss: str, epsilon: float = 0.0) -> float:
    z = X @ np.ravel(coef) + intercept
    short = np.maximum(0.0, np.abs(z - y) - epsilon if "epsilon" in loss else 1.0 - y * z)
    return float(0.5 * np.sum(np.square(coef)) + C * np.sum(short**2 if "squared" in loss else short))


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("C", [0.01, 1.0])
def test_a_support_vector_classifier_has_liblinears_objective(C: float, loss: str) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X, signs = StandardScaler().fit_transform(X), np.where(y == 1, 1.0, -1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        peer = SvcPeer(C=C, loss=loss, intercept_scaling=30.0, max_iter=20_000, tol=1e-6).fit(X, y)
    ours = LinearSVC(C=C, loss=loss, standardise=False).fit(X, y)
    best = svm_objective(X, signs, peer.coef_, peer.intercept_, C, loss)
    found = svm_objective(X, signs, ours.coef_, ours.intercept_, C, loss)
    assert found <= best * (1 + 1e-3)
    np.testing.assert_allclose(ours.loss_ * C * len(y), found, rtol=1e-9)
    assert np.mean(ours.predict(X) == peer.predict(X)) > 0.99


def test_of_more_classes_each_is_told_from_all_others() -> None:
    X, y = load_wine(return_X_y=True)
    ours = LinearSVC(standardise=False).fit(StandardScaler().fit_transform(X), y)
    X = StandardScaler().fit_transform(X)
    for index in range(3):
        alone = LinearSVC(standardise=False, tol=1e-7).fit(X, y == index)
        np.testing.assert_allclose(ours.coef_[index], alone.coef_[0], atol=1e-3)
    assert ours.decision_function(X).shape == (len(y), 3)
    assert ours.score(X, y) > 0.98


@pytest.mark.parametrize(
    ("loss", "epsilon"), [("epsilon_insensitive", 0.0), ("epsilon_insensitive", 20.0), ("squared_epsilon_insensitive", 20.0)]
)
@pytest.mark.parametrize("C", [0.01, 1.0])
def test_a_support_vector_regression_has_liblinears_objective(C: float, loss: str, epsilon: float) -> None:
    X, y = load_diabetes(return_X_y=True)
    X = X * 20.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        peer = SvrPeer(C=C, loss=loss, epsilon=epsilon, intercept_scaling=300.0, dual="auto", max_iter=20_000).fit(X, y)
    ours = LinearSVR(C=C, loss=loss, epsilon=epsilon, standardise=False).fit(X, y)
    best = svm_objective(X, y, peer.coef_, peer.intercept_, C, loss, epsilon)
    found = svm_objective(X, y, ours.coef_, ours.intercept_, C, loss, epsilon)
    assert found <= best * (1 + 1e-3)
    np.testing.assert_allclose(ours.loss_ * C * len(y), found, rtol=1e-9)


def test_weights_count_as_rows_in_every_loss() -> None:
    table = mixed_table(300)
    weights = np.arange(300) % 3
    whole = table.take(pa.array(np.repeat(np.arange(300), weights)))
    amount = pa.compute.fill_null(table.column("amount"), 0.0)
    many = pa.compute.fill_null(whole.column("amount"), 0.0)
    names = ["city", "month", "member"]
    for estimator in (LinearSVR(epsilon=0.5), Ridge(), Ridge(solver="lbfgs"), LinearRegression()):
        weighted = estimator.fit(table.select(names), amount, weights).predict(table)
        repeated = estimator.fit(whole.select(names), many).predict(table)
        np.testing.assert_allclose(weighted, repeated, atol=2e-3)
    for classifier in (LinearSVC(), LinearSVC(loss="hinge"), LogisticRegression(penalty="l1")):
        weighted = classifier.fit(table.select(names), table.column("late").to_numpy(), weights).decision_function(table)
        repeated = classifier.fit(whole.select(names), whole.column("late").to_numpy()).decision_function(table)
        np.testing.assert_allclose(weighted, repeated, atol=2e-3)


# -- one set of bits --

PROGRAMS = [
    LogisticRegression(penalty="elasticnet", max_rounds=25).program("city"),
    LogisticRegression(validation_fraction=0.2, max_rounds=25).program("member"),
    LinearSVC(loss="hinge", max_rounds=25).program("late"),
    LinearSVR(epsilon=0.2, max_rounds=25).program("amount"),
    Ridge(categorical=["month"]).program("amount"),
    Ridge(solver="lbfgs", max_rounds=25).program("amount"),
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: type(program).__name__)
def test_the_state_travels_and_shards_are_computed_anywhere(program: Any) -> None:
    table = mixed_table(1500)
    table = table.filter(pa.compute.and_(table.column("city").is_valid(), table.column("member").is_valid()))
    table = table.filter(table.column("amount").is_valid())
    expected = in_process(table, ArrayPartition(5)).run(program, options()).result
    state = program.initial(in_process(table, ArrayPartition(5)).manifest)
    while True:
        shards = in_process(table, ArrayPartition(5)).shards  # type: ignore[attr-defined]  # nothing cached
        again = type(program).from_parameters(unpack(pack(program.parameters())))
        assert again == program
        values = {(0, shard.index): unpack(pack(again.partial(state, shard, shard.blocks))) for shard in reversed(shards)}
        after = again.update(state, reduce(values, root(5), 5, again.merge))
        if isinstance(after, Done):
            assert pack(after.result) == pack(expected)
            return
        state = unpack(pack(after))


def options() -> Any:
    from muskox.program import RunOptions

    return RunOptions()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: LinearSVC(loss="log"), "loss='log': it is one of squared_hinge, hinge"),
        (lambda: LinearSVC(C=0), "C=0: it must be a finite number above 0"),
        (lambda: LinearSVR(epsilon=-1.0), "epsilon=-1.0: it must be a finite number, 0 or above"),
        (lambda: Ridge(alpha=-1.0), "alpha=-1.0: it must be a finite number, 0 or above"),
        (lambda: Ridge(solver="svd"), "solver='svd': it is one of auto, exact, lbfgs"),
    ],
)
def test_a_wrong_parameter_is_refused_with_rule_and_value(make: Any, says: str) -> None:
    with pytest.raises(CallerError, match=says):
        make().fit(np.arange(6.0).reshape(3, 2), [0, 1, 1])
