"""Which rows and columns count: weights, classes, rows held out; and what is said of those that cannot."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import muskox as mx
from muskox.errors import CallerError
from muskox.learn import inputs, load_predictor
from muskox.learn.inputs import Inputs, Target
from muskox.program import BLOCK_ROWS, ArrayPartition, in_process
from muskox.records import Record, pack, unpack
from muskox.streams import stream


def dataset(table: Any, shards: int = 1) -> Any:
    return in_process(table, ArrayPartition(shards))


def prepared(table: Any, given: Inputs, kind: Target = Target.CLASSES, shards: int = 1) -> tuple[Record, Any]:
    """Return what the first round finds, and the dataset."""
    data = dataset(table, shards)
    begun = unpack(pack(inputs.begin(data.manifest, given, kind)))
    total = None
    for shard in data.shards:
        found = inputs.look(begun, shard, shard.blocks)
        total = found if total is None else inputs.merge(total, found)
    assert total is not None
    return unpack(pack(inputs.prepare(begun, total, given))), data


def rows(record: Record, data: Any, *, is_held_out: bool = False) -> list[inputs.Rows]:
    return [each for shard in data.shards for each in inputs.rows_of(record, shard, shard.blocks, is_held_out=is_held_out)]


TABLE = pa.table({"x": [1.0, 2.0, 3.0, 4.0], "w": [0.0, 2.0, 1.0, 3.0], "y": ["b", "a", "b", "a"]})


def test_a_row_of_weight_w_counts_as_w_rows_and_one_of_zero_as_none() -> None:
    found, data = prepared(TABLE, Inputs(target="y", weight="w"))
    assert (found["rows"], found["weight_sum"], found["classes"]) == (3, 6.0, ["a", "b"])
    assert found["counts"].tolist() == [5.0, 1.0]
    assert found["encoder"]["mean"].tolist() == [(2.0 * 2 + 3.0 + 4.0 * 3) / 6]
    (only,) = rows(found, data)
    assert only.weights is not None and only.target is not None
    assert (only.weights.tolist(), only.target.tolist()) == ([2.0, 1.0, 3.0], [0, 1, 0])


def test_factors_of_classes_multiply_weights() -> None:
    found, data = prepared(TABLE, Inputs(target="y", weight="w", class_weight=(("a", 0.5), ("b", 4))))
    assert found["weight_sum"] == 6.5
    assert [each.weights.tolist() for each in rows(found, data) if each.weights is not None] == [[1.0, 4.0, 1.5]]
    balanced, _ = prepared(TABLE, Inputs(target="y", class_weight="balanced"))
    assert balanced["class_weights"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("shards", [1, 3])
def test_rows_held_out_are_seen_by_nobody_in_training(shards: int) -> None:
    table = pa.table(
        {"x": np.arange(100.0), "c": ["new" if row % 10 == 0 else "old" for row in range(100)], "y": np.arange(100) % 2}
    )
    table = table.append_column("v", pa.array([row % 10 == 0 for row in range(100)]))
    found, data = prepared(table, Inputs(target="y", validation="v"), shards=shards)
    assert found["rows"] == 90 and found["encoder"]["categories"] == [["old"]]
    assert sum(each.batch.num_rows for each in rows(found, data)) == 90
    assert sum(each.batch.num_rows for each in rows(found, data, is_held_out=True)) == 10


def test_a_share_held_out_is_drawn_alike_whatever_else_there_is() -> None:
    table = pa.table({"x": np.arange(1000.0), "y": np.arange(1000) % 2})
    given = Inputs(target="y", validation_fraction=0.25, seed=3)
    held = [each.batch.column("x").to_pylist() for each in rows(*prepared(table, given, shards=4), is_held_out=True)]
    again = [each.batch.column("x").to_pylist() for each in rows(*prepared(table, given, shards=4), is_held_out=True)]
    assert held == again and 200 < sum(map(len, held)) < 300
    other = rows(*prepared(table, Inputs(target="y", validation_fraction=0.25, seed=4), shards=4), is_held_out=True)
    assert [each.batch.column("x").to_pylist() for each in other] != held


def test_held_out_rows_without_a_known_target_are_left_out() -> None:
    table = pa.table({"x": [0.0, 1.0, 2.0, 3.0, 4.0], "y": ["a", "b", "c", None, "a"], "v": [False, False, True, True, True]})
    held = rows(*prepared(table, Inputs(target="y", validation="v")), is_held_out=True)
    assert [each.target.tolist() for each in held if each.target is not None] == [[0]]


def test_both_zeros_are_one_class() -> None:
    table = pa.table({"x": [0.0, 1.0, 2.0, 3.0], "y": [0.0, -0.0, 1.0, 1.0]})
    found, data = prepared(table, Inputs(target="y"))
    assert found["classes"] == [0.0, 1.0] and found["counts"].tolist() == [2.0, 2.0]
    assert [each.target.tolist() for each in rows(found, data) if each.target is not None] == [[0, 0, 1, 1]]


def test_an_infinity_is_named_by_its_row_in_the_shard() -> None:
    x = np.zeros(BLOCK_ROWS + 500)
    x[BLOCK_ROWS + 300] = np.inf
    weights = np.arange(x.size) % 3
    table = pa.table({"x": x, "w": weights.astype(float), "y": np.arange(x.size) % 2})
    assert weights[BLOCK_ROWS + 300] > 0
    with pytest.raises(CallerError, match=f"row {BLOCK_ROWS + 300} of shard 0"):
        prepared(table, Inputs(target="y", weight="w"))


@pytest.mark.parametrize(
    ("table", "given", "said"),
    [
        (TABLE, Inputs(target="y", weight="x", features=("x",)), "at once"),
        (TABLE, Inputs(target="y", weight="y", features=("x",)), "column of numbers|at once"),
        (TABLE, Inputs(target="y", validation="w"), "bool"),
        (pa.table({"x": [1.0, 2.0], "w": [-1.0, 1.0], "y": [0, 1]}), Inputs(target="y", weight="w"), "negative"),
        (pa.table({"x": [1.0, 2.0], "w": [1e308, 1e308], "y": [0, 1]}), Inputs(target="y", weight="w"), "beyond 1e"),
        (pa.table({"x": [1.0, 2.0], "w": [0.0, 0.0], "y": [0, 1]}), Inputs(target="y", weight="w"), "weight zero"),
        (pa.table({"x": [1.0, 2.0], "y": [0.0, np.inf]}), Inputs(target="y"), "infinite"),
        (pa.table({"x": [1.0, 2.0], "y": [0.5, 1.5]}), Inputs(target="y"), "continuous"),
        (TABLE, Inputs(target="y", class_weight=(("c", 1.0),)), "no class"),
        (TABLE, Inputs(target="y", class_weight=(("a", 0), ("b", 0))), "no row any weight"),
    ],
)
def test_what_cannot_be_learned_from_is_said(table: Any, given: Inputs, said: str) -> None:
    with pytest.raises(CallerError, match=said):
        prepared(table, given)


@pytest.mark.parametrize(
    "wrong",
    [
        {"class_weight": "even"},
        {"class_weight": (("a", "much"),)},
        {"seed": None},
        {"validation_fraction": 1.5},
        {"validation_fraction": 0.5, "validation": "v"},
        {"categories_max": 0},
        {"standardise": 1},
    ],
)
def test_a_parameter_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        Inputs(target="y", **wrong)


def test_inputs_travel() -> None:
    given = Inputs(target="y", features=("a",), class_weight=(("p", 1.0), (2, 3.0)), validation="v", seed=5)
    assert Inputs.from_parameters(unpack(pack(given.parameters()))) == given


def test_rows_to_validate_by_come_beside_weights() -> None:
    X, y = np.arange(40.0)[:, None], np.arange(40) > 19
    model = mx.LogisticRegression(max_rounds=5).fit(X, y, np.ones(40), validation=(X[::4], y[::4]))
    assert model.n_features_in_ == 1


def test_a_record_that_is_none_is_refused() -> None:
    record = mx.GaussianNB().fit([[0.0], [1.0]], [0, 1]).model_record_
    for wrong in ({"model": "muskox.learn.model:import_module"}, {"encoder": {}}, {"model": "os:system"}):
        with pytest.raises(CallerError):
            load_predictor({**record, **wrong})


@pytest.mark.parametrize("rows_", [20, 100, 5000])
def test_weights_of_any_size_hide_no_row_and_make_none_up(rows_: int) -> None:
    """Sums of weights are rounded, each in its order: whether a value is missing is told by none of them."""
    for seed in range(8):
        draw = stream(seed, "weights")
        table = pa.table({"x": draw.normal(size=rows_), "y": draw.normal(size=rows_), "w": draw.uniform(0.1, 2.0, rows_)})
        given = Inputs(target="y", weight="w")
        record, _ = prepared(table, given, Target.NUMBER, shards=3)
        assert record["features"]["absent"].tolist() == [0]
        holed = table.set_column(1, "y", pa.array([None, *table["y"].to_pylist()[1:]], pa.float64()))
        with pytest.raises(CallerError, match=rf"'y' is missing \(NaN\) in 1 of {rows_} rows"):
            prepared(holed, given, Target.NUMBER, shards=3)
