"""Searches: scikit-learn's results where the folds are the same, and one result whatever the strategy and the engine."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import loguniform, randint
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, PredefinedSplit

import muskox as mx
from muskox.client.candidates import drawn, of_grid
from muskox.client.search import SearchWarning
from muskox.fold import Fold
from muskox.learn import GaussianProgram
from muskox.program import ArrayPartition, in_process

GRID = {"C": [0.01, 1.0], "standardise": [True, False]}


def cancer(rows: int = 250) -> pa.Table:
    X, y = load_breast_cancer(return_X_y=True)
    return pa.table({f"x{index}": X[:rows, index] for index in range(4)} | {"y": np.where(y, "benign", "malignant")[:rows]})


def arrays() -> tuple[np.ndarray, np.ndarray]:
    table = cancer()
    return np.stack([table[f"x{index}"].to_numpy() for index in range(4)], axis=1), table["y"].to_numpy(zero_copy_only=False)


def logistic(**parameters: Any) -> mx.LogisticRegression:
    return mx.LogisticRegression(max_rounds=30, tol=1e-4, **parameters)


def test_a_grid_has_scikit_learns_results_on_the_same_folds() -> None:
    X, y = arrays()
    fold_of_row = np.argmax([Fold(GaussianProgram(), k, 3, 5, is_held_out=True).seen(0, len(y)) for k in range(3)], axis=0)
    ours = mx.GridSearch(mx.GaussianNB(), {"var_smoothing": [1e-9, 1e-3, 0.1]}, folds=3, seed=5, checks=False).fit(X, y)
    peer = GridSearchCV(mx.GaussianNB(), {"var_smoothing": [1e-9, 1e-3, 0.1]}, cv=PredefinedSplit(fold_of_row)).fit(X, y)
    for name in ("mean_test_score", "std_test_score", "rank_test_score", "split2_test_score"):
        np.testing.assert_allclose(ours.cv_results_[name], peer.cv_results_[name])
    assert ours.cv_results_["params"] == peer.cv_results_["params"]
    assert (ours.best_params_, ours.best_index_, ours.n_splits_) == (peer.best_params_, peer.best_index_, 3)
    assert ours.digest_ == peer.best_estimator_.digest_
    assert ours.predict(X[:5]).tolist() == peer.predict(X[:5]).tolist()
    assert ours.score(X, y) == peer.score(X, y)
    np.testing.assert_array_equal(ours.predict_proba(X[:5]), peer.predict_proba(X[:5]))


def result_of(search: Any) -> dict[str, Any]:
    told = {name: values.tolist() if hasattr(values, "tolist") else values for name, values in search.cv_results_.items()}
    return {**told, "digest": search.digest_, "best": search.best_params_, "warnings": search.warnings_}


def test_strategies_engines_and_what_runs_at_once_change_no_bit() -> None:
    table, cut = cancer(), {"shards": 3, "by": "hash:x0"}
    expected = result_of(mx.GridSearch(logistic(), GRID, folds=3).fit(table, target="y", **cut))
    for parameters in ({"strategy": "tasks"}, {"at_once": 1}, {"at_once": 5}):
        assert result_of(mx.GridSearch(logistic(), GRID, folds=3, **parameters).fit(table, target="y", **cut)) == expected
    dataset = in_process(table, ArrayPartition(3, "hash:x0"))
    assert result_of(mx.GridSearch(logistic(), GRID, folds=3).fit(dataset, target="y")) == expected


def test_a_candidate_that_cannot_be_is_recorded_with_its_reason() -> None:
    X, y = arrays()
    for strategy in ("rounds", "tasks"):
        search = mx.GridSearch(logistic(), {"C": [-1.0, 1.0], "categories_max": [10]}, folds=2, strategy=strategy, checks=False)
        with pytest.warns(SearchWarning, match="1 of 2 candidates failed; the first: C"):
            search.fit(X, y)
        assert search.failed_ == 1 and search.best_params_ == {"C": 1.0, "categories_max": 10}
        assert search.cv_results_["reason"][0].startswith("C") and search.cv_results_["reason"][1] is None
        assert search.cv_results_["rank_test_score"].tolist() == [2, 1]


def test_a_candidate_that_fails_while_it_trains_ends_no_other() -> None:
    table = cancer().append_column("id", pa.array([f"row {index}" for index in range(250)]))
    for strategy in ("rounds", "tasks"):
        search = mx.GridSearch(logistic(), {"categories_max": [5, 1000]}, folds=2, strategy=strategy, checks=False)
        with pytest.warns(SearchWarning):
            search.fit(table, target="y", shards=3)
        assert "'id'" in search.cv_results_["reason"][0]
        assert search.best_params_ == {"categories_max": 1000}


@pytest.mark.parametrize("strategy", ["rounds", "tasks"])
def test_encoded_rows_of_a_fold_are_let_go_of_though_its_last_candidate_was_refused(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten, forget = [], Fold.forget

    def watched(fold: Fold, shard: Any) -> None:
        forgotten.append(fold.fold)
        forget(fold, shard)

    monkeypatch.setattr(Fold, "forget", watched)
    table = cancer().append_column("id", pa.array([f"row {index}" for index in range(250)]))
    search = mx.GridSearch(
        logistic(), {"categories_max": [1000, 5]}, folds=3, strategy=strategy, at_once=2, checks=False, refit=False
    )
    with pytest.warns(SearchWarning, match="1 of 2 candidates failed"):
        search.fit(table, target="y")
    assert set(forgotten) == {0, 1}  # the last fold's go with the job


def test_only_the_auc_has_scores_ranked() -> None:
    def trials(scoring: str | None) -> list[Any]:
        search = mx.GridSearch(mx.GaussianNB(), {"var_smoothing": [1e-9]}, scoring=scoring, folds=2, checks=False)
        program, shape = mx.GaussianNB().program("y"), {"target": "y", "weight": None}
        return [search._trial(program, fold, shape, is_first=True, is_last=True).program for fold in range(2)]

    assert all(trial.is_ranked for scoring in ("auc", "roc_auc") for trial in trials(scoring))
    assert not any(trial.is_ranked for scoring in (None, "accuracy", "neg_log_loss") for trial in trials(scoring))


def test_a_search_all_of_whose_candidates_fail_says_why() -> None:
    with pytest.raises(mx.CallerError, match="all 2 candidates failed; the first: C"):
        mx.GridSearch(logistic(), {"C": [-1.0, -2.0]}).fit(*arrays())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"grid": {"D": [1]}}, "LogisticRegression has no parameter 'D': it has C"),
        ({"grid": {"C": []}}, "this is no grid"),
        ({"scoring": "log_loss"}, "there is no scoring 'log_loss': a greater score is better, say 'neg_log_loss'"),
        ({"scoring": "r3"}, "there is no scoring 'r3': there are accuracy, auc"),
        ({"scoring": "r2"}, "all 1 candidates failed; the first: fold 0: scoring 'r2' is not for a model of this kind"),
        ({"strategy": "luck"}, "strategy='luck': it is 'rounds' or 'tasks'"),
        ({"folds": 1}, "folds=1: there are 2 to 1000"),
    ],
)
def test_what_cannot_be_searched_is_refused(change: dict[str, Any], says: str) -> None:
    given = {"grid": {"C": [1.0]}, "folds": 2, "checks": False, **change}
    with pytest.raises(mx.CallerError, match=says):
        mx.GridSearch(logistic(), given.pop("grid"), **given).fit(*arrays())


def test_a_cut_dataset_is_not_cut_again() -> None:
    with pytest.raises(mx.CallerError, match="was cut into shards when it was put"):
        mx.GridSearch(logistic(), GRID).fit(in_process(cancer(), ArrayPartition(2)), target="y", shards=3)


@pytest.mark.parametrize("scoring", ["auc", "neg_log_loss", "f1", "balanced_accuracy", "recall_macro"])
def test_the_score_that_is_asked_for_decides(scoring: str) -> None:
    X, y = arrays()
    search = mx.GridSearch(mx.GaussianNB(), {"var_smoothing": [1e-9, 10.0]}, scoring=scoring, folds=2, checks=False).fit(X, y)
    assert search.scoring_ == scoring and search.best_params_ == {"var_smoothing": 1e-9}
    assert search.best_score_ == np.max(search.cv_results_["mean_test_score"])
    assert ("mean_train_score" in search.cv_results_) is False


def test_random_candidates_belong_to_their_seed_and_number() -> None:
    space = {"C": loguniform(1e-3, 1e3), "max_rounds": randint(5, 50), "solver": ["lbfgs", "gd"]}
    six = drawn(space, 6, seed=1)
    assert six[:3] == drawn(space, 3, seed=1) and six != drawn(space, 6, seed=2)
    assert all(1e-3 <= each["C"] <= 1e3 and type(each["max_rounds"]) is int for each in six)
    assert {each["C"] for each in drawn({**space, "tol": [1e-3]}, 6, seed=1)} == {each["C"] for each in six}


def test_of_lists_none_is_drawn_twice() -> None:
    lists = {"C": [0.1, 1.0, 10.0], "solver": ["lbfgs", "gd"]}
    four = drawn(lists, 4, seed=3)
    assert len({(each["C"], each["solver"]) for each in four}) == 4
    assert drawn(lists, 100, seed=3) == of_grid(lists)


def test_a_randomized_search_keeps_the_best_of_what_it_drew() -> None:
    search = mx.RandomizedSearch(mx.GaussianNB(), {"var_smoothing": loguniform(1e-9, 10.0)}, n_iter=4, folds=2, checks=False)
    search.fit(*arrays())
    assert len(search.cv_results_["params"]) == 4 and search.best_params_ in search.cv_results_["params"]
    assert search.fit(*arrays()).best_params_ == search.best_params_


def test_without_a_refit_there_are_parameters_and_no_model() -> None:
    search = mx.GridSearch(mx.GaussianNB(), {"var_smoothing": [1e-9]}, folds=2, refit=False, checks=False).fit(*arrays())
    assert search.best_params_ == {"var_smoothing": 1e-9}
    with pytest.raises(mx.CallerError, match="refit=False"):
        search.predict([[0.0]])


def test_optunas_sampler_finds_the_same_again() -> None:
    pytest.importorskip("optuna")
    space = {"var_smoothing": loguniform(1e-9, 10.0), "categorical": [(), []]}
    found = [
        mx.RandomizedSearch(mx.GaussianNB(), space, n_iter=6, sampler="tpe", batch=3, folds=2, seed=seed, checks=False)
        .fit(*arrays())
        .cv_results_["params"]
        for seed in (1, 1, 2)
    ]
    assert found[0] == found[1] != found[2] and len(found[0]) == 6
