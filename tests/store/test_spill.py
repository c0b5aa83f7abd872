"""Rows wait on disk for their shard, in order."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muskox.errors import Unavailable
from muskox.store import arrow_schema
from muskox.store.disk import spill as spill_module
from muskox.store.disk.spill import Spill

SCHEMA = arrow_schema({"i": "int", "s": "string"})


def batch_of(values: list[int]) -> Any:
    return pa.record_batch({"i": pa.array(values, pa.int64()), "s": [f"row {value}" for value in values]}, schema=SCHEMA)


@settings(max_examples=30, deadline=None)
@given(runs=st.lists(st.tuples(st.integers(0, 4), st.lists(st.integers(), max_size=9).map(len)), max_size=20))
def test_each_shard_gets_its_rows_in_order(tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[int, int]]) -> None:
    path = tmp_path_factory.mktemp("spill") / "rows"
    expected: dict[int, list[int]] = {shard: [] for shard in range(5)}
    with Spill(path, SCHEMA, 5) as spill:
        row = 0
        for shard, count in runs:
            spill.add(shard, batch_of(list(range(row, row + count))))
            expected[shard].extend(range(row, row + count))
            row += count
        for shard, values in expected.items():
            assert [value for batch in spill.batches(shard) for value in batch.column("i").to_pylist()] == values
    assert not path.exists()


def test_a_full_disk_is_said_and_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Any, data: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spill_module, "write_all", full)
    with pytest.raises(Unavailable, match="is full"), Spill(tmp_path / "rows", SCHEMA, 5) as spill:
        spill.add(1, batch_of([1, 2]))
    assert list(tmp_path.iterdir()) == []
