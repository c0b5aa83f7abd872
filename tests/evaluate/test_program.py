"""EvaluateProgram on models of every task, against scikit-learn's metrics, weighed or not, however the rows are cut."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics
from stub_models import model, stub  # noqa: F401  # a fixture

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.evaluate import EvaluateProgram
from muskox.program import ArrayPartition, RunOptions, in_process, reference, resolve
from muskox.records import Record, pack, unpack

ROWS = 400


def evaluate(table: Any, record: Record, target: str | None, weight: str | None = None, shards: int = 1, **more: Any) -> Record:
    program = resolve(unpack(pack(reference(EvaluateProgram(record, target, weight, **more)))))
    return in_process(table, ArrayPartition(shards)).run(program, RunOptions()).result


@pytest.fixture(scope="module")
def table() -> Any:
    rng = np.random.default_rng(3)
    share = rng.dirichlet([1.0, 1.0, 1.0], ROWS)
    return pa.table(
        {
            "a": share[:, 0],
            "b": share[:, 1],
            "c": share[:, 2],
            "score": rng.normal(size=ROWS).round(1),
            "kind": rng.choice(["x", "y", "z"], ROWS),
            "flag": rng.random(ROWS) < 0.4,
            "number": 1e6 + rng.normal(size=ROWS),
            "guess": 1e6 + rng.normal(size=ROWS),
            "cluster": rng.integers(0, 4, ROWS),
            "distance": rng.random(ROWS),
            "w": rng.integers(0, 4, ROWS) * 0.5,
        }
    )


def columns(table: Any, *names: str) -> list[np.ndarray]:
    return [table.column(name).to_numpy(zero_copy_only=False) for name in names]


@pytest.mark.parametrize("weight", [None, "w"])
def test_many_classes_have_scikit_learns_metrics(table: Any, weight: str | None) -> None:
    record = model("multiclass", "a", "b", "c", classes=["x", "y", "z"], has_probabilities=True)
    truth, w = columns(table, "kind", "w")
    weights = w if weight else None
    share = np.stack(columns(table, "a", "b", "c"), axis=1)
    guess = np.array(["x", "y", "z"])[np.argmax(share, axis=1)]
    for shards in (1, 7):
        found = evaluate(table, record, "kind", weight, shards)
        assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, guess, sample_weight=weights))
        assert found["log_loss"] == pytest.approx(metrics.log_loss(truth, share, sample_weight=weights))
        np.testing.assert_allclose(found["confusion"], metrics.confusion_matrix(truth, guess, sample_weight=weights))
        expected = metrics.precision_recall_fscore_support(truth, guess, sample_weight=weights)
        for name, values in zip(("precision", "recall", "f1"), expected, strict=False):
            np.testing.assert_allclose(found[name], values)
        assert found["macro_f1"] == pytest.approx(metrics.f1_score(truth, guess, average="macro", sample_weight=weights))
        assert found["rows"] == (np.count_nonzero(w) if weight else ROWS)
        assert found["confusion"].dtype == (np.float64 if weight else np.int64) and found["classes"] == ["x", "y", "z"]


def test_without_probabilities_there_is_no_log_loss_and_scores_are_ranked(table: Any) -> None:
    many = evaluate(table, model("multiclass", "a", "b", "c", classes=["x", "y", "z"]), "kind", shards=3)
    assert many["log_loss"] is None and many["accuracy"] > 0.2
    flag, score, w = columns(table, "flag", "score", "w")
    two = evaluate(table, model("binary", "score", classes=[False, True]), "flag", shards=3)
    assert two["log_loss"] is None
    assert two["auc"] == pytest.approx(metrics.roc_auc_score(flag, score), abs=1e-12)
    weighed = evaluate(table, model("binary", "score", classes=[False, True]), "flag", "w", shards=3)
    assert weighed["auc"] == pytest.approx(metrics.roc_auc_score(flag, score, sample_weight=w), abs=1e-12)
    assert weighed["accuracy"] == pytest.approx(metrics.accuracy_score(flag, score > 0, sample_weight=w))
    assert weighed["positives"] == pytest.approx(w[flag].sum()) and weighed["rows"] == np.count_nonzero(w)


def test_a_classifier_that_is_not_ranked_has_all_but_an_auc(table: Any) -> None:
    record = model("binary", "score", classes=[False, True])
    whole, plain = (evaluate(table, record, "flag", is_ranked=is_ranked) for is_ranked in (True, False))
    assert plain["auc"] is None and digest({**plain, "auc": whole["auc"]}) == digest(whole)


@pytest.mark.parametrize("weight", [None, "w"])
def test_numbers_have_scikit_learns_metrics(table: Any, weight: str | None) -> None:
    truth, guess, w = columns(table, "number", "guess", "w")
    weights = w if weight else None
    for shards in (1, 5, 1000):
        found = evaluate(table, model("regression", "guess"), "number", weight, shards)
        assert found["r2"] == pytest.approx(metrics.r2_score(truth, guess, sample_weight=weights), rel=1e-9)
        assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, guess, sample_weight=weights))
        assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, guess, sample_weight=weights))
        counted = w > 0 if weight else np.ones(ROWS, dtype=bool)
        assert found["max_error"] == np.max(np.abs(truth - guess)[counted]) and found["rows"] == np.count_nonzero(counted)


def test_a_constant_number_is_hit_or_not(table: Any) -> None:
    flat = table.append_column("flat", pa.array(np.full(ROWS, 2.0)))
    assert evaluate(flat, model("regression", "flat"), "flat", shards=3)["r2"] == 1.0
    assert evaluate(flat, model("regression", "guess"), "flat", shards=3)["r2"] == 0.0


@pytest.mark.parametrize("weight", [None, "w"])
def test_clusters_are_measured_without_a_target(table: Any, weight: str | None) -> None:
    cluster, distance, w = columns(table, "cluster", "distance", "w")
    weights = w if weight else np.ones(ROWS)
    for shards in (1, 6):
        found = evaluate(table, model("clustering", "cluster", "distance"), None, weight, shards)
        assert found["inertia"] == pytest.approx(np.sum(weights * distance**2))
        assert found["mean_squared_distance"] == pytest.approx(np.average(distance**2, weights=weights))
        np.testing.assert_allclose(found["sizes"], np.bincount(cluster, weights))


@pytest.mark.parametrize("shards", [1, 4])
def test_what_cannot_be_compared_is_refused_with_its_count(shards: int) -> None:
    rows = pa.table({"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, None, np.inf, 2.0], "w": [1.0, 1.0, 1.0, -1.0], "t": list("abcd")})
    line = model("regression", "x")
    with pytest.raises(CallerError, match="the target 'y' is missing in 1 of 4 rows"):
        evaluate(rows, line, "y", shards=shards)
    with pytest.raises(CallerError, match="the target 'y' is infinite in 1 of 3 rows"):
        evaluate(rows.filter(pa.array([True, False, True, True])), line, "y", shards=shards)
    with pytest.raises(CallerError, match="the weight 'w' is negative, infinite or missing in 1 rows"):
        evaluate(rows, line, "x", "w", shards=shards)
    with pytest.raises(CallerError, match="the target 't' holds string: it must be a column of numbers"):
        evaluate(rows, line, "t", shards=shards)
    with pytest.raises(CallerError, match="no column 'v' to weigh by: this dataset has x, y, w, t"):
        evaluate(rows, line, "x", "v", shards=shards)
    with pytest.raises(CallerError, match="the target 't' is none of 'a', 'b', 'c' in 1 of 4 rows"):
        evaluate(rows, model("multiclass", "x", "x", "x", classes=list("abc"), has_probabilities=True), "t", shards=shards)


def test_a_model_without_a_truth_is_refused() -> None:
    rows = pa.table({"x": [0.0]})
    with pytest.raises(CallerError, match="a pca model transforms rows: there is no truth"):
        evaluate(rows, model("transformation", "x", kind="pca"), None)
    with pytest.raises(CallerError, match="a regression model is compared with a column"):
        evaluate(rows, model("regression", "x"), None)


@pytest.mark.parametrize("wild", [np.inf, np.nan, 1e200])
def test_a_model_gone_wild_is_refused_with_a_sentence(wild: float) -> None:
    rows = pa.table({"x": pa.array([0.0, wild, 1.0]), "y": [0.0, 1.0, 2.0]})
    for shards in (1, 3):
        with pytest.raises(CallerError, match="this model predicts what is no finite number: its r2 is"):
            evaluate(rows, model("regression", "x"), "y", shards=shards)
