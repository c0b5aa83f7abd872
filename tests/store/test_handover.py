"""A node of this machine takes a file that is laid into its folder: checked, durable, its own; or the file is uploaded."""

import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from store_cluster import KEY, StoreCluster

from muskox.coordination import layout, register
from muskox.errors import CallerError, Corrupt, MuskoxError, Unavailable
from muskox.store import BlobStore, NodeHome, PutOptions, StoreClient, StoreServer, put_dataset, this_host
from muskox.store.disk.blobs import file_digest
from muskox.store.service.handover import ADOPT, hand_over

TABLE = pa.table({"key": [f"k{i % 97}" for i in range(50_000)], "i": range(50_000)})
NAME = "0123456789abcdef" * 2


class HandsOnly(StoreClient):
    """A client that uploads no file."""

    def put_blob(self, address: str, data: bytes | Path, digest: str | None = None) -> str:
        assert not isinstance(data, Path), "a file is uploaded that could have been handed over"
        return super().put_blob(address, data, digest)


def at_home(cluster: StoreCluster, folder: Path | None = None) -> None:
    """Let the cluster's nodes say that they run here, and that their folder is theirs or `folder`."""
    for name, server in cluster.servers.items():
        cluster.delist(name)
        record = layout.MemberRecord(
            name=name, folder_id=name, incarnation=server.address, address=server.address, pid=0, cores=1, fingerprint="",
            folder=str(folder or cluster.folder / name), host=this_host(),
        )  # fmt: skip
        register(cluster.session, record)


@pytest.mark.skipif(not this_host(), reason="this machine does not say which one it is")
def test_a_put_hands_its_files_to_nodes_of_this_machine_and_no_two_replicas_are_one_file(cluster: StoreCluster) -> None:
    at_home(cluster)
    (cluster.folder / "temporary").mkdir()
    options = PutOptions(shards=5, by="hash:key", replicas=3, folder=cluster.folder / "temporary")
    with HandsOnly(KEY) as client:
        put_dataset(NodeHome(cluster.session, client), "d", TABLE, options)
    dataset = cluster.open("d")
    assert {health.state for health in dataset.verify()} == {"good"}
    assert dataset.to_arrow().num_rows == 50_000
    for entry in dataset.shards:
        files = [cluster.blobs(name).path(entry.parts[0].file_digest).stat() for name in cluster.servers]
        assert len({file.st_ino for file in files}) == 3 and {file.st_nlink for file in files} == {1}
    assert all(list((cluster.folder / name / "blobs" / "arriving").iterdir()) == [] for name in cluster.servers)
    assert list((cluster.folder / "temporary").iterdir()) == []


@pytest.mark.skipif(not this_host(), reason="this machine does not say which one it is")
@pytest.mark.parametrize("what", ["no folder", "not its folder"])
def test_where_a_file_cannot_be_handed_over_it_is_uploaded(cluster: StoreCluster, tmp_path: Path, what: str) -> None:
    other = tmp_path / "other"
    if what == "not its folder":
        BlobStore(other)
    at_home(cluster, other)
    cluster.put("d", TABLE, shards=3, replicas=2)
    assert {health.state for health in cluster.open("d").verify()} == {"good"}
    assert not other.exists() or [path for path in other.rglob("*") if path.is_file()] == []


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "node")


def test_a_file_on_the_same_disk_is_linked_and_its_time_is_that_of_its_coming(blobs: BlobStore, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_bytes(b"rows")
    os.utime(path, (1, 1))
    digest = file_digest(path)
    began_ns = time.time_ns() - 10**8  # a file system's clock ticks more coarsely
    with StoreServer(blobs, key=KEY) as server, StoreClient(KEY) as client:
        assert hand_over(client, server.address, blobs.folder, path, digest)
    taken = blobs.path(digest).stat()
    assert taken.st_ino == path.stat().st_ino and taken.st_mtime_ns > began_ns
    assert blobs.read(digest) == b"rows"


def lay_other_bytes(laid: Path) -> None:
    laid.write_bytes(b"other rows")


def lay_link(laid: Path) -> None:
    laid.with_name("target").write_bytes(b"rows")
    laid.symlink_to(laid.with_name("target"))


def lay_pipe(laid: Path) -> None:
    os.mkfifo(laid)


@pytest.mark.parametrize(
    ("lay", "error", "complaint"),
    [
        (lay_other_bytes, Corrupt, "handed over with other bytes"),
        (lay_link, Unavailable, "cannot write"),
        (lay_pipe, Unavailable, "is no file of the node's user"),
        (lambda _: None, Unavailable, "No such file"),
    ],
)
def test_only_a_plain_file_with_the_digest_that_is_told_becomes_a_blob(
    blobs: BlobStore, tmp_path: Path, lay: Any, error: type[MuskoxError], complaint: str
) -> None:
    (tmp_path / "rows").write_bytes(b"rows")
    digest = file_digest(tmp_path / "rows")
    lay(blobs.arriving(NAME))
    with pytest.raises(error, match=complaint):
        blobs.adopt(NAME, digest)
    assert not blobs.has(digest)


@pytest.mark.parametrize("name", ["", "../../escape", NAME.upper(), NAME + "0", "x" * 32])
def test_a_name_that_could_lead_elsewhere_is_refused(blobs: BlobStore, name: str) -> None:
    with StoreServer(blobs, key=KEY) as server, StoreClient(KEY) as client:
        body = f'{{"digest": "{"0" * 64}", "name": "{name}"}}'.encode()
        with pytest.raises(CallerError, match="is no name of a file that arrives"):
            client.action(server.address, ADOPT, body)


def test_a_node_that_refuses_keeps_nothing(blobs: BlobStore, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_bytes(b"rows")
    with StoreServer(blobs, key=KEY) as server, StoreClient(KEY) as client:
        assert not hand_over(client, server.address, blobs.folder, path, "0" * 64)
    assert blobs.digests() == [] and list((blobs.folder / "blobs" / "arriving").iterdir()) == []
    assert path.read_bytes() == b"rows" and path.stat().st_nlink == 1
