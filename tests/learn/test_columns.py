"""Which columns a model reads, and how."""

import numpy as np
import pyarrow as pa
import pytest

from muskox.errors import CallerError
from muskox.learn.columns import Column, Kind, choose, from_record, target_column, to_record
from muskox.program import Manifest

MANIFEST = Manifest({"x": "float", "n": "int", "city": "string", "ok": "bool", "at": "timestamp"}, (10,))


def batch(**columns: object) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


def test_all_columns_but_the_target_are_features_in_the_order_of_the_file() -> None:
    manifest = Manifest({"x": "float", "ok": "bool", "city": "string"}, (1,))
    assert [column.name for column in choose(manifest, "ok", None, ())] == ["x", "city"]


def test_text_and_bool_are_categorical_and_ints_by_request() -> None:
    chosen = choose(MANIFEST, None, ["n", "x", "city", "ok"], ["n"])
    assert [column.categorical for column in chosen] == [True, False, True, True]
    assert from_record(to_record(chosen)) == chosen


@pytest.mark.parametrize(
    ("target", "features", "categorical", "says"),
    [
        ("ok", ["speed"], (), "no column 'speed' to use as feature: this dataset has x, n, city, ok, at"),
        ("ok", ["x"], ("town",), "no column 'town' to use as categorical column"),
        ("ok", ["x", "ok"], (), "the target 'ok' is among the features"),
        ("ok", ["x", "n", "x"], (), "feature 'x' is named twice"),
        ("ok", None, (), "column 'at' is a timestamp, which no model reads: leave it out with features="),
        ("ok", ["x"], ("x",), "column 'x' is float and cannot be categorical"),
        ("ok", [], (), "no feature column is left"),
    ],
)
def test_a_wrong_choice_is_refused_by_name(target: str, features: list[str], categorical: tuple[str, ...], says: str) -> None:
    with pytest.raises(CallerError, match=says):
        choose(MANIFEST, target, features, categorical)


def test_a_target_is_there_and_no_timestamp() -> None:
    with pytest.raises(CallerError, match="no column 'late' to use as target"):
        target_column(MANIFEST, "late")
    with pytest.raises(CallerError, match="'at' is a timestamp"):
        target_column(MANIFEST, "at")


def test_numbers_read_ints_floats_and_nothing_at_all() -> None:
    column = Column("x", Kind.FLOAT, categorical=False)
    assert column.numbers(batch(x=[1, 2])).tolist() == [1.0, 2.0]
    assert np.isnan(column.numbers(batch(x=pa.array([1.5, None]))[0:2])).tolist() == [False, True]
    assert np.isnan(column.numbers(batch(x=pa.nulls(2)))).all()
    assert column.numbers(batch(x=pa.array([2**63 - 1])))[0] == 2.0**63


def test_categories_read_as_the_kind_of_the_training_data() -> None:
    months = Column("month", Kind.INT, categorical=True)
    assert months.values(batch(month=pa.array([1.0, float("nan"), None]))).to_pylist() == [1, None, None]
    city = Column("city", Kind.STRING, categorical=True)
    assert city.values(batch(city=pa.array(["a", None]).dictionary_encode())).to_pylist() == ["a", None]
    assert city.values(batch(city=pa.array(["a"], pa.large_string()))).to_pylist() == ["a"]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (Column("c", Kind.INT, categorical=True), pa.array([2.5])),
        (Column("c", Kind.STRING, categorical=True), pa.array([1])),
        (Column("c", Kind.INT, categorical=True), pa.array(["1"])),
    ],
)
def test_a_batch_of_another_kind_is_refused_by_name(column: Column, values: pa.Array) -> None:
    with pytest.raises(CallerError, match=r"column 'c' holds .* here; the model was made for"):
        column.values(batch(c=values))


def test_a_missing_column_is_refused_by_name() -> None:
    with pytest.raises(CallerError, match="no column 'x' in these rows: they have y"):
        Column("x", Kind.FLOAT, categorical=False).numbers(batch(y=[1.0]))


def test_single_precision_is_widened_as_arrow_does_with_and_without_nulls() -> None:
    values = np.array([0.1, -0.0, np.nan, np.inf, 1e-45, 3e38], dtype=np.float32)
    column = Column("x", Kind.FLOAT, categorical=False)
    for array in (pa.array(values), pa.array(values).slice(1, 4), pa.array([0.1, None], pa.float32())):
        expected = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
        assert column.numbers(batch(x=array)).tobytes() == expected.tobytes()
