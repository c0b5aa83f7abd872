"""What a Python program reads of a dataset of a real cluster: rows, frames, queries, tensors; its nodes on this machine."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

import muskox as mx
from muskox.engines import ClusterDataset
from muskox.errors import CallerError

TABLE = pa.table({"i": range(50_000), "x": [i / 7 for i in range(50_000)], "s": [f"value {i % 100}" for i in range(50_000)]})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with mx.local(nodes=2, dir=tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module", params=["", "ids:i; rest:*"])
def dataset(cluster: Any, request: pytest.FixtureRequest) -> ClusterDataset:
    opened: ClusterDataset = cluster.put(f"d{len(request.param)}", TABLE, shards=3, replicas=2, groups=request.param)
    return opened


def test_its_rows_come_as_whatever_is_asked_for(dataset: ClusterDataset) -> None:
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    assert len(dataset) == dataset.rows == 50_000
    assert pa.Table.from_batches(dataset.scan(["s", "i"], 999)).equals(TABLE.select(["s", "i"]))
    assert next(dataset.scan(first_row=40_000)).column("i")[0].as_py() == 40_000
    assert dataset.to_arrow().equals(TABLE) and pa.table(dataset).equals(TABLE)
    assert dataset.to_pandas(["x"])["x"].tolist() == TABLE["x"].to_pylist()
    assert dataset.to_pyarrow_dataset(["x"]).to_table().equals(TABLE.select(["x"]))
    assert dataset.to_polars().filter(polars.col("i") == 77).collect().rows() == [(77, 11.0, "value 77")]
    assert polars.DataFrame(dataset).equals(polars.from_arrow(TABLE))
    with duckdb.connect() as connection:
        dataset.to_duckdb(connection, "d")
        assert connection.execute("SELECT count(*), max(x) FROM d WHERE s = 'value 7'").fetchall() == [(500, 49_907 / 7)]


def test_it_tells_where_it_lies_and_that_it_is_whole(dataset: ClusterDataset) -> None:
    assert [sorted(dataset.nodes(shard)) for shard in range(3)] == [["node-1", "node-2"]] * 3
    assert [column for group in dataset.groups.values() for column in group] == ["i", "x", "s"]
    assert {health.state for health in dataset.verify()} == {"good"}


def test_torch_trains_on_it_and_goes_on_where_it_stopped(dataset: ClusterDataset) -> None:
    torch = pytest.importorskip("torch")
    rows = dataset.to_torch(["i", "x"], 4096, seed=1, dtype=torch.float32)
    found = [batch["i"] for batch in rows]
    assert sorted(torch.cat(found).tolist()) == list(range(50_000))
    again = dataset.to_torch(["i", "x"], 4096, seed=1, dtype=torch.float32)
    batches = iter(again)
    next(batches)
    third = dataset.to_torch(["i", "x"], 4096, seed=1, dtype=torch.float32)
    third.load_state_dict(again.state_dict())
    assert all(one["i"].equal(other) for one, other in zip(third, found[1:], strict=True))


def test_what_is_not_installed_is_named(dataset: ClusterDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(CallerError, match="pip install duckdb"):
        dataset.to_duckdb()


def test_neither_torch_nor_duckdb_nor_polars_is_imported_unless_asked_for() -> None:
    code = "import sys, muskox.engines.nodes; print([m for m in ('torch', 'duckdb', 'polars') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
