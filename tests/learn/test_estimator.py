"""LogisticRegression: scikit-learn's contract, its objective and its coefficients, and one model for arrays and datasets."""

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from learning_data import mixed_table
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression as Peer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn import LogisticRegression, load_model
from muskox.program import ArrayPartition, RunOptions, in_process, resolve
from muskox.records import pack, unpack


def objective(X: np.ndarray, y: np.ndarray, coef: np.ndarray, intercept: np.ndarray, C: float = 1.0) -> float:
    """Return scikit-learn's objective divided by C n: `y` is bool."""
    margin = X @ coef.ravel() + intercept
    return float(np.logaddexp(0.0, np.where(y, -margin, margin)).mean() + 0.5 * np.sum(coef**2) / (C * y.size))


@pytest.mark.filterwarnings("default")  # the checks warn of their own
@parametrize_with_checks([LogisticRegression(tol=1e-11, max_rounds=1000)])  # weights and rows are compared to 1e-7
def test_it_passes_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_breast_cancer_standardised_has_scikit_learns_optimum(C: float) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    standard = StandardScaler().fit_transform(X)
    peer = Peer(C=C, solver="newton-cholesky", tol=1e-12).fit(standard, y)
    ours = LogisticRegression(C=C, tol=1e-9, max_rounds=500).fit(X, y)
    coef = ours.model_record_["coef"]
    np.testing.assert_allclose(coef, peer.coef_[0], rtol=1e-4, atol=1e-5)
    best = objective(standard, y == 1, peer.coef_, peer.intercept_, C)
    assert ours.loss_ <= best * (1 + 1e-9)
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(standard), atol=1e-5)
    np.testing.assert_allclose(X @ ours.coef_[0] + ours.intercept_, ours.decision_function(X), rtol=1e-8, atol=1e-8)


def test_without_standardise_the_objective_is_scikit_learns_on_raw_columns() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X = X[:, :8]
    peer = Peer(solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(X, y)
    ours = LogisticRegression(standardise=False, tol=1e-10, max_rounds=500).fit(X, y)
    np.testing.assert_allclose(ours.coef_, peer.coef_, rtol=1e-3, atol=1e-5)
    best = objective(X, y == 1, peer.coef_, peer.intercept_)
    np.testing.assert_allclose(objective(X, y == 1, ours.coef_, ours.intercept_), best, rtol=1e-9)
    np.testing.assert_allclose(ours.loss_, best, rtol=1e-9)


def test_flights_have_scikit_learns_optimum(flights: Any) -> None:
    ours = LogisticRegression(max_rounds=300).fit(flights, target="late", shards=12)
    X, y = ours.encoder_.transform(flights), flights.column("late").to_numpy()
    peer = Peer(solver="newton-cholesky", tol=1e-10).fit(X, y)
    best = objective(X, y, peer.coef_, peer.intercept_)
    assert abs(ours.loss_ - best) < 1e-6 * best
    np.testing.assert_allclose(ours.predict_proba(flights), peer.predict_proba(X), atol=2e-3)
    assert ours.model_record_["status"] == "converged"


def hard_tables() -> dict[str, Any]:
    rng = np.random.default_rng(11)
    rows = 3000
    x, group = rng.normal(size=(2, rows)), rng.integers(0, 300, rows)
    late = rng.random(rows) < 0.5 + 0.4 * np.tanh(x[0] + rng.normal(size=300)[group])
    return {
        "one category": {"c": ["a"] * rows, "x": x[0], "late": late},
        "one category and nothing else": {"c": ["a"] * rows, "late": late},
        "many categories and a far offset": {"c": [f"g{i}" for i in group], "x": x[1] * 1e5 + 1e8, "late": late},
        "columns that nearly agree": {"a": x[0], "b": x[0] + 1e-6 * x[1], "c": 2 * x[0], "late": late},
        "three rows": {"a": [1.0, 2.0, 3.0], "late": [False, True, True]},
    }


@pytest.mark.parametrize("C", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("name", list(hard_tables()))
def test_hard_tables_have_scikit_learns_optimum(name: str, C: float) -> None:
    table = pa.table(hard_tables()[name])
    ours = LogisticRegression(C=C, max_rounds=500, tol=1e-8).fit(table, target="late", shards=3)
    X, y = ours.encoder_.transform(table), table.column("late").to_numpy()
    peer = Peer(C=C, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(X, y)
    best = objective(X, y, peer.coef_, peer.intercept_, C)
    assert abs(ours.loss_ - best) < 1e-8 * best
    assert ours.status_ == "converged"


def test_flights_held_out_are_ranked_as_scikit_learn_ranks_them(flights: Any) -> None:
    held_out = pa.array(np.arange(flights.num_rows) % 5 == 0)
    training, test = flights.filter(pc.invert(held_out)), flights.filter(held_out)
    ours = LogisticRegression().fit(training, target="late", shards=3)
    program = resolve(
        {"program": "muskox.evaluate:EvaluateProgram", "parameters": {"model": ours.model_record_, "target": "late"}}
    )
    result = in_process(test, ArrayPartition(2)).run(program, RunOptions()).result
    encode = ours.encoder_.transform
    peer = Peer(solver="newton-cholesky").fit(encode(training), training.column("late").to_numpy())
    expected = roc_auc_score(test.column("late").to_numpy(), peer.decision_function(encode(test)))
    assert abs(result["auc"] - expected) < 0.002
    assert 0.6 < expected < 0.75


@pytest.mark.parametrize("shards", [1, 4])
def test_a_dataset_and_arrays_cut_alike_give_the_same_bits(shards: int) -> None:
    table = mixed_table(2000)
    dataset = in_process(table, ArrayPartition(shards))
    of_dataset = LogisticRegression(categorical=("month",)).fit(dataset, target="late")
    frame = table.to_pandas()
    estimator = LogisticRegression(categorical=("month",))
    for fitted in (
        estimator.fit(table, target="late", shards=shards),
        estimator.fit(frame, target="late", shards=shards),
        estimator.fit(frame.drop(columns="late"), frame["late"], shards=shards),
        estimator.fit(table.drop_columns("late"), pd.Series(table.column("late").to_numpy(), name="late"), shards=shards),
    ):
        assert fitted.digest_ == of_dataset.digest_


def test_partition_by_hash_is_the_callers_choice() -> None:
    table = mixed_table(2000)
    rows, hashed = (LogisticRegression().fit(table, target="late", shards=4, by=by) for by in ("rows", "hash:month"))
    assert rows.digest_ != hashed.digest_
    np.testing.assert_allclose(rows.loss_, hashed.loss_, rtol=1e-9)


def test_one_row_predicts_the_same_bits_as_in_a_batch() -> None:
    table = mixed_table(400)
    model = LogisticRegression().fit(table, target="late")
    batch = table.drop_columns("late").combine_chunks().to_batches()[0]
    whole = model.predict_batch(batch)
    for row in (0, 1, 17, 399):
        one = model.predict_batch(batch.slice(row, 1))
        assert one["probability"].tobytes() == whole["probability"][row : row + 1].tobytes()
        assert one["prediction"].tolist() == whole["prediction"][row : row + 1].tolist()
    assert whole["probability"].tobytes() == np.ascontiguousarray(model.predict_proba(table)[:, 1]).tobytes()


def test_a_model_is_its_record() -> None:
    table = mixed_table(400)
    model = LogisticRegression(C=0.3, categorical=["month"]).fit(table, target="late")
    for again in (
        load_model(unpack(pack(model.model_record_))),
        pickle.loads(pickle.dumps(model)),
        clone(model).fit(table, target="late"),
    ):
        assert again.digest_ == model.digest_ == digest(model.model_record_)
        assert again.predict_proba(table).tobytes() == model.predict_proba(table).tobytes()
    assert load_model(model.model_record_).C == 0.3
    with pytest.raises(CallerError, match=r"is no estimator of muskox"):
        load_model({"kind": "forest"})


def test_columns_in_another_order_or_beside_others_predict_alike() -> None:
    table = mixed_table(100)
    model = LogisticRegression().fit(table, target="late")
    turned = table.select(table.column_names[::-1])
    assert model.predict_proba(turned).tobytes() == model.predict_proba(table).tobytes()
    assert model.predict(table.slice(0, 0)).shape == (0,)


@pytest.mark.parametrize("labels", [["no", "yes"], [False, True], [-1, 1], [0.0, 1.0]])
def test_classes_keep_their_type_and_the_second_is_the_positive_one(labels: list[Any]) -> None:
    X = np.linspace(-1.0, 1.0, 50)[:, None]
    y = np.array(labels)[(X[:, 0] > 0.1).astype(int)]
    model = LogisticRegression(C=1e4).fit(X, y)
    assert model.classes_.tolist() == labels
    assert model.score(X, y) == 1.0
    assert model.predict_proba([[5.0]])[0, 1] > 0.99


def test_it_scores_arrays_tables_and_datasets_alike() -> None:
    table = mixed_table(500)
    model = LogisticRegression().fit(table, target="late")
    accuracy = model.score(table.drop_columns("late"), table.column("late").to_numpy())
    assert model.score(table) == accuracy
    assert model.score(in_process(table, ArrayPartition(3))) == accuracy
    assert 0.6 < accuracy < 1.0


def test_numpy_parameters_of_a_grid_search_are_taken() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    search = GridSearchCV(LogisticRegression(), {"C": np.logspace(-3, 1, 3), "max_rounds": [np.int64(50)]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.95


def test_rounds_are_watched_and_the_run_is_told_its_lineage() -> None:
    class Recording:
        def __init__(self, table: pa.Table) -> None:
            self.dataset, self.options = in_process(table, ArrayPartition(2)), RunOptions()
            self.manifest = self.dataset.manifest

        def run(self, program: Any, options: RunOptions) -> Any:
            self.options = options
            return self.dataset.run(program, options)

    seen: list[Any] = []
    recording = Recording(mixed_table(300))
    model = LogisticRegression().fit(recording, target="late", name="m", workers=3, on_round=seen.append, features=["amount"])
    assert (recording.options.name, recording.options.workers) == ("m", 3)
    lineage = recording.options.lineage
    assert (lineage["estimator"], lineage["target"]) == ("LogisticRegression", "late")
    assert lineage["parameters"]["features"] == ["amount"]
    assert [report.round for report in seen] == list(range(1, model.n_rounds_ + 1))
    assert model.feature_names_in_.tolist() == ["amount"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "requires y to be passed"),
        ({"target": "late", "y": [True] * 10}, "requires y to be passed|fit"),
        ({"target": "lat"}, "no column 'lat' to use as target"),
        ({"target": "late", "features": ["speed"]}, "no column 'speed' to use as feature"),
        ({"target": "late", "features": "amount"}, "features='amount': it must be a list of column names"),
        ({"target": "late", "shards": 0}, "shard"),
        ({"target": "late", "shards": 2, "by": "hash:nothing"}, "no column 'nothing'"),
        ({"target": "late", "by": "columns"}, "hash:COLUMN"),
        ({"y": [True] * 9}, "X has 10 rows and y has 9"),
    ],
)
def test_a_wrong_fit_is_refused_by_name(arguments: dict[str, Any], says: str) -> None:
    y = arguments.pop("y", None)
    with pytest.raises(CallerError, match=says):
        LogisticRegression().fit(mixed_table(10), y, **arguments)


def test_a_wrong_prediction_is_refused_by_name() -> None:
    table = mixed_table(50)
    with pytest.raises(NotFittedError):
        LogisticRegression().predict(table)
    model = LogisticRegression().fit(table, target="late")
    with pytest.raises(CallerError, match="no column 'city' in these rows"):
        model.predict(table.drop_columns("city"))
    with pytest.raises(CallerError, match="X has 2 features, but LogisticRegression is expecting 4 features"):
        model.predict(np.zeros((3, 2)))
    with pytest.raises(CallerError, match="column 'city' holds int64 here; the model was made for string"):
        model.predict(table.set_column(1, "city", pa.array([1] * 50)))
    with pytest.raises(CallerError, match="a dataset is fitted with target="):
        LogisticRegression().fit(in_process(table, ArrayPartition()))
    with pytest.raises(CallerError, match="shards= and by= are for arrays"):
        LogisticRegression().fit(in_process(table, ArrayPartition()), target="late", shards=2)
    with pytest.raises(CallerError, match="no column 'late' to score against: give y"):
        model.score(table.drop_columns("late"))
