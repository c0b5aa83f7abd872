"""Scores that deceive are told with a warning: columns that give the target away, and overfitting."""

import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

import muskox as mx
from muskox.client.suspicion import about_columns, about_fit
from muskox.evaluate import OneColumnProgram
from muskox.program import ArrayPartition, RunOptions, in_process, reference, resolve
from muskox.records import Record, pack, unpack


def look(table: Any, target: str = "y", shards: int = 1, **given: Any) -> Record:
    columns = tuple(name for name in table.schema.names if name != target)
    program = resolve(unpack(pack(reference(OneColumnProgram(target, columns, **given)))))
    return in_process(table, ArrayPartition(shards)).run(program, RunOptions()).result


def leaking(rows: int = 3000) -> pa.Table:
    rng = np.random.default_rng(4)
    signal = np.exp(rng.normal(size=rows))
    late = signal > 2.5
    return pa.table(
        {
            "honest": signal + 3.0 * rng.normal(size=rows),
            "after": signal,
            "word": np.where(late, "delayed", "on time"),
            "id": [f"row {index}" for index in range(rows)],
            "gone": pa.nulls(rows, pa.float64()),
            "late": late,
            "signal": 2.0 * signal**3 + 1.0,
            "three": np.searchsorted([0.5, 2.5], signal),
        }
    )


@pytest.mark.parametrize(
    ("target", "is_number", "measure", "found"),
    [
        ("late", False, "auc", ["after", "signal", "word"]),
        ("signal", True, "r2", ["after"]),
        ("three", False, "explained", []),
    ],
)
def test_columns_that_give_the_target_away_are_found(target: str, is_number: bool, measure: str, found: list[str]) -> None:
    table = leaking().drop_columns(["three"] if target != "three" else ["signal", "after"])
    if target == "three":
        table, found = table.append_column("named", pa.array(np.array(list("abc"))[table["three"].to_numpy()])), ["named"]
    result = look(table, target, is_number=is_number, shards=3)
    assert result["measure"] == measure
    scores = dict(zip(result["names"], result["scores"], strict=True))
    told = about_columns(result, target)
    assert all(scores[name] > 0.99 and f"'{name}'" in told[0] for name in found)
    assert scores["id"] < 0.6 and scores["gone"] < 0.6 and "'id'" not in told[0] and "'honest'" not in told[0]


@pytest.mark.parametrize(
    ("load", "is_number"), [(load_breast_cancer, False), (load_iris, False), (load_wine, False), (load_diabetes, True)]
)
def test_honest_data_are_not_suspected(load: Any, is_number: bool) -> None:
    X, y = load(return_X_y=True)
    table = pa.table({f"x{index}": X[:, index] for index in range(X.shape[1])} | {"y": y})
    assert about_columns(look(table, is_number=is_number), "y") == []


def test_few_rows_or_strange_targets_are_not_judged() -> None:
    few = pa.table({"x": np.arange(40.0), "y": np.arange(40) > 20})
    assert look(few)["scores"] == []
    rare = pa.table({"x": np.arange(500.0), "y": np.arange(500) > 495})
    assert look(rare)["scores"] == []
    constant = pa.table({"x": np.arange(500.0), "y": np.full(500, 3.0)})
    assert look(constant, is_number=True)["scores"] == [0.0]
    moments = pa.table({"x": np.arange(100.0), "y": pa.array(range(100), pa.timestamp("us"))})
    assert look(moments)["scores"] == []


def test_numbers_of_any_size_are_judged() -> None:
    x = np.random.default_rng(1).normal(size=500)
    for size in (1e300, 1e-300):
        table = pa.table({"same": x * size, "wild": np.where(x > 0, np.inf, x), "y": x * size})
        scores = look(table, is_number=True, shards=2)
        assert scores["scores"][0] == pytest.approx(1.0) and scores["scores"][1] < 0.99


def test_cross_validation_warns_of_a_column_that_gives_the_target_away() -> None:
    estimator = mx.GaussianNB(features=["honest", "after"])
    with pytest.warns(mx.LeakageWarning, match="column alone predicts the target 'late' nearly perfectly: 'after'"):
        found = mx.cross_validate(estimator, leaking(), target="late", folds=2, partition=ArrayPartition(2))
    assert len(found.warnings) == 1 and len(found) == 2
    quiet = mx.cross_validate(estimator, leaking(), target="late", folds=2, checks=False, partition=ArrayPartition(2))
    assert quiet.warnings == []
    honest = mx.GaussianNB(features=["honest"])
    assert mx.cross_validate(honest, leaking(), target="late", folds=2, partition=ArrayPartition(2)).warnings == []


def test_a_search_warns_alike() -> None:
    search = mx.GridSearch(mx.GaussianNB(features=["after", "word"]), {"var_smoothing": [1e-9, 1e-3]}, folds=2)
    with pytest.warns(mx.LeakageWarning, match="'word'"):
        search.fit(leaking(), target="late")
    assert len(search.warnings_) == 1


def test_overfitting_is_told_from_the_rows_trained_on() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 80)), rng.integers(0, 2, 120)
    with pytest.warns(mx.OverfittingWarning, match=r"the accuracy is 1\.000 on the rows trained on and 0\.\d+ on others"):
        found = mx.cross_validate(mx.LogisticRegression(C=1e4), X, y, folds=3)
    assert all(fold["training"]["accuracy"] > 0.95 and fold["training"]["auc"] is None for fold in found)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mx.cross_validate(mx.LogisticRegression(C=1e-5), X, y, folds=3)


def test_a_gap_within_the_noise_of_the_folds_is_no_overfitting() -> None:
    def fold(trained: float, other: float) -> dict[str, Any]:
        return {"r2": other, "training": {"r2": trained}}

    assert about_fit([fold(0.9, 0.5), fold(0.9, 0.5)]) == [
        "the R squared is 0.900 on the rows trained on and 0.500 on others: the model is overfitted"
    ]
    assert about_fit([fold(0.9, 0.5), fold(0.9, 0.95)]) == []
    assert about_fit([fold(0.9, 0.8)]) == [] and about_fit([{"inertia": 1.0, "training": {"inertia": 2.0}}]) == []
