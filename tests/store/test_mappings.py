"""Mapped shard files: one mapping for many readers, a bounded number of them, a new one for a new file."""

from pathlib import Path

import pyarrow as pa
import pytest

from muskox.errors import Corrupt, Unavailable
from muskox.store.disk.mappings import Mappings
from muskox.store.disk.shard import write_shard


def shard(folder: Path, name: str, rows: int) -> Path:
    table = pa.table({"i": range(rows)})
    return write_shard(folder / name, table.schema, table.to_batches()).parts[0].path


def test_a_file_is_mapped_once_for_all_its_readers(tmp_path: Path) -> None:
    mappings = Mappings()
    path = shard(tmp_path, "a", 10)
    assert [mappings.open(path).read_all().num_rows for _ in range(3)] == [10, 10, 10]
    assert len(mappings) == 1 and Path("/proc/self/maps").read_text().count(str(path)) == 1


def test_a_file_that_was_written_anew_is_mapped_anew(tmp_path: Path) -> None:
    mappings = Mappings()
    path = shard(tmp_path, "a", 10)
    assert mappings.open(path).read_all().num_rows == 10
    shard(tmp_path, "b", 20).replace(path)
    assert mappings.open(path).read_all().num_rows == 20
    assert len(mappings) == 1


def test_the_last_used_files_stay_and_readers_outlive_their_mapping(tmp_path: Path) -> None:
    mappings = Mappings(files_max=2)
    paths = [shard(tmp_path, name, 10) for name in "abc"]
    first = mappings.open(paths[0])
    for path in (paths[1], paths[0], paths[2]):
        mappings.open(path)
    maps = Path("/proc/self/maps").read_text()
    assert len(mappings) == 2 and str(paths[1]) not in maps and str(paths[0]) in maps
    mappings.forget(paths[0])
    mappings.forget(paths[0])
    paths[0].unlink()
    assert first.read_all().num_rows == 10
    del first
    assert str(paths[0]) not in Path("/proc/self/maps").read_text()


def test_what_is_no_shard_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="is not there"):
        Mappings().open(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"no Arrow")
    with pytest.raises(Corrupt, match="is no shard file"):
        Mappings().open(tmp_path / "a")
