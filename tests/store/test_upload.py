"""Where the parts of a put end up, and how long a put has patience with a node."""

from pathlib import Path

import pytest
from store_cluster import StoreCluster

from muskox.errors import CallerError, Unavailable
from muskox.store.upload import NodeUploads

PART = b"rows of a part"


class Stubborn:
    """A client whose nodes refuse the first `refusals` orders to fetch."""

    def __init__(self, cluster: StoreCluster, refusals: int, error: Exception) -> None:
        self._client = cluster.client
        self._refusals = refusals
        self._error = error
        self.orders: list[str] = []

    def put_blob(self, address: str, data: bytes | Path, digest: str | None = None) -> str:
        return self._client.put_blob(address, data, digest)

    def fetch_to(self, address: str, digest: str, sources: list[str], size: int) -> None:
        self.orders.append(address)
        if len(self.orders) <= self._refusals:
            raise self._error
        self._client.fetch_to(address, digest, sources, size)


def uploads_on(cluster: StoreCluster, client: Stubborn, tmp_path: Path) -> tuple[NodeUploads, str, str]:
    """Return a put of one run of two shards that lies on two nodes; the second part is only on the other one."""
    uploads = NodeUploads(cluster.home.directory, client, 1)
    uploads.begin([""], 2)
    uploads._level = 1
    path = tmp_path / "part"
    path.write_bytes(PART)
    uploads.upload((0, 0), path, cluster.client.put_blob(cluster.servers["ann"].address, path))
    (holder,) = uploads._stored[0, 0].nodes
    other = next(name for name in sorted(cluster.servers) if name != holder)
    adopted = cluster.client.put_blob(cluster.servers[other].address, b"what lies elsewhere")
    uploads.adopt((0, 1), adopted, 19, [other])
    return uploads, holder, adopted


def test_a_node_that_is_busy_fetching_is_asked_again(
    cluster: StoreCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muskox.store.upload.BRING_PAUSE_S", 0.001)
    client = Stubborn(cluster, 5, Unavailable("this node fetches 4 blobs already"))
    uploads, _, adopted = uploads_on(cluster, client, tmp_path)
    (held,) = uploads.settle()
    (nodes,) = held.runs
    assert len(client.orders) == 6
    stored = uploads._stored[0, 0].digest
    assert all(cluster.blobs(node).has(adopted) and cluster.blobs(node).has(stored) for node in nodes)
    assert uploads.settle() == [held] and len(client.orders) == 6, "what was fetched is fetched once"


def test_patience_with_a_busy_node_ends(cluster: StoreCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muskox.store.upload.BRING_S", 0.2)
    client = Stubborn(cluster, 1000, Unavailable("this node fetches 4 blobs already"))
    uploads, _, _ = uploads_on(cluster, client, tmp_path)
    with pytest.raises(Unavailable, match="cannot fetch what lies on other nodes of its run: this node fetches 4 blobs"):
        uploads.settle()
    assert 1 < len(client.orders) < 10


def test_an_order_that_is_wrong_is_not_given_twice(cluster: StoreCluster, tmp_path: Path) -> None:
    client = Stubborn(cluster, 1000, CallerError("no such thing"))
    uploads, _, _ = uploads_on(cluster, client, tmp_path)
    with pytest.raises(Unavailable, match="no such thing"):
        uploads.settle()
    assert len(client.orders) == 1


def test_a_part_is_fetched_from_a_node_that_came_after_the_beginning(cluster: StoreCluster, tmp_path: Path) -> None:
    client = Stubborn(cluster, 0, CallerError("never"))
    uploads, _, _ = uploads_on(cluster, client, tmp_path)
    cluster.add_node("dan")
    moved = cluster.client.put_blob(cluster.servers["dan"].address, b"moved to dan")
    uploads.adopt((0, 1), moved, 12, ["dan"])
    (held,) = uploads.settle()
    assert all(cluster.blobs(node).has(moved) for node in held.runs[0])
