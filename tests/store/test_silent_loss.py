"""Rows and values that could get lost without a word: each is kept, or refused with its place."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store_cluster import StoreCluster

from muskox.errors import CallerError
from muskox.store import Source, conform_table, open_source


def file(folder: Path, text: str) -> Path:
    path = folder / "rows.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_quote_that_is_never_closed_is_refused_with_its_line(tmp_path: Path) -> None:
    rows = [f"{number},text" for number in range(1000)]
    path = file(tmp_path, "\n".join(["k,v", *rows, '1000,"open', *rows]) + "\n")
    with pytest.raises(CallerError, match="line 1002: a quote is opened in this row and never closed"):
        open_source(path)


def test_a_last_value_of_several_lines_is_fine(tmp_path: Path) -> None:
    assert open_source(file(tmp_path, 'k,v\n1,one\n2,"two\nlines"\n')).rows == 2


def test_a_code_with_a_leading_zero_is_no_number(tmp_path: Path) -> None:
    assert open_source(file(tmp_path, "zip\n02139\n10001\n")).columns == {"zip": "string"}
    with pytest.raises(CallerError, match=r"line 3: column 'zip' is int by the values before, and '02139' is a code"):
        open_source(file(tmp_path, "zip\n10001\n02139\n"))
    assert open_source(file(tmp_path, "zip\n10001\n02139\n"), {"zip": "string"}).columns == {"zip": "string"}


def test_columns_in_another_order_are_not_appended(cluster: StoreCluster) -> None:
    cluster.put("rows", pa.table({"k": [1, 2], "a": [1, 2]}), shards=2)
    with pytest.raises(CallerError, match=r"cannot append to 'rows'"):
        cluster.put("rows", pa.table({"a": [1, 2], "k": [1, 2]}), append=True)


@pytest.mark.parametrize(("values", "kind"), [([5, 0], "bool"), ([1_700_000_000, 0], "timestamp"), ([True, False], "int")])
def test_no_number_becomes_something_else(values: list[object], kind: str) -> None:
    with pytest.raises(CallerError, match=f"cannot become {kind}"):
        conform_table(pa.table({"x": values}), {"x": kind})


@pytest.mark.parametrize("rows", [1, 20])
def test_a_file_that_changes_before_it_is_cut_is_refused(
    cluster: StoreCluster, tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By range a Parquet file is read twice; of a CSV file the rows are kept when it is first read."""
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"k": [1] * 10}), path)

    def batches(source: Source, wanted: Sequence[str] | None = None) -> Iterator[Any]:
        yield from source.batches(wanted)
        pq.write_table(pa.table({"k": [1] * rows}), path)

    def opened(*arguments: Any) -> Source:
        source = open_source(*arguments)
        return replace(source, batches=lambda wanted=None: batches(source, wanted))

    monkeypatch.setattr("muskox.store.put.open_source", opened)
    with pytest.raises(CallerError, match="the input was changed while it was read"):
        cluster.put("d", path, by="range:k", shards=2)
    with pytest.raises(CallerError, match="there is no dataset"):
        cluster.open("d")
