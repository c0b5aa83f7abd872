"""Rows come into the files of their shards in order, whatever waits in memory and whatever on disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muskox.errors import Unavailable
from muskox.store import arrow_schema
from muskox.store.disk import cutting
from muskox.store.disk.blobs import file_digest
from muskox.store.disk.cutting import Cutting
from muskox.store.disk.shard import ShardFiles, content_digest, joined, open_file, read_blocks

SCHEMA = arrow_schema({"i": "int", "s": "string"})
MUCH = 1 << 30
SHARDS = 5


def batch_of(values: list[int]) -> Any:
    return pa.record_batch({"i": pa.array(values, pa.int64()), "s": [f"row {value}" for value in values]}, schema=SCHEMA)


def rows_of(written: ShardFiles) -> list[int]:
    """Return the column `i` of a written shard, whose files have the digests that it says."""
    assert [part.file_digest for part in written.parts] == [file_digest(part.path) for part in written.parts]
    assert [part.bytes for part in written.parts] == [part.path.stat().st_size for part in written.parts]
    blocks = joined([read_blocks(open_file(part.path)) for part in written.parts])
    return [value for block in blocks for value in block.column("i").to_pylist()]


@pytest.mark.parametrize(
    ("memory_bytes", "files_max", "spilled"),
    [(MUCH, 128, "nothing"), (MUCH, 4, "all"), (16, 128, "from the first on"), (1600, 128, "from some row on")],
)
@settings(max_examples=25, deadline=None)
@given(batches=st.lists(st.lists(st.integers(0, SHARDS - 1), max_size=30), max_size=6), begin=st.none() | st.integers(0, 20))
def test_each_shard_gets_its_rows_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    memory_bytes: int,
    files_max: int,
    spilled: str,
    batches: list[list[int]],
    begin: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("cutting")
    first = list(range(-begin, 0)) if begin is not None else []
    before = None if begin is None else lambda _: [batch_of(first)]
    expected: dict[int, list[int]] = {shard: list(first) for shard in range(SHARDS)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "FILES_MAX", files_max)
        with Cutting(folder, SCHEMA, SHARDS, [["i"], ["s"]], memory_bytes=memory_bytes, before=before) as files:
            row = 0
            for shards in batches:
                rows = list(range(row, row + len(shards)))
                row += len(shards)
                files.add(batch_of(rows), np.array(shards, np.int64))
                for at, value in zip(shards, rows, strict=True):
                    expected[at].append(value)
            files.flush()
            for at, values in expected.items():
                assert files.rows(at) == len(values) - len(first)
                added = [value for batch in files.batches(at, ["i"]) for value in batch.column("i").to_pylist()]
                assert added == values[len(first) :]
                written = files.finish(at)
                assert written.rows == len(values)
                assert written.content_digest == content_digest(pa.Table.from_batches([batch_of(values)]))
                assert rows_of(written) == values
    assert not (folder / "spill").exists()


def test_the_files_do_not_depend_on_what_waits_where(tmp_path: Path) -> None:
    draw = np.random.default_rng(4)
    batches = [(batch_of(list(range(n * 9000, (n + 1) * 9000))), draw.integers(0, SHARDS, 9000)) for n in range(12)]
    found = []
    for memory_bytes in (MUCH, 1 << 20, 1 << 10):
        folder = tmp_path / str(memory_bytes)
        folder.mkdir()
        with Cutting(folder, SCHEMA, SHARDS, [["i", "s"]], memory_bytes=memory_bytes) as files:
            for batch, at in batches:
                files.add(batch, at)
            files.flush()
            found.append([files.finish(shard) for shard in range(SHARDS)])
    parts = [[part.file_digest for written in each for part in written.parts] for each in found]
    assert parts[0] == parts[1] == parts[2]
    whole, at = pa.Table.from_batches([batch for batch, _ in batches]), np.concatenate([each for _, each in batches])
    expected = [content_digest(whole.filter(pa.array(at == shard))) for shard in range(SHARDS)]
    assert [written.content_digest for written in found[0]] == expected


@pytest.mark.parametrize("module", ["shard", "spill"])
def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    def full(file: Any, data: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"muskox.store.disk.{module}.write_all", full)
    monkeypatch.setattr(cutting, "FILES_MAX", 128 if module == "shard" else 0)
    with pytest.raises(Unavailable, match="is full"), Cutting(tmp_path, SCHEMA, 2, [["i", "s"]], memory_bytes=MUCH) as files:
        files.add(batch_of([1, 2]), np.array([0, 1]))
        files.flush()
        files.finish(0)
