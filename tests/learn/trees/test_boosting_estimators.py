"""Boosted trees: scikit-learn's contract, losses as XGBoost's, and whole numbers whose sums no order changes."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.utils.estimator_checks import parametrize_with_checks
from tree_data import FEATURES, mixed_table, run_scattered

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn import GradientBoostingClassifier, GradientBoostingRegressor, load_model, load_predictor
from muskox.program import ArrayPartition, RunOptions, in_process
from muskox.records import pack, unpack

WEIGHTS = {
    "check_sample_weight_equivalence_on_dense_data": "the greatest weight sets the unit of the whole numbers: "
    "scikit-learn's own HistGradientBoosting fails, too"
}


@pytest.mark.filterwarnings("default")  # the checks warn of their own
@parametrize_with_checks(
    [GradientBoostingClassifier(n_estimators=5), GradientBoostingRegressor(n_estimators=5)],
    expected_failed_checks=lambda _: WEIGHTS,
)
def test_it_passes_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
def test_held_out_loss_is_as_xgboosts(load: Any) -> None:
    xgboost = pytest.importorskip("xgboost")
    X, y = load(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0, test_size=0.4)
    ours = GradientBoostingClassifier(n_estimators=40, max_depth=4).fit(X, y, shards=3)
    peer = xgboost.XGBClassifier(n_estimators=40, max_depth=4, learning_rate=0.1, tree_method="hist", n_jobs=1).fit(X, y)
    loss, peer_loss = (log_loss(y_test, model.predict_proba(X_test)) for model in (ours, peer))
    assert loss < peer_loss * 1.15 + 0.01


def test_numbers_are_predicted_as_by_xgboost() -> None:
    xgboost = pytest.importorskip("xgboost")
    X, y = load_diabetes(return_X_y=True)
    ours = GradientBoostingRegressor(n_estimators=30, max_depth=3).fit(X, y, shards=3)
    peer = xgboost.XGBRegressor(n_estimators=30, max_depth=3, learning_rate=0.1, tree_method="hist", n_jobs=1).fit(X, y)
    assert np.corrcoef(ours.predict(X), peer.predict(X))[0, 1] > 0.99
    assert ours.score(X, y) > peer.score(X, y) - 0.02


@pytest.mark.parametrize("weight", [None, "w"])
@pytest.mark.parametrize(
    ("estimator", "target"),
    [
        (GradientBoostingClassifier(n_estimators=4, max_depth=4, subsample=0.8, features=FEATURES), "positive"),
        (GradientBoostingClassifier(n_estimators=3, max_depth=4, validation_fraction=0.2, features=FEATURES), "class"),
        (GradientBoostingRegressor(n_estimators=4, max_depth=4, colsample_bytree=0.7, features=FEATURES), "score"),
    ],
)
def test_the_model_depends_on_no_order_of_computation(estimator: Any, target: str, weight: str | None) -> None:
    table = mixed_table()
    whole = estimator.fit(table, target=target, weight=weight, shards=5)
    program = estimator.program(target, weight=weight)
    found = run_scattered(program, table, 5, lambda round_, n: np.roll(range(n), round_)[::-1].tolist())
    assert digest(found) == whole.digest_


def test_sums_in_another_order_are_the_same_whole_numbers() -> None:
    table = mixed_table()
    for estimator, target in (
        (GradientBoostingClassifier(n_estimators=5, features=FEATURES), "class"),
        (GradientBoostingRegressor(n_estimators=5, features=FEATURES), "score"),
    ):
        program = estimator.program(target)
        forwards = run_scattered(program, table, 7, lambda _, n: range(n))
        backwards = run_scattered(program, table, 7, lambda _, n: range(n), adds_backwards=True)
        assert digest(forwards) == digest(backwards)


def test_text_and_missing_values_are_learned_from() -> None:
    table, other = mixed_table(), mixed_table(seed=1)
    model = GradientBoostingClassifier(n_estimators=30, max_depth=3, features=FEATURES).fit(table, target="positive")
    assert model.score(other) > 0.78
    assert model.feature_importances_[1] < min(model.feature_importances_[0], model.feature_importances_[2])
    regressor = GradientBoostingRegressor(n_estimators=30, max_depth=3, features=FEATURES).fit(table, target="score")
    assert regressor.score(other) > 0.55


def test_a_hole_goes_where_it_gains() -> None:
    X = np.repeat([[0.0], [1.0], [np.nan]], 40, axis=0)
    y = np.repeat([0.0, 0.0, 5.0], 40)
    model = GradientBoostingRegressor(n_estimators=1, learning_rate=1.0, l2_regularization=0.0, max_depth=1).fit(X, y)
    np.testing.assert_allclose(model.predict([[0.0], [1.0], [np.nan]]), [0.0, 0.0, 5.0], atol=1e-4)


def test_one_tree_of_depth_one_is_the_best_cut() -> None:
    x = np.arange(100.0)
    y = np.where(x < 30.0, 1.0, 4.0)
    model = GradientBoostingRegressor(n_estimators=1, learning_rate=1.0, l2_regularization=0.0, max_depth=1).fit(x[:, None], y)
    np.testing.assert_allclose(model.predict([[29.4], [29.6]]), [1.0, 4.0], atol=1e-5)


def test_it_stops_where_the_held_out_loss_is_best() -> None:
    table = mixed_table(600)
    estimator = GradientBoostingClassifier(
        n_estimators=200, learning_rate=0.5, validation_fraction=0.3, n_iter_no_change=5, features=FEATURES
    )
    model = estimator.fit(table, target="positive")
    losses = model.validation_losses_
    assert model.n_estimators_ == int(np.argmin(losses)) < 100
    assert len(losses) == model.n_estimators_ + 6
    assert len(model.model_record_["trees"]["roots"]) == model.n_estimators_


def test_held_out_rows_teach_nothing() -> None:
    table = mixed_table(400)
    estimator = GradientBoostingRegressor(n_estimators=5, n_iter_no_change=0, features=FEATURES)
    aside = mixed_table(100, seed=3)
    known = table.select([*FEATURES, "score"])
    with_them = estimator.fit(known, target="score", validation=(aside.select(FEATURES), aside["score"].to_numpy()))
    trees, alone = with_them.model_record_["trees"], estimator.fit(known, target="score").model_record_["trees"]
    assert all(np.array_equal(part, alone[name][: len(part)]) for name, part in trees.items() if name != "sets")


def test_the_learning_rate_may_change_while_it_runs() -> None:
    table = mixed_table(300)
    estimator = GradientBoostingRegressor(n_estimators=6, max_depth=2, features=FEATURES)
    options = RunOptions(changes=[(7, {"learning_rate": 0.01})])
    changed = [estimator.fit(table, target="score", options=options).digest_ for _ in range(2)]
    plain = estimator.fit(table, target="score").digest_
    assert changed[0] == changed[1] != plain
    dataset = in_process(table, ArrayPartition())  # its shards keep what they derived: a fit must not see that of another
    again = [estimator.fit(dataset, target="score", options=each).digest_ for each in (None, options, None)]
    assert again == [plain, changed[0], plain]
    with pytest.raises(CallerError, match="learning_rate"):
        estimator.fit(table, target="score", options=RunOptions(changes=[(4, {"learning_rate": -1.0})]))


def test_a_row_predicts_as_in_a_batch_and_a_record_as_the_model() -> None:
    table = mixed_table(200)
    for kind, target in ((GradientBoostingClassifier, "class"), (GradientBoostingRegressor, "score")):
        model = kind(n_estimators=5, features=FEATURES).fit(table, target=target)
        batch = table.select(FEATURES).to_batches()[0]
        whole = load_predictor(unpack(pack(model.model_record_))).predict_batch(batch)
        single = [model.predict_batch(batch.slice(row, 1))["prediction"][0] for row in range(50)]
        assert list(whole["prediction"][:50]) == single
        assert load_model(unpack(pack(model.model_record_))).digest_ == model.digest_


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_estimators": 0}, {"learning_rate": 0.0}, {"max_depth": 0}, {"l2_regularization": -1.0}, {"min_child_weight": -1.0},
        {"subsample": 0.0}, {"colsample_bytree": 1.5}, {"max_bins": 300}, {"validation_fraction": 1.5},
        {"n_iter_no_change": -1},
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_refused_with_its_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(CallerError, match=next(iter(wrong))):
        GradientBoostingRegressor(**wrong).fit([[0.0], [1.0]], [0.0, 1.0])


def test_rows_to_stop_by_that_are_none_are_missed() -> None:
    table = mixed_table(200).append_column("aside", pa.array([False] * 200))
    with pytest.raises(CallerError, match="no row is held out"):
        GradientBoostingClassifier(n_estimators=2, features=FEATURES).fit(table, target="class", validation="aside")
