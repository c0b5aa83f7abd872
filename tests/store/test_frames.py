"""Tables that are not files: whatever holds columns is read, once or as often as it can be."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from muskox.errors import CallerError
from muskox.store import open_source
from muskox.store.input.reading import Reading

VALUES = {"a": [1, 2, None], "s": ["x", None, "y"]}
COLUMNS = {"a": "int", "s": "string"}


def read(data: Any, types: dict[str, str] | None = None, **reading: Any) -> tuple[dict[str, str], dict[str, list[Any]]]:
    with open_source(data, types, Reading(**reading)) as source:
        table = pa.Table.from_batches(list(source.batches()))
        assert table.num_rows == source.rows and table.equals(pa.Table.from_batches(list(source.batches()))), "twice the same"
        for name in source.columns:
            assert pa.Table.from_batches(list(source.batches([name]))).equals(table.select([name]))
    return source.columns, table.to_pydict()


class Stream:
    """Something of another library that hands out an Arrow stream, once."""

    def __init__(self, table: Any) -> None:
        self._reader = table.to_reader()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._reader.__arrow_c_stream__(requested_schema)


def one_by_one() -> Iterator[Any]:
    yield from pa.table(VALUES).to_batches(max_chunksize=1)


TABLES = {
    "a table": lambda: pa.table(VALUES),
    "a record batch": lambda: pa.RecordBatch.from_pydict(VALUES),
    "a reader": lambda: pa.table(VALUES).to_reader(),
    "a stream of another library": lambda: Stream(pa.table(VALUES)),
    "a polars frame": lambda: pl.DataFrame(VALUES),
    "a pandas frame": lambda: pd.DataFrame({"a": pd.array([1, 2, None], "Int64"), "s": ["x", None, "y"]}),
    "a dataset": lambda: ds.dataset(pa.table(VALUES)),
    "a generator of batches": one_by_one,
    "a list of tables": lambda: [pa.table(VALUES).slice(0, 2), pa.table(VALUES).slice(2)],
    "an iterator of dicts": lambda: iter([{"a": [1, 2], "s": ["x", None]}, {"a": [None], "s": ["y"]}]),
    "an iterator of frames": lambda: iter([pl.DataFrame(VALUES)[:2], pl.DataFrame(VALUES)[2:]]),
    "an iterator of streams": lambda: iter([Stream(pa.table(VALUES))]),
    "an iterator with empty parts": lambda: iter([{"a": [], "s": []}, VALUES, {"a": [], "s": []}]),
}


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES.keys())
def test_whatever_holds_columns_is_read(make: Any) -> None:
    assert read(make()) == (COLUMNS, VALUES)
    assert read(make(), {"a": "float"}) == ({"a": "float", "s": "string"}, {**VALUES, "a": [1.0, 2.0, None]})


def test_polars_own_types_are_kept() -> None:
    frame = pl.DataFrame(
        {
            "c": pl.Series(["u", "v"], dtype=pl.Categorical),
            "d": [datetime.date(2013, 1, 2), None],
            "u": pl.Series([1, 2], dtype=pl.UInt8),
        }
    )
    columns, values = read(frame)
    assert columns == {"c": "string", "d": "timestamp", "u": "int"}
    assert values == {"c": ["u", "v"], "d": [datetime.datetime(2013, 1, 2), None], "u": [1, 2]}
    with pytest.raises(CallerError, match="column 'l' has the type large_list"):
        open_source(pl.DataFrame({"l": [[1], [2]]}))


def test_a_dataset_of_files_is_scanned_anew_each_time(tmp_path: Path) -> None:
    table = pa.table({"a": list(range(10)), "year": [2013] * 4 + [2014] * 6})
    ds.write_dataset(
        table, tmp_path, format="parquet", partitioning=ds.partitioning(pa.schema([("year", pa.int32())]), flavor="hive")
    )
    dataset = ds.dataset(tmp_path, partitioning="hive")
    assert read(dataset) == ({"a": "int", "year": "int"}, table.to_pydict())
    assert read(dataset.filter(ds.field("year") == 2014))[1]["a"] == [4, 5, 6, 7, 8, 9]


def test_types_grow_over_the_parts_of_an_iterator() -> None:
    parts = [{"a": [None], "b": [1]}, {"a": [None], "b": [0.5]}, {"a": ["x"], "b": [2]}, {"a": [None], "b": [None]}] * 3
    columns, values = read(iter(parts))
    assert columns == {"a": "string", "b": "float"}
    assert values == {"a": [None, None, "x", None] * 3, "b": [1.0, 0.5, 2.0, None] * 3}
    assert read(iter([{"a": [None]}]))[0] == {"a": "float"}


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ([{"a": [1]}, {"b": [1]}], "item 2 of the iterator: its columns are b; those of the first input are a"),
        ([{"a": [1]}, {"a": ["x"]}], "item 2 of the iterator: column 'a' is string here and int in the first input"),
        ([{"a": [1]}, 7], "cannot read item 2 of the iterator, rows from a int: give"),
        ([{"a": [1]}, {"a": [1, "x"]}], "item 2 of the iterator: this dict has no Arrow form"),
        ([{"a": [1], "b": [1, 2]}], "item 1 of the iterator: this dict has no Arrow form"),
        ([{"a": [[1]]}], "item 1 of the iterator: column 'a' has the type list"),
        ([{"a": []}], "the input: there are no rows"),
        ([], "the iterator is empty"),
    ],
)
def test_a_part_that_does_not_fit_is_named_and_nothing_is_left(tmp_path: Path, parts: list[Any], complaint: str) -> None:
    with pytest.raises(CallerError, match=complaint):
        open_source(iter(parts), None, Reading(folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_an_iterator_raises_goes_on_and_nothing_is_left(tmp_path: Path) -> None:
    def failing() -> Iterator[Any]:
        yield {"a": [1]}
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        open_source(failing(), None, Reading(folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_spool_goes_with_close_or_with_the_source(tmp_path: Path) -> None:
    source = open_source(one_by_one(), None, Reading(folder=tmp_path))
    assert len(list(tmp_path.iterdir())) == 1
    source.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CallerError, match="the source is closed"):
        next(source.batches())
    forgotten = open_source(one_by_one(), None, Reading(folder=tmp_path))
    del forgotten
    assert list(tmp_path.iterdir()) == []


def test_an_iterator_of_paths_is_paths(tmp_path: Path) -> None:
    for number in range(3):
        pq.write_table(pa.table({"a": [number]}), tmp_path / f"{number}.parquet")
    assert read(path for path in sorted(tmp_path.iterdir())) == ({"a": "int"}, {"a": [0, 1, 2]})
