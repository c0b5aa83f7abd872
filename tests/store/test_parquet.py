"""Parquet and tables in memory: every type that can be kept is, the others are named."""

import datetime
import gzip
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from muskox.errors import CallerError
from muskox.store import open_source
from muskox.store.input.reading import Reading

DAY = datetime.date(2013, 1, 2)
NOON = datetime.datetime(2013, 1, 2, 12)

KEPT = [
    (pa.array([1, None], pa.int8()), "int", [1, None]),
    (pa.array([1, None], pa.uint32()), "int", [1, None]),
    (pa.array([0.5, None], pa.float32()), "float", [0.5, None]),
    (pa.array([None, None]), "float", [None, None]),
    (pa.array([True, None]), "bool", [True, None]),
    (pa.array(["x", None], pa.large_string()), "string", ["x", None]),
    (pa.array(["x", None]).dictionary_encode(), "string", ["x", None]),
    (pa.array([DAY, None]), "timestamp", [datetime.datetime(2013, 1, 2), None]),
    (pa.array([NOON, None], pa.timestamp("ns")), "timestamp", [NOON, None]),
    (pa.array([NOON, None], pa.timestamp("s", "Europe/Berlin")), "timestamp", [NOON, None]),
]


def read(data: Any, types: dict[str, str] | None = None) -> tuple[dict[str, str], dict[str, list[Any]]]:
    source = open_source(data, types)
    table = pa.Table.from_batches(list(source.batches()))
    assert table.num_rows == source.rows
    return source.columns, table.to_pydict()


def write(path: Path, table: Any) -> Path:
    pq.write_table(table, path, row_group_size=3)
    return path


@pytest.mark.parametrize(("values", "kind", "expected"), KEPT, ids=[str(values.type) for values, _, _ in KEPT])
def test_types_that_can_be_kept_are(tmp_path: Path, values: Any, kind: str, expected: list[Any]) -> None:
    table = pa.table({"c": values})
    for data in (table, write(tmp_path / "x.parquet", table)):
        assert read(data) == ({"c": kind}, {"c": expected})


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.decimal128(5, 2), pa.binary(), pa.duration("s")], ids=str)
def test_types_that_cannot_be_kept_are_named(tmp_path: Path, kind: Any) -> None:
    path = write(tmp_path / "x.parquet", pa.table({"c": pa.array([], kind)}))
    stored = re.escape(str(pq.read_schema(path).field("c").type))
    with pytest.raises(CallerError, match=rf"x\.parquet: column 'c' has the type {stored}"):
        open_source(path)


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CallerError, match="column 'c' cannot become int"):
        open_source(pa.table({"c": pa.array([2**63], pa.uint64())}))
    with pytest.raises(CallerError, match="column 'c' cannot become timestamp"):
        open_source(pa.table({"c": pa.array([1], pa.timestamp("ns"))}))


def test_several_files_are_one_dataset(tmp_path: Path) -> None:
    first = write(tmp_path / "1", pa.table({"a": [1, 2, 3, 4], "b": ["x"] * 4}))
    second = write(tmp_path / "2", pa.table({"a": [0.5], "b": ["y"]}))
    assert read([first, second]) == ({"a": "float", "b": "string"}, {"a": [1.0, 2.0, 3.0, 4.0, 0.5], "b": [*"xxxx", "y"]})
    for other, complaint in [
        ({"a": [1]}, "its columns are a; those"),
        ({"a": ["q"], "b": ["y"]}, "column 'a' is string here and int"),
    ]:
        with pytest.raises(CallerError, match=complaint):
            open_source([first, write(tmp_path / "3", pa.table(other))])


def test_given_types_are_applied(tmp_path: Path) -> None:
    path = write(tmp_path / "x", pa.table({"a": [1, 2], "b": [True, None]}))
    assert read(path, {"a": "string", "b": "string"}) == (
        {"a": "string", "b": "string"},
        {"a": ["1", "2"], "b": ["true", None]},
    )
    with pytest.raises(CallerError, match="no column 'z'"):
        open_source(path, {"z": "int"})


def test_a_data_frame_is_put_without_its_index() -> None:
    frame = pd.DataFrame({"a": [1.5, float("nan")], "s": ["x", None], "c": pd.Categorical(["u", "v"])}, index=[5, 6])
    columns, values = read(frame)
    assert columns == {"a": "float", "s": "string", "c": "string"}
    assert values == {"a": [1.5, None], "s": ["x", None], "c": ["u", "v"]}
    with pytest.raises(CallerError, match="DataFrame cannot be kept"):
        open_source(pd.DataFrame({"a": [1, "x"]}, dtype=object))


@pytest.mark.parametrize("data", [7, None, [1, 2], {"a": [1]}])
def test_anything_else_is_refused(data: Any) -> None:
    with pytest.raises(CallerError, match=r"give a pyarrow\.Table, a pandas DataFrame or paths"):
        open_source(data)


def test_empty_torn_and_mixed_files_are_refused(tmp_path: Path) -> None:
    good = write(tmp_path / "good", pa.table({"a": [1] * 1000}))
    torn = tmp_path / "torn"
    torn.write_bytes(good.read_bytes()[:-40])
    text = tmp_path / "a.csv"
    text.write_text("a\n1\n")
    for data, complaint in [
        (write(tmp_path / "none", pa.table({"a": pa.array([], pa.int64())})), "no rows"),
        (pa.table({"a": pa.array([], pa.int64())}), "no rows"),
        (pa.table({}), "no columns"),
        (torn, "torn is no Parquet file"),
        ([good, text], "put files of one kind"),
    ]:
        with pytest.raises(CallerError, match=complaint):
            open_source(data)


def test_a_folder_named_by_hive_gives_columns_with_types(tmp_path: Path) -> None:
    for name, values in [("year=2013/who=a%2Fb", [1, 2]), ("year=2014/who=__HIVE_DEFAULT_PARTITION__", [3])]:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        write(folder / "part-0.parquet", pa.table({"v": values}))
    (tmp_path / "_SUCCESS").touch()
    columns, values = read(tmp_path)
    assert columns == {"v": "int", "year": "int", "who": "string"}
    assert values == {"v": [1, 2, 3], "year": [2013, 2013, 2014], "who": ["a/b", "a/b", None]}
    assert read(tmp_path, {"year": "string", "v": "float"})[0] == {"v": "float", "year": "string", "who": "string"}
    with open_source(tmp_path) as source:
        assert pa.Table.from_batches(list(source.batches(["who"]))).to_pydict() == {"who": ["a/b", "a/b", None]}
    write(tmp_path / "stray.parquet", pa.table({"v": [4]}))
    with pytest.raises(CallerError, match=r"its folders name the columns .*'year', 'who'"):
        open_source(tmp_path)


def test_odd_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CallerError, match="there is no file in this folder"):
        open_source(tmp_path / "empty")
    (tmp_path / "twice" / "v=1").mkdir(parents=True)
    write(tmp_path / "twice" / "v=1" / "x", pa.table({"v": [1]}))
    with pytest.raises(CallerError, match="column 'v' is in the file and in the name of its folder"):
        open_source(tmp_path / "twice")
    for year in ("2013", "soon"):
        (tmp_path / "typed" / f"year={year}").mkdir(parents=True)
        write(tmp_path / "typed" / f"year={year}" / "x", pa.table({"v": [1]}))
    with pytest.raises(CallerError, match="year=soon/x, the name of its folder: column 'year' is int by the values before"):
        open_source(tmp_path / "typed")


def test_a_column_without_values_in_one_file_joins_any_type(tmp_path: Path) -> None:
    files = [write(tmp_path / str(number), pa.table({"a": values})) for number, values in enumerate([[None], ["x"], [None]])]
    assert read(files) == ({"a": "string"}, {"a": [None, "x", None]})


def test_packed_parquet_is_refused_and_the_format_may_be_said(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", pa.table({"a": [1]}))
    (tmp_path / "x.parquet.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(CallerError, match="unpack it first; Parquet and Arrow files are compressed inside"):
        open_source(tmp_path / "x.parquet.gz")
    assert open_source(path, None, Reading(format="parquet")).columns == {"a": "int"}
    with pytest.raises(CallerError, match="is no Arrow file that can be read"):
        open_source(path, None, Reading(format="arrow"))


def test_a_file_whose_columns_change_between_the_passes_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x", pa.table({"a": [1], "b": [2]}))
    with open_source(path) as source:
        write(path, pa.table({"b": [1]}))
        with pytest.raises(CallerError, match=r"x was changed while it was read: column .*a.* is gone"):
            list(source.batches())
