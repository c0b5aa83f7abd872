"""Reading a dataset from whichever replicas answer, and what is said about their health."""

from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest
from store_cluster import StoreCluster

from muskox.coordination import layout
from muskox.coordination import stored as records
from muskox.errors import CallerError, Unavailable
from muskox.program import BLOCK_ROWS, Block, Manifest
from muskox.store import BlobCache, BlobStore, ReplicaHealth, open_shard

TABLE = pa.table({"i": range(3 * BLOCK_ROWS), "s": [f"value {i % 1000}" for i in range(3 * BLOCK_ROWS)]})


@pytest.fixture
def stored(cluster: StoreCluster) -> StoreCluster:
    cluster.put("d", TABLE, shards=4, replicas=2)
    return cluster


def damage(cluster: StoreCluster, node: str, digest: str) -> None:
    path = cluster.blobs(node).path(digest)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 16
    path.write_bytes(data)


def test_what_is_known_of_a_dataset(stored: StoreCluster) -> None:
    dataset = stored.open("d@1")
    assert (dataset.name, dataset.version, dataset.reference, dataset.rows) == ("d", 1, "d@1", TABLE.num_rows)
    assert dataset.columns == {"i": "int", "s": "string"}
    assert dataset.manifest == Manifest({"i": "int", "s": "string"}, (12288,) * 4)
    assert len(dataset.digest) == 64 and len(dataset.shards) == 4


def test_columns_and_shards_are_selected(stored: StoreCluster) -> None:
    dataset = stored.open("d")
    assert dataset.to_arrow().equals(TABLE.combine_chunks())
    assert dataset.to_arrow(["s"]).equals(TABLE.select(["s"]).combine_chunks())
    rows = [value for batch in dataset.scan(["i"], [2, 0]) for value in batch.column(0).to_pylist()]
    assert rows == [*range(24576, 36864), *range(12288)]
    for columns, shards in [(["nope"], None), (None, [4]), (None, [-1])]:
        with pytest.raises(CallerError, match=r"no column 'nope'|no shard"):
            list(dataset.scan(columns, shards))


@pytest.mark.parametrize("dead", ["ann", "bob", "cat"])
def test_any_one_node_may_be_dead(stored: StoreCluster, dead: str) -> None:
    opened_before = stored.open("d")
    stored.stop_node(dead)
    assert stored.open("d").to_arrow().equals(TABLE.combine_chunks())
    assert opened_before.to_arrow().equals(TABLE.combine_chunks())
    states = {(health.node == dead, health.state) for health in opened_before.verify()}
    assert states == {(True, "unreachable"), (False, "good")}
    stored.delist(dead)
    assert {h.state for h in opened_before.verify() if h.node == dead} == {"unreachable"}


def test_a_node_is_found_again_at_another_address(stored: StoreCluster) -> None:
    dataset = stored.open("d")
    dataset.to_arrow()
    for name in ("ann", "bob", "cat"):
        stored.stop_node(name)
        stored.delist(name)
    with pytest.raises(Unavailable, match="no node can give shard"):
        dataset.to_arrow()
    for name in ("ann", "bob", "cat"):
        stored.add_node(name)
    assert dataset.to_arrow().equals(TABLE.combine_chunks())


def test_a_flipped_bit_is_reported_and_read_around(stored: StoreCluster) -> None:
    dataset = stored.open("d")
    (part,) = dataset.shards[1].parts
    first, second = dataset.nodes(1)
    damage(stored, first, part.file_digest)
    assert dataset.to_arrow().equals(TABLE.combine_chunks())
    bad = [health for health in dataset.verify() if health.state != "good"]
    assert bad == [ReplicaHealth(1, first, part.file_digest, "corrupt")]
    stored.blobs(first).delete(part.file_digest)
    assert [health.state for health in dataset.verify() if health.shard == 1] == ["missing", "good"]
    damage(stored, second, part.file_digest)
    with pytest.raises(Unavailable, match="other bytes than were written"):
        dataset.to_arrow()


def test_a_damaged_manifest_is_read_from_its_other_replica(stored: StoreCluster) -> None:
    from muskox.store import find_dataset

    record = find_dataset(stored.session, "d").record
    place, _ = stored.session.get(layout.manifest_placement("d", 1), records.ManifestPlacement, "manifest")
    assert len(place.nodes) == 2
    damage(stored, place.nodes[0], record.manifest)
    assert stored.open("d").rows == TABLE.num_rows
    damage(stored, place.nodes[1], record.manifest)
    with pytest.raises(Unavailable, match=record.manifest):
        stored.open("d")


def test_a_worker_reads_a_shard_from_a_file_it_fetched(stored: StoreCluster) -> None:
    dataset = stored.open("d")
    none, cache = BlobStore(stored.folder / "none"), BlobCache(BlobStore(stored.folder / "cache"), 1 << 30)
    with ExitStack() as held:
        shard = open_shard(dataset.bring(3, [], none, cache, held), 3)
    assert shard.rows == 12288 and [value for block in shard.blocks for value in block["i"]] == list(range(36864, 49152))
    assert all(isinstance(block, Block) for block in shard.blocks)


@pytest.mark.parametrize("becomes", ["dropped", "damaged"])
def test_a_local_file_that_goes_before_it_is_opened_is_read_from_another_node(
    stored: StoreCluster, monkeypatch: pytest.MonkeyPatch, becomes: str
) -> None:
    dataset = stored.open("d")
    (part,) = dataset.shards[2].parts
    holder = dataset.nodes(2)[0]
    found: list[Path] = []

    def local_path(shard: int, group: int = 0) -> Path:
        found.append(stored.blobs(holder).path(part.file_digest))
        if becomes == "dropped":
            stored.blobs(holder).delete(part.file_digest)
        else:
            damage(stored, holder, part.file_digest)
        return found[-1]

    monkeypatch.setattr(dataset, "local_path", local_path)
    rows = pa.Table.from_batches(dataset.read_shard(2, first_row=5000))
    assert found and rows.equals(TABLE.slice(2 * 12288 + 5000, 12288 - 5000).combine_chunks())
