"""What a model goes by: the importance that scikit-learn finds, to within chance, and one table whatever the shards lie on."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.inspection import permutation_importance as peer_importance

import muskox as mx
from muskox.digest import digest
from muskox.evaluate import PermutationProgram
from muskox.evaluate.importance import SAMPLE_ROWS
from muskox.program import ArrayPartition, RunOptions, in_process, reference, resolve
from muskox.records import pack, unpack


def rides(rows: int = 2000, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    x, city, month = rng.normal(size=rows), rng.choice(["Oslo", "Rome", "Žilina"], rows), rng.integers(1, 13, rows)
    signal = 1.5 * x + 2.0 * (city == "Rome") + 0.1 * month + rng.logistic(size=rows) - 1.3
    holes = rng.random(rows) < 0.1
    columns = {"x": pa.array(x, mask=holes), "noise": rng.normal(size=rows), "city": pa.array(city.tolist(), mask=holes[::-1])}
    return pa.table({**columns, "month": month, "late": signal > 0})


MODEL = mx.LogisticRegression(max_rounds=20).fit(rides(), target="late")


def test_the_falls_of_the_score_are_scikit_learns_to_within_chance() -> None:
    table = rides(seed=1)
    ours = mx.permutation_importance(MODEL, table, target="late", repeats=20, scoring="accuracy")
    frame = table.drop_columns("late").to_pandas()
    peer = peer_importance(MODEL, frame, table["late"].to_numpy(), n_repeats=20, random_state=0)
    expected = dict(zip(frame.columns, peer.importances_mean, strict=True))
    found = dict(zip(ours["name"].to_pylist(), ours["mean"].to_pylist(), strict=True))
    assert found == pytest.approx(expected, abs=0.01)
    assert ours["name"].to_pylist() == ["x", "city", "month", "noise"]
    assert ours["deviation"].to_numpy() == pytest.approx([np.std(falls) for falls in ours["repeats"].to_pylist()])


def test_it_is_the_same_again_and_on_a_dataset_and_from_a_record() -> None:
    table, cut = rides(600), ArrayPartition(4, "hash:month")
    expected = mx.permutation_importance(MODEL, table, repeats=2, partition=cut, scoring="auc")
    record = unpack(pack(MODEL.model_record_))
    assert mx.permutation_importance(record, in_process(table, cut), repeats=2, scoring="auc") == expected
    assert mx.permutation_importance(MODEL, table, repeats=3, partition=cut, scoring="auc") != expected
    assert mx.permutation_importance(MODEL, table, repeats=2, partition=cut, scoring="auc", seed=1) != expected


def test_a_column_that_shards_are_cut_by_is_as_important_as_ever() -> None:
    """Exchanged within a shard its values would all be the same, and it would seem to matter nothing."""
    table = rides(1000)
    whole, cut = (
        mx.permutation_importance(MODEL, table, repeats=5, scoring="auc", partition=ArrayPartition(5, by))
        for by in ("rows", "hash:city")
    )
    means = [dict(zip(found["name"].to_pylist(), found["mean"].to_pylist(), strict=True))["city"] for found in (whole, cut)]
    assert means[0] > 0.05 and means[1] == pytest.approx(means[0], rel=0.3)


def test_more_rows_than_the_sample_holds_are_scored_all() -> None:
    table = rides(SAMPLE_ROWS + 500)
    program = PermutationProgram(MODEL.model_record_, "late", repeats=1)
    again = resolve(unpack(pack(reference(program))))
    results = [in_process(table, ArrayPartition(3)).run(each, RunOptions()).result for each in (program, again)]
    assert digest(results[0]) == digest(results[1])
    assert results[0]["plain"]["rows"] == results[0]["columns"]["0"]["0"]["rows"] == table.num_rows


def test_arrays_and_weights_will_do() -> None:
    X = np.stack([np.arange(200.0) % 50, np.arange(200.0) % 7], axis=1)
    y = X[:, 0] > 25
    model = mx.GaussianNB().fit(X, y)
    assert mx.permutation_importance(model, X, y).column("name").to_pylist() == ["x0", "x1"]
    table = pa.table({"x0": X[:, 0], "x1": X[:, 1], "y": y, "w": np.arange(200) % 2 * 1.0})
    weighed = mx.permutation_importance(model, table, target="y", weight="w")
    assert weighed["mean"][0].as_py() > 0.2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"repeats": 0}, "repeats=0: each column is drawn anew 1 to 1000 times"),
        ({"scoring": "r2"}, "scoring 'r2' is not for a model of this kind"),
        ({"target": "none"}, "no column 'none' to compare with"),
        ({"model": mx.GaussianNB()}, "GaussianNB is no fitted model of muskox: fit it first"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], says: str) -> None:
    arguments = {"model": MODEL, "target": "late", **given}
    with pytest.raises(mx.CallerError, match=says):
        mx.permutation_importance(arguments.pop("model"), rides(100), **arguments)
    with pytest.raises(mx.CallerError, match="no column 'noise', which the model learned from"):
        mx.permutation_importance(MODEL, rides(100).drop_columns("noise"), target="late")


def test_coefficients_have_names_and_can_be_compared() -> None:
    found = mx.coefficients(MODEL)
    encoder = MODEL.encoder_
    assert found["name"].to_pylist() == [*encoder.feature_names_out(), "(intercept)"]
    assert found["coefficient"].to_pylist() == [*MODEL.coef_[0].tolist(), MODEL.intercept_[0]]
    compared = found["per_deviation"].to_pylist()
    assert compared[:3] == pytest.approx((MODEL.coef_[0][:3] * encoder.scale).tolist()) and compared[-1] is None
    assert mx.coefficients(unpack(pack(MODEL.model_record_))) == found


def test_a_model_without_coefficients_says_what_to_do() -> None:
    model = mx.GaussianNB().fit([[0.0], [1.0], [5.0], [6.0]], [0, 0, 1, 1])
    with pytest.raises(mx.CallerError, match="GaussianNB has no coefficients: permutation_importance"):
        mx.coefficients(model)
