"""Arrow files and streams: read where they lie, their columns in our types."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather

from muskox.errors import CallerError
from muskox.store import open_source

TABLE = pa.table({"a": [1, 2, 3], "s": pa.array(["x", None, "x"]).dictionary_encode(), "n": pa.nulls(3)})


def write(path: Path, table: Any, stream: bool = False, compression: str | None = None) -> Path:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.OSFile(str(path), "wb") as file:
        with (pa.ipc.new_stream if stream else pa.ipc.new_file)(file, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=2)
    return path


def read(data: Any, types: dict[str, str] | None = None, wanted: list[str] | None = None) -> tuple[dict[str, str], Any]:
    with open_source(data, types) as source:
        table = pa.Table.from_batches(list(source.batches(wanted)))
        assert table.num_rows == source.rows
    return source.columns, table.to_pydict()


@pytest.mark.parametrize("stream", [False, True], ids=["file", "stream"])
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_files_and_streams_are_read_compressed_or_not(tmp_path: Path, stream: bool, compression: str | None) -> None:
    path = write(tmp_path / "x", TABLE, stream, compression)
    assert read(path) == (
        {"a": "int", "s": "string", "n": "float"},
        {"a": [1, 2, 3], "s": ["x", None, "x"], "n": [None] * 3},
    )
    assert read(path, {"a": "float"}, ["s", "a"])[1] == {"s": ["x", None, "x"], "a": [1.0, 2.0, 3.0]}


def test_feather_is_an_arrow_file_and_its_first_version_is_refused(tmp_path: Path) -> None:
    feather.write_feather(pd.DataFrame({"a": [1.5, None]}), tmp_path / "x.feather")
    assert read(tmp_path / "x.feather") == ({"a": "float"}, {"a": [1.5, None]})
    (tmp_path / "old.feather").write_bytes(b"FEA1" + bytes(100))
    with pytest.raises(CallerError, match=r"old\.feather is Feather version 1: write it again"):
        open_source(tmp_path / "old.feather")


def test_several_files_are_one_dataset_and_a_column_without_values_joins_any(tmp_path: Path) -> None:
    first = write(tmp_path / "1.arrow", TABLE)
    second = write(tmp_path / "2.arrow", pa.table({"a": [0.5], "s": ["y"], "n": [True]}), stream=True)
    columns, values = read([first, second])
    assert columns == {"a": "float", "s": "string", "n": "bool"}
    assert values == {"a": [1.0, 2.0, 3.0, 0.5], "s": ["x", None, "x", "y"], "n": [None, None, None, True]}


@pytest.mark.parametrize("stream", [False, True], ids=["file", "stream"])
def test_torn_empty_and_odd_files_are_refused(tmp_path: Path, stream: bool) -> None:
    good = write(tmp_path / "good", pa.table({"a": list(range(1000))}), stream)
    torn = tmp_path / "torn"
    torn.write_bytes(good.read_bytes()[: good.stat().st_size // 2 + 3])
    for data, complaint in [
        (torn, "torn is no Arrow file that can be read"),
        (write(tmp_path / "none", TABLE.slice(0, 0), stream), "there are no rows"),
        (write(tmp_path / "list", pa.table({"l": [[1]]}), stream), "list: column 'l' has the type list"),
    ]:
        with pytest.raises(CallerError, match=complaint):
            open_source(data)
