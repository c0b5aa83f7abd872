"""Rows wait on disk for their shard, in order, whatever the size of what is gathered."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muskox.errors import Unavailable
from muskox.store import arrow_schema
from muskox.store import spill as spill_module
from muskox.store.spill import Spill

SCHEMA = arrow_schema({"i": "int", "s": "string"})


def batch_of(values: list[int]) -> Any:
    return pa.record_batch({"i": pa.array(values, pa.int64()), "s": [f"row {value}" for value in values]}, schema=SCHEMA)


@pytest.mark.parametrize("spill_bytes", [1, 200, 1 << 30])
@settings(max_examples=30)
@given(batches=st.lists(st.lists(st.integers(0, 4), max_size=30), max_size=6))
def test_each_shard_gets_its_rows_in_order(
    tmp_path_factory: pytest.TempPathFactory, spill_bytes: int, batches: list[list[int]]
) -> None:
    path = tmp_path_factory.mktemp("spill") / "rows"
    expected: dict[int, list[int]] = {shard: [] for shard in range(5)}
    with pytest.MonkeyPatch.context() as patch, Spill(path, SCHEMA, 5) as spill:
        patch.setattr(spill_module, "SPILL_BYTES", spill_bytes)
        row = 0
        for shards in batches:
            rows = list(range(row, row + len(shards)))
            row += len(shards)
            spill.add(batch_of(rows), np.array(shards, np.int64))
            for shard, value in zip(shards, rows, strict=True):
                expected[shard].append(value)
        spill.flush()
        for shard, values in expected.items():
            found = [value for batch in spill.batches(shard) for value in batch.column("i").to_pylist()]
            assert found == values and spill.has_rows(shard) == bool(values)
    assert not path.exists()


def test_a_full_disk_is_said_and_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Any, data: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spill_module, "write_all", full)
    with pytest.raises(Unavailable, match="is full"), Spill(tmp_path / "rows", SCHEMA, 5) as spill:
        spill.add(batch_of([1, 2]), np.array([0, 1]))
        spill.flush()
    assert list(tmp_path.iterdir()) == []
