"""Datasets as pyarrow, DuckDB and Polars query them: the same rows, few bytes, on from another replica should a node die."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as arrow_parquet
import pytest
from store_cluster import KEY, StoreCluster

from muskox.coordination import layout, register
from muskox.errors import CallerError, Unavailable
from muskox.keeper import Keeper
from muskox.program import BLOCK_ROWS
from muskox.store import RegisterOptions, StoreClient, register_dataset, remove_dataset, this_host
from muskox.store.care.holds import readers
from muskox.store.readers.arrow_dataset import part_datasets, to_duckdb, to_polars, to_pyarrow_dataset, to_reader

ROWS = 6 * BLOCK_ROWS + 100
TABLE = pa.table(
    {
        "i": range(ROWS),
        "x": [i / 7 for i in range(ROWS)],
        "y": [None if i % 5 == 0 else -float(i) for i in range(ROWS)],
        's "q"': [f"value {i % 1000}" for i in range(ROWS)],
    }
)
GROUPS = 'ids:i,s "q"; rest:*'
TAILS = 2 * 3 * (16 << 10) + 10_000  # of each of three files, opened twice at most, and what Arrow says of each batch


class CountingClient(StoreClient):
    """It remembers the ranges that were asked for."""

    def __init__(self) -> None:
        super().__init__(KEY)
        self.ranges: list[int] = []

    def read_range(self, addresses: Any, digest: str, offset: int, count: int) -> bytes:
        self.ranges.append(count)
        return super().read_range(addresses, digest, offset, count)


class OneMachine(StoreCluster):
    """Nodes whose folders this process can read."""

    def enlist(self, name: str, address: str) -> None:
        place = {"folder": str(self.folder / name), "host": this_host()}
        record = layout.MemberRecord(
            name=name, folder_id=name, incarnation=address, address=address, pid=0, cores=1, fingerprint="", **place
        )
        register(self.session, record)


@pytest.fixture
def client(cluster: StoreCluster) -> CountingClient:
    """The client of a cluster whose nodes are, as far as it knows, on other machines."""
    client = CountingClient()
    cluster.client = cluster.home.client = client
    cluster.put("d", TABLE, shards=3, replicas=2)
    cluster.put("g", TABLE, shards=3, replicas=2, groups=GROUPS)
    return client


@pytest.fixture
def one_machine(keeper: Keeper, tmp_path: Path) -> Iterator[StoreCluster]:
    with OneMachine(keeper.hosts, tmp_path) as cluster:
        for name in ("ann", "bob"):
            cluster.add_node(name)
        cluster.put("d", TABLE, shards=3, replicas=2)
        cluster.put("g", TABLE, shards=3, replicas=1, groups=GROUPS)
        yield cluster


@pytest.mark.parametrize("name", ["d", "g"])
def test_pyarrow_reads_the_same_rows_in_the_same_order(cluster: StoreCluster, client: CountingClient, name: str) -> None:
    found = to_pyarrow_dataset(cluster.open(name))
    assert found.to_table().equals(TABLE)
    assert found.to_table(["y", "i"], filter=pc.field("x") > 1000).equals(TABLE.filter(pc.field("x") > 1000).select(["y", "i"]))
    assert found.count_rows() == ROWS
    assert to_pyarrow_dataset(cluster.open(name), ["y", "x"]).to_table().equals(TABLE.select(["y", "x"]))


def test_a_query_reads_the_ranges_of_its_columns_and_little_else(cluster: StoreCluster, client: CountingClient) -> None:
    found = to_pyarrow_dataset(cluster.open("d"))
    assert client.ranges == []
    assert found.to_table(["x"]).equals(TABLE.select(["x"]))
    assert 8 * ROWS <= sum(client.ranges) < 8 * ROWS + TAILS
    client.ranges.clear()
    found.to_table()
    assert sum(client.ranges) > 3 * 8 * ROWS


def test_columns_of_one_group_touch_no_other_group(cluster: StoreCluster, client: CountingClient) -> None:
    dataset = cluster.open("g")
    (found,) = part_datasets(dataset, ["i"])
    assert found.to_table().equals(TABLE.select(["i"]))
    assert sum(client.ranges) < 8 * ROWS + TAILS
    assert {len(part_datasets(dataset, columns)) for columns in (["x", "y"], ["y"])} == {1}
    assert len(part_datasets(dataset)) == 2


def test_files_of_this_machine_are_mapped_and_need_no_service(one_machine: StoreCluster) -> None:
    datasets = [one_machine.open(name) for name in ("d", "g")]
    for name in ("ann", "bob"):
        one_machine.stop_node(name)
    for dataset in datasets:
        assert to_pyarrow_dataset(dataset).to_table().equals(TABLE)
        assert to_polars(dataset).collect().columns == TABLE.column_names


def test_a_damaged_file_of_this_machine_is_not_used(one_machine: StoreCluster) -> None:
    dataset = one_machine.open("d")
    (part,) = dataset.shards[1].parts
    for name in ("ann", "bob"):
        path = one_machine.blobs(name).path(part.file_digest)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
        if name == "ann":
            assert to_pyarrow_dataset(dataset).to_table().equals(TABLE)
    with pytest.raises(Unavailable, match="other bytes than were written"):
        to_pyarrow_dataset(dataset).to_table()


@pytest.mark.parametrize("dead", ["ann", "bob", "cat"])
def test_a_query_goes_on_when_a_node_dies_between_two_ranges(cluster: StoreCluster, client: CountingClient, dead: str) -> None:
    batches = to_pyarrow_dataset(cluster.open("d")).to_batches(batch_readahead=0, fragment_readahead=0)
    first = next(batches)
    cluster.stop_node(dead)
    assert pa.Table.from_batches([first, *batches]).equals(TABLE)


def test_a_query_says_when_nobody_has_the_rows(cluster: StoreCluster, client: CountingClient) -> None:
    found = to_pyarrow_dataset(cluster.open("d"))
    for name in ("ann", "bob", "cat"):
        cluster.stop_node(name)
    with pytest.raises(Unavailable, match="no node can give blob"):
        found.to_table()


def test_the_version_is_held_for_as_long_as_somebody_can_query_it(cluster: StoreCluster, client: CountingClient) -> None:
    found = to_pyarrow_dataset(cluster.open("d"))
    table = found.to_table(["i"])
    assert list(readers(cluster.session)) == [("d", 1)]
    del found
    gc.collect()
    cluster.session.version(layout.HOLDS)  # requests of one session are served in their order
    assert readers(cluster.session) == {} and table.num_rows == ROWS
    dataset = cluster.open("d")
    remove_dataset(cluster.session, "d")
    with pytest.raises(CallerError, match="d@1 was removed"):
        to_pyarrow_dataset(dataset)
    assert readers(cluster.session) == {}


def test_a_version_s_files_can_only_be_read(cluster: StoreCluster, client: CountingClient) -> None:
    files = to_pyarrow_dataset(cluster.open("d")).filesystem
    assert [info.path for info in files.get_file_info(pa.fs.FileSelector(""))] == ["0-0.arrow", "1-0.arrow", "2-0.arrow"]
    assert files.get_file_info("7-0.arrow").type == pa.fs.FileType.NotFound
    for absent in ("7-0.arrow", "0-1.arrow", "x"):
        with pytest.raises(FileNotFoundError):
            files.open_input_file(absent)
    with pytest.raises(CallerError, match="d@1 cannot be changed"):
        files.delete_file("0-0.arrow")
    with files.open_input_file("0-0.arrow") as file:
        assert file.size() == files.get_file_info("0-0.arrow").size
        assert file.read(6) == b"ARROW1" and file.tell() == 6
        file.seek(file.size() - 6)
        assert file.read() == b"ARROW1" and file.read(1) == b""


@pytest.mark.parametrize("name", ["d", "g"])
def test_duckdb_queries_it_by_name_and_as_a_relation(cluster: StoreCluster, client: CountingClient, name: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        relation = to_duckdb(cluster.open(name), connection, "it's")
        assert relation.columns == TABLE.column_names
        assert relation.to_arrow_table().equals(TABLE)
        assert connection.sql('SELECT sum(i) FROM "it\'s" WHERE "s ""q""" = \'value 7\'').fetchall() == [
            (sum(range(7, ROWS, 1000)),)
        ]
        assert to_duckdb(cluster.open(name), connection).filter("i = 4").fetchall() == [(4, 4 / 7, -4.0, "value 4")]
        del relation


def test_duckdb_joins_groups_by_position_in_any_number_of_threads(cluster: StoreCluster, client: CountingClient) -> None:
    duckdb = pytest.importorskip("duckdb")
    cluster.put("many", TABLE, shards=23, replicas=1, groups=GROUPS)
    for threads in (1, 4, 16):
        with duckdb.connect(config={"threads": threads}) as connection:
            to_duckdb(cluster.open("many"), connection, "many")
            wrong = 'SELECT count(*) FROM many WHERE x <> i / 7 OR "s ""q""" <> \'value \' || (i % 1000) OR y <> -i'
            assert connection.execute(wrong).fetchall() == [(0,)]
            assert connection.execute("SELECT count(*), count(y), min(i), max(i) FROM many").fetchall() == [
                (ROWS, ROWS - len(range(0, ROWS, 5)), 0, ROWS - 1)
            ]
            assert connection.sql("SELECT i FROM many").to_arrow_table().equals(TABLE.select(["i"]))


@pytest.mark.parametrize(("name", "columns_read"), [("d", 1), ("g", 2)])
def test_duckdb_reads_the_columns_of_the_query(
    cluster: StoreCluster, client: CountingClient, name: str, columns_read: int
) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        to_duckdb(cluster.open(name), connection, "d")
        assert client.ranges == []
        assert connection.execute("SELECT sum(i) FROM d").fetchall() == [(sum(range(ROWS)),)]
        assert sum(client.ranges) < columns_read * (8 * ROWS + TAILS)


@pytest.mark.parametrize("name", ["d", "g"])
def test_polars_queries_it_lazily(cluster: StoreCluster, client: CountingClient, name: str) -> None:
    polars = pytest.importorskip("polars")
    frame = to_polars(cluster.open(name))
    assert frame.collect_schema().names() == TABLE.column_names and client.ranges == []
    assert frame.collect().equals(polars.from_arrow(TABLE))
    client.ranges.clear()
    assert frame.select(polars.col("i").sum()).collect().item() == sum(range(ROWS))
    assert sum(client.ranges) < len(cluster.open(name).groups) * (8 * ROWS + TAILS)
    found = frame.filter(polars.col("x") < 1).select("y").collect()
    assert found["y"].to_list() == TABLE.filter(pc.field("x") < 1)["y"].to_pylist()
    assert to_polars(cluster.open(name), ["y", "i"]).collect().columns == ["y", "i"]


def test_a_reader_gives_the_scan(cluster: StoreCluster, client: CountingClient) -> None:
    reader = to_reader(cluster.open("g"), ["y", "i"])
    assert reader.schema.names == ["y", "i"]
    assert reader.read_all().equals(TABLE.select(["y", "i"]))


def test_shards_may_be_empty(cluster: StoreCluster) -> None:
    cluster.put("one", TABLE.slice(9, 1), shards=4, groups=GROUPS, by="hash:i")
    assert to_pyarrow_dataset(cluster.open("one"), ["x"]).to_table().equals(TABLE.select(["x"]).slice(9, 1))
    assert to_polars(cluster.open("one")).collect().rows() == [(9, 9 / 7, -9.0, "value 9")]
    with pytest.raises(CallerError, match="no column 'nope'"):
        to_pyarrow_dataset(cluster.open("one"), ["nope"])


def test_a_dataset_registered_in_place_is_queried_too(cluster: StoreCluster, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    polars = pytest.importorskip("polars")
    folder = tmp_path / "parquet"
    folder.mkdir()
    arrow_parquet.write_table(TABLE, folder / "a.parquet", row_group_size=BLOCK_ROWS)
    register_dataset(cluster.home, "p", folder.as_uri(), RegisterOptions(shards=3))
    dataset = cluster.open("p")
    assert to_pyarrow_dataset(dataset, ["x", "i"]).to_table().equals(TABLE.select(["x", "i"]))
    assert to_polars(dataset).collect().equals(polars.from_arrow(TABLE))
    with duckdb.connect() as connection:
        assert to_duckdb(dataset, connection).to_arrow_table().equals(TABLE)
