"""EvaluateProgram against scikit-learn's metrics, exact for any shards, and refusals."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, roc_auc_score

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.evaluate import EvaluateProgram
from muskox.learn import LogisticRegression
from muskox.program import ArrayPartition, Portable, Program, RunOptions, in_process, reference, resolve
from muskox.records import Record, pack, unpack


def some_rows(rows: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows).round(1)  # ties
    return pa.table({"x": x, "label": np.where(x + rng.normal(size=rows) > 0, "yes", "no")})


MODEL = LogisticRegression().fit(some_rows(500), target="label")


def evaluate(table: Any, shards: int = 1, target: str = "label") -> Record:
    return in_process(table, ArrayPartition(shards)).run(EvaluateProgram(MODEL.model_record_, target), RunOptions()).result


@settings(max_examples=30)
@given(st.integers(10, 300), st.integers(1, 9), st.integers(0, 1000))
def test_metrics_are_scikit_learns(rows: int, shards: int, seed: int) -> None:
    table = some_rows(rows, seed)
    labels = table.column("label").to_numpy()
    if len(set(labels)) < 2:
        return
    result = evaluate(table, shards)
    probability = MODEL.predict_proba(table)
    assert result["auc"] == pytest.approx(roc_auc_score(labels, probability[:, 1]), abs=1e-12)
    assert result["log_loss"] == pytest.approx(log_loss(labels, probability), abs=1e-12)
    assert result["accuracy"] == pytest.approx(accuracy_score(labels, MODEL.predict(table)), abs=1e-15)
    assert result["confusion"].tolist() == confusion_matrix(labels, MODEL.predict(table)).tolist()
    assert (result["rows"], result["positives"]) == (rows, int((labels == "yes").sum()))
    assert result["classes"] == ["no", "yes"]


def test_all_but_the_log_loss_is_the_same_for_any_shards() -> None:
    table = some_rows(700, 4)
    results = [evaluate(table, shards) for shards in (1, 2, 5, 64, 1000)]
    losses = [result.pop("log_loss") for result in results]
    assert len({digest(result) for result in results}) == 1
    np.testing.assert_allclose(losses, losses[0], rtol=1e-13)


def test_a_sure_and_wrong_model_has_a_finite_loss() -> None:
    table = pa.table({"x": [1e6, -1e6, 1e6], "label": ["no", "yes", "yes"]})
    expected = log_loss(["no", "yes", "yes"], MODEL.predict_proba(table))
    assert evaluate(table)["log_loss"] == pytest.approx(expected, rel=1e-12)


def test_it_travels_by_name() -> None:
    program = EvaluateProgram(MODEL.model_record_, "label")
    assert isinstance(program, Program) and isinstance(program, Portable)
    again = resolve(unpack(pack(reference(program))))
    table = some_rows(50, 1)
    result = in_process(table, ArrayPartition(3)).run(again, RunOptions()).result
    assert digest(result) == digest(evaluate(table, 3))


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["yes", None, "no", None], "the target 'label' is missing in 2 of 4 rows: drop those rows first"),
        (["yes", "maybe", "no", "nay"], "'label' is neither 'no' or 'yes' in 2 of 4 rows"),
        ([1, 0, 1, 0], "'label' is neither 'no' or 'yes' in 4 of 4 rows"),
    ],
)
def test_bad_labels_are_refused_however_they_are_cut(labels: list[Any], says: str) -> None:
    for shards in (1, 3, 6):
        with pytest.raises(CallerError, match=says):
            evaluate(pa.table({"x": [0.0, 1.0, 2.0, 3.0], "label": labels}), shards)


@pytest.mark.parametrize("label", ["yes", "no"])
def test_rows_of_one_class_have_all_but_an_auc(label: str) -> None:
    table = pa.table({"x": [0.0, 1.0, 2.0, 3.0], "label": [label] * 4})
    for shards in (1, 3, 6):
        result = evaluate(table, shards)
        assert result["auc"] is None and result["rows"] == 4
        expected = log_loss([label] * 4, MODEL.predict_proba(table), labels=["no", "yes"])
        assert result["log_loss"] == pytest.approx(expected, rel=1e-12)
        assert result["accuracy"] == np.mean(MODEL.predict(table) == label)


def test_missing_columns_and_rows_are_refused() -> None:
    with pytest.raises(CallerError, match="no column 'truth' to compare with: this dataset has x, label"):
        evaluate(some_rows(5), target="truth")
    with pytest.raises(CallerError, match="no column 'x' in these rows"):
        evaluate(pa.table({"label": ["yes", "no"]}))
    with pytest.raises(CallerError, match="no rows"):
        evaluate(some_rows(5).slice(0, 0))
