"""Pipelines: scikit-learn's contract and numbers, steps as one program, and models that are all of their steps."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from learning_data import mixed_table
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.decomposition import PCA as PeerPCA
from sklearn.linear_model import LogisticRegression as PeerLogistic
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import muskox as mx
from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn import (
    PCA,
    Encode,
    GaussianNB,
    KMeans,
    LogisticRegression,
    Pipeline,
    PipelineProgram,
    RandomForestClassifier,
    Ridge,
    load_model,
    load_predictor,
)
from muskox.program import ArrayPartition, Done, in_process
from muskox.records import normal, pack, unpack

EXCUSED = {  # scikit-learn's own pipeline is excused from both: steps are fitted in place
    "check_dont_overwrite_parameters": "fitting a pipeline fits its steps",
    "check_estimators_overwrite_params": "fitting a pipeline fits its steps",
}


@pytest.mark.filterwarnings("default")  # the checks warn of their own
@parametrize_with_checks(
    [Pipeline([("axes", PCA(0.99, standardise=True)), ("classify", GaussianNB())]), Encode()],
    expected_failed_checks=lambda estimator: EXCUSED if isinstance(estimator, Pipeline) else {},
)
def test_it_passes_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def three_steps() -> Pipeline:
    return Pipeline([("scale", Encode()), ("axes", PCA(n_components=5)), ("classify", LogisticRegression(tol=1e-9))])


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
def test_it_has_scikit_learns_numbers(load: Any) -> None:
    X, y = load(return_X_y=True)
    ours = three_steps().fit(X, y, shards=3)
    peer = make_pipeline(
        StandardScaler(), PeerPCA(5, svd_solver="full"), StandardScaler(), PeerLogistic(tol=1e-10, max_iter=5000)
    )
    peer.fit(X, y)  # our logistic regression standardises what it is given
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-4)
    np.testing.assert_array_equal(ours.predict(X), peer.predict(X))
    assert ours.score(X, y) == peer.score(X, y)
    np.testing.assert_allclose(ours.named_steps["axes"].components_, peer[1].components_, atol=1e-8)


def test_steps_trained_one_by_one_leave_the_same_models() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    whole = three_steps().fit(X, y)
    encoded = Encode().fit(X)
    axes = PCA(n_components=5).fit(pa.table(dict(zip(encoded.get_feature_names_out(), encoded.transform(X).T, strict=True))))
    np.testing.assert_array_equal(whole["axes"].components_, axes.components_)
    inner = encoded.model_.transform_batch(batch_of(X, encoded.feature_names_in_))
    names, found = axes.get_feature_names_out(), axes.model_.transformed(inner)
    last = LogisticRegression(tol=1e-9).fit(pa.table(dict(zip(names, np.ascontiguousarray(found.T), strict=True))), y)
    np.testing.assert_array_equal(last.coef_, whole["classify"].coef_)


def test_parameters_of_steps_have_scikit_learns_names() -> None:
    model = three_steps()
    assert model.get_params()["axes__n_components"] == 5
    model.set_params(axes__n_components=2, classify__C=0.1)
    assert model["axes"].n_components == 2 and model[2].C == 0.1 and len(model) == 3
    copy = clone(model)
    assert copy is not model and copy.get_params()["axes__n_components"] == 2
    assert "classify" in model.named_steps
    with pytest.raises(ValueError, match="Invalid parameter"):
        model.set_params(nobody__x=1)


def test_grids_of_parameters_are_searched_through_the_steps() -> None:
    X, y = load_wine(return_X_y=True)
    grid = {"axes__n_components": [1, 5]}
    steps = [("axes", PCA(standardise=True)), ("classify", GaussianNB())]
    assert GridSearchCV(Pipeline(steps), grid, cv=2).fit(X, y).best_params_ == {"axes__n_components": 5}
    ours = mx.GridSearch(Pipeline(steps), grid, folds=2, checks=False).fit(X, y)
    assert ours.best_params_ == {"axes__n_components": 5}


def test_tables_of_text_numbers_and_missing_values_go_through_all_steps() -> None:
    table = mixed_table(900)
    model = three_steps().fit(table, target="late", shards=4)
    assert model.score(table) > 0.65
    batch = table.combine_chunks().to_batches()[0]
    whole = model.predict_batch(batch)
    np.testing.assert_array_equal(whole["prediction"], model.predict(table.drop_columns(["late"])))
    for row in range(0, 40, 7):
        alone = model.predict_batch(batch.slice(row, 1))
        assert alone["prediction"][0] == whole["prediction"][row]
        assert alone["probability"][0] == whole["probability"][row]


def test_weights_and_marks_go_through_all_steps() -> None:
    table = mixed_table(900)
    weights = np.arange(900) % 3
    weighted = table.append_column("w", pa.array(weights)).append_column("held", pa.array(np.arange(900) % 5 == 0))
    model = three_steps().fit(weighted, target="late", weight="w", validation="held", shards=2)
    assert set(model.feature_names_in_) == {"amount", "city", "month", "member"}
    seen = table.take(pa.array(np.repeat(np.arange(900), weights * (np.arange(900) % 5 != 0))))
    repeated = three_steps().fit(seen, target="late")
    np.testing.assert_allclose(model.predict_proba(table), repeated.predict_proba(table), atol=1e-6)


@pytest.mark.parametrize(
    ("last", "y"), [(Ridge(), "number"), (KMeans(3), None), (PCA(2), None), (GaussianNB(), "class")], ids=str
)
def test_any_estimator_may_be_the_last_step(last: Any, y: Any) -> None:
    X, number = load_diabetes(return_X_y=True)
    truth = None if y is None else number if y == "number" else (number > 140).astype(int)
    model = Pipeline([("axes", PCA(3)), ("last", last)]).fit(X, truth, shards=2)
    alone = PCA(3).fit(X, shards=2).transform(X)
    table = pa.table({f"component_{i}": np.ascontiguousarray(alone[:, i]) for i in range(3)})
    expected = clone(last).fit(table, truth, shards=2)
    if hasattr(last, "predict"):
        np.testing.assert_array_equal(model.predict(X), expected.predict(table))
        assert model.score(X, truth) == expected.score(table, truth)
    else:
        np.testing.assert_array_equal(model.transform(X), expected.transform(table))
        assert model.get_feature_names_out().tolist() == ["component_0", "component_1"]
        assert not hasattr(model, "predict") and not hasattr(model, "score")
    assert hasattr(model, "predict_proba") == (y == "class")


def test_its_record_makes_the_same_model() -> None:
    X, y = load_iris(return_X_y=True)
    model = Pipeline([("axes", PCA(0.99)), ("classify", GaussianNB())]).fit(X, y, shards=3)
    again = load_model(unpack(pack(model.model_record_)))
    assert again.digest_ == model.digest_ == clone(model).fit(X, y, shards=3).digest_
    assert again.get_params()["axes__n_components"] == 0.99
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert load_predictor(model.model_record_).outputs.keys() == {"prediction", "probability"}
    assert model.n_rounds_ == model["axes"].n_rounds_ + model["classify"].n_rounds_
    program = model.program("y")
    assert PipelineProgram.from_parameters(unpack(pack(program.parameters()))) == program


def test_a_state_goes_on_after_a_journey() -> None:
    table = mixed_table(300)
    program = three_steps().program("late")
    results = []
    for travels in (False, True):
        dataset: Any = in_process(table, ArrayPartition(3))
        state = normal(program.initial(dataset.manifest))
        while True:
            if travels:
                state, dataset = unpack(pack(state)), in_process(table, ArrayPartition(3))
                program = PipelineProgram.from_parameters(unpack(pack(program.parameters())))
            total = None
            for shard in dataset.shards:
                part = normal(program.partial(state, shard, shard.blocks))
                total = part if total is None else normal(program.merge(total, part))
            after = program.update(state, total)
            if isinstance(after, Done):
                results.append(digest(after.result))
                break
            state = normal(after)
    assert results[0] == results[1] == three_steps().fit(table, target="late", shards=3).digest_


def test_cross_validation_trains_every_step_without_the_fold() -> None:
    table = mixed_table(600)
    dataset: Any = in_process(table, ArrayPartition(4))
    scores = mx.cross_validate(three_steps(), dataset, target="late", folds=3, checks=False)
    assert len(scores) == 3
    assert all(score["accuracy"] > 0.6 for score in scores)


def test_what_no_longer_is_needed_of_a_step_is_let_go() -> None:
    table = mixed_table(200).drop_columns(["late"])
    dataset: Any = in_process(table, ArrayPartition(1))
    Pipeline([("scale", Encode()), ("groups", KMeans(2))]).fit(dataset)
    kept = [key for key in dataset.shards[0]._cache if key.startswith("pipeline/")]
    assert len(kept) == 1


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "at least one step"),
        ([("f", RandomForestClassifier(strategy="shards"))], "trains here by tasks of its own, not in rounds: choose"),
        ([("a", GaussianNB()), ("b", GaussianNB())], "step 'a' is a GaussianNB"),
        ([("a", PCA()), ("b", StandardScaler())], "step 'b' is a StandardScaler"),
        ([("a", PCA()), ("a", GaussianNB())], "not unique"),
        ([("a", PCA(n_components=99)), ("b", GaussianNB())], "n_components=99"),
    ],
)
def test_what_cannot_be_is_refused_with_the_rule(steps: Any, words: str) -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=words):
        Pipeline(steps).fit(X, y)


def test_a_target_called_as_a_steps_column_is_refused() -> None:
    table = mixed_table(50).rename_columns(["amount", "city", "month", "member", "component_0"])
    with pytest.raises(CallerError, match="makes a column 'component_0'"):
        Pipeline([("axes", PCA()), ("classify", GaussianNB())]).fit(table, target="component_0")


def batch_of(X: Any, names: Any) -> Any:
    return pa.table({name: X[:, i] for i, name in enumerate(names)}).combine_chunks().to_batches()[0]
