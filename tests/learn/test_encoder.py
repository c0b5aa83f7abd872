"""The encoder against scikit-learn's, and what it refuses."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn import EncodeProgram, Encoder
from muskox.learn.inputs import Inputs
from muskox.program import ArrayPartition, RunOptions, in_process, reference, resolve
from muskox.records import pack, unpack


def encoder(table: pa.Table, shards: int = 1, **parameters: object) -> Encoder:
    return Encoder.fit(in_process(table, ArrayPartition(shards)), **parameters)  # type: ignore[arg-type]


@pytest.fixture
def table() -> pa.Table:
    rng = np.random.default_rng(1)
    x = rng.normal(5.0, 3.0, 500)
    x[::7] = np.nan
    month = rng.integers(1, 13, 500)
    return pa.table({"x": x, "n": rng.integers(0, 1000, 500), "month": month, "city": rng.choice(["b", "a", "é"], 500)})


def test_it_gives_what_scikit_learns_encoders_give(table: pa.Table) -> None:
    frame = table.to_pandas()
    numeric = StandardScaler().fit_transform(SimpleImputer().fit_transform(frame[["x", "n"]]))
    indicators = OneHotEncoder(sparse_output=False).fit_transform(frame[["month", "city"]])
    ours = encoder(table, categorical=["month"])
    np.testing.assert_allclose(ours.transform(table), np.hstack([numeric, indicators]), atol=1e-13)
    names = ["x", "n", *(f"month={month}" for month in range(1, 13)), "city=a", "city=b", "city=é"]
    assert ours.feature_names_out() == names
    assert ours.width == len(names)


def test_without_standardise_only_missing_values_change(table: pa.Table) -> None:
    plain = encoder(table, standardise=False, features=["x"]).transform(table)[:, 0]
    x = table.column("x").to_numpy()
    np.testing.assert_allclose(plain, np.where(np.isnan(x), np.nanmean(x), x), rtol=1e-12)


def test_statistics_of_many_shards_agree_with_those_of_one(table: pa.Table) -> None:
    one, seven = encoder(table), encoder(table, shards=7)
    np.testing.assert_allclose(one.scale, seven.scale, rtol=1e-14)
    assert one.categories == seven.categories
    assert encoder(table, shards=900).categories == one.categories  # most of those shards are empty


def test_missing_is_a_category_if_it_was_seen_and_unknown_never_is() -> None:
    seen = encoder(pa.table({"city": ["b", None, "a"], "ok": [True, False, True]}))
    assert seen.feature_names_out() == ["city=a", "city=b", "city is missing", "ok=false", "ok=true"]
    rows = pa.table({"city": pa.array(["a", None, "zzz"]), "ok": pa.array([True, None, False])})
    assert seen.transform(rows).tolist() == [[1, 0, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]
    unseen = encoder(pa.table({"city": ["b", "a"]}))
    assert unseen.transform(pa.table({"city": pa.array([None, "c", "b"], pa.string())})).tolist() == [[0, 0], [0, 0], [0, 1]]


@pytest.mark.parametrize("value", [0.1, 1e9 + 0.1, 0.0, -0.0])
def test_a_constant_column_becomes_zeros_exactly(value: float) -> None:
    constant = pa.table({"x": [value] * 1001})
    found = encoder(constant, shards=3)
    assert found.scale.tolist() == [1.0]
    assert not found.transform(constant).any()
    assert not np.signbit(found.mean[0]) or value < 0


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"x": [1.0, 2.0, 3.0, np.inf]}, "column 'x' is infinite in row 1 of shard 1"),
        ({"x": [np.nan, np.nan]}, "column 'x' has no value in any row: leave it out with features="),
        ({"x": pa.nulls(3)}, "column 'x' has no value"),
        ({"x": [1e200, -1e200]}, "column 'x' holds numbers too large to standardise"),
        ({"x": [1e308] * 16 + [-1e308] * 16}, "column 'x' holds numbers too large to standardise"),  # sums of them are infinite
        ({"c": ["a", "b", "c", "d"]}, "column 'c' has more than 3 categories.* raise categories_max"),
        ({"x": pa.array([], pa.float64())}, "this dataset has no rows"),
    ],
)
def test_bad_data_is_refused_by_name(columns: dict[str, object], says: str) -> None:
    with pytest.raises(CallerError, match=says):
        encoder(pa.table(columns), shards=2, categories_max=3)


def test_the_first_bad_column_is_named_however_the_rows_are_cut() -> None:
    rows = 40
    bad = pa.table({"a": [str(i) for i in range(rows)], "x": [1.0] * (rows - 1) + [np.inf], "b": [str(i) for i in range(rows)]})
    said = set()
    for shards in (1, 2, 7, 40):
        with pytest.raises(CallerError) as caught:
            encoder(bad, shards=shards, categories_max=5, features=["a", "b"])
        said.add(str(caught.value))
    assert len(said) == 1 and "column 'a'" in said.pop()


def test_infinity_at_prediction_is_refused_by_name() -> None:
    found = encoder(pa.table({"x": [1.0, 2.0]}))
    with pytest.raises(CallerError, match="column 'x' is infinite in row 1 of these rows"):
        found.transform(pa.table({"x": [1.0, np.inf]}))


def test_one_row_encodes_as_in_a_batch(table: pa.Table) -> None:
    found = encoder(table)
    whole = found.transform(table)
    for row in (0, 7, 123, 499):
        assert found.transform(table.slice(row, 1)).tobytes() == whole[row : row + 1].tobytes()


def test_it_survives_its_record_and_a_table_of_many_or_no_chunks(table: pa.Table) -> None:
    found = encoder(table)
    again = Encoder.from_record(unpack(pack(found.to_record())))
    assert digest(again.to_record()) == digest(found.to_record())
    chunked = pa.concat_tables([table.slice(0, 3), table.slice(3)])
    assert again.transform(chunked).tobytes() == found.transform(table).tobytes()
    assert again.transform(table.slice(0, 0)).shape == (0, found.width)


def test_the_program_travels_by_name(table: pa.Table) -> None:
    program = EncodeProgram(inputs=Inputs(features=("x", "month"), categorical=("month",), categories_max=20))
    again = resolve(unpack(pack(reference(program))))
    assert again == program
    dataset = in_process(table, ArrayPartition(4))
    assert digest(dataset.run(again, RunOptions()).result) == digest(dataset.run(program, RunOptions()).result)


def test_a_data_frame_and_a_table_encode_alike(table: pa.Table) -> None:
    assert isinstance(table.to_pandas(), pd.DataFrame)
    assert digest(Encoder.fit(table.to_pandas()).record) == digest(Encoder.fit(table).record)


cell = st.fixed_dictionaries(
    {
        "x": st.none() | st.floats(-1e9, 1e9),
        "n": st.none() | st.integers(-5, 5),
        "c": st.none() | st.text("abé", max_size=2),
        "b": st.none() | st.booleans(),
    }
)
SCHEMA = pa.schema({"x": pa.float64(), "n": pa.int64(), "c": pa.string(), "b": pa.bool_()})


@given(st.lists(cell, min_size=1, max_size=12), st.integers(1, 5), st.sampled_from([(), ("n",)]))
def test_any_table_encodes_to_its_definition(rows: list[dict[str, object]], shards: int, categorical: tuple[str, ...]) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    features = [name for name in SCHEMA.names if name in ("c", "b", *categorical) or table.column(name).null_count < len(rows)]
    found = encoder(table, shards, features=features, categorical=categorical)
    X = found.transform(table)
    assert X.shape == (len(rows), len(found.feature_names_out()))
    assert np.isfinite(X).all()
    for j, name in enumerate(found.feature_names_out()):
        if "=" in name:
            column, value = name.split("=", 1)
            expected = [row[column] is not None and str(row[column]).lower() == value.lower() for row in rows]
            assert X[:, j].tolist() == expected
        elif name.endswith(" is missing"):
            assert X[:, j].tolist() == [row[name.removesuffix(" is missing")] is None for row in rows]
        else:
            missing = np.array([row[name] is None for row in rows])
            assert not X[missing, j].any()
            assert abs(X[:, j].mean()) < 1e-6
    for i in range(len(rows)):
        assert found.transform(table.slice(i, 1)).tobytes() == X[i : i + 1].tobytes()
