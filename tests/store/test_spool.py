"""Rows kept on disk: in their final types when read, in few files, gone at the end."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from muskox.errors import Unavailable
from muskox.store.input import spool
from muskox.store.input.spool import Cache, Spool


def batch(**columns: Any) -> Any:
    return pa.RecordBatch.from_pydict(columns)


def test_a_column_is_read_as_what_it_became(tmp_path: Path) -> None:
    rows = Spool(tmp_path)
    for part in (
        batch(a=pa.nulls(1), b=pa.array([""]), c=[1]),
        batch(a=["x"], b=pa.array([2.5]), c=[2**53 + 1]),
        batch(a=["y"], b=pa.array([0.0]), c=[0.5], d=[True]),
    ):
        rows.add(part)
    rows.finish()
    table = pa.Table.from_batches(list(rows.batches({"a": "string", "b": "float", "c": "float", "d": "bool"})))
    assert table.to_pydict() == {
        "a": [None, "x", "y"],
        "b": [None, 2.5, 0.0],
        "c": [1.0, 2.0**53, 0.5],
        "d": [None, None, True],
    }
    assert pa.Table.from_batches(list(rows.batches({"d": "bool"}))).to_pydict() == {"d": [None, None, True]}
    rows.close()
    assert list(tmp_path.iterdir()) == []


def test_small_batches_are_gathered_and_large_ones_cut(tmp_path: Path) -> None:
    rows = Spool(tmp_path)
    for number in range(spool.BATCH_ROWS):
        rows.add(batch(a=[number]))
    rows.add(batch(a=list(range(10 * spool.BATCH_ROWS))))
    rows.finish()
    sizes = [part.num_rows for part in rows.batches({"a": "int"})]
    assert sizes == [spool.BATCH_ROWS, *[4 * spool.BATCH_ROWS] * 2, 2 * spool.BATCH_ROWS]
    assert len(list(next(tmp_path.iterdir()).iterdir())) == 1


def test_a_disk_that_takes_no_more_ends_a_spool_and_only_gives_up_a_cache(tmp_path: Path) -> None:
    for make in (Spool, Cache):
        rows = make(tmp_path)
        folder = next(tmp_path.iterdir())
        folder.rmdir()
        folder.write_text("in the way")
        if isinstance(rows, Cache):
            rows.add(batch(a=[1]))
            rows.add(batch(a=[2]))
            rows.finish()
            assert not rows.is_whole
        else:
            with pytest.raises(Unavailable, match="cannot write under"):
                rows.add(batch(a=[1]))
        folder.unlink(missing_ok=True)
        rows.close()


def test_a_cache_that_grows_too_large_is_given_up_and_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "CACHE_BYTES_MAX", 100_000)
    rows = Cache(tmp_path)
    for part in range(10):
        rows.add(batch(a=[number * 7919 for number in range(part * 20_000, part * 20_000 + 20_000)]))
    rows.finish()
    assert not rows.is_whole and list(tmp_path.iterdir()) == []
