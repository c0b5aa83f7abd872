"""Files are shared: Apache ZooKeeper goes on from a folder of ours, and we from one of Apache's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apache import REASON, Apache, is_installed
from kazoo.client import KazooClient
from kazoo.security import make_acl, make_digest_acl
from raw import RawClient

from muskox.keeper import Keeper

pytestmark = pytest.mark.skipif(not is_installed(), reason=REASON)

Server = Keeper | Apache
MISMATCH = "digest differs"


def live(server: Server) -> tuple[int, bytes]:
    """Make every kind of transaction, and leave one session open: return what resumes it."""
    client = KazooClient(server.hosts)
    client.start()
    client.create("/plain", b"x" * 1000)
    client.create("/empty", b"")
    for index in range(30):
        client.create("/many/node-", str(index).encode(), sequence=True, makepath=True)
    for name in client.get_children("/many")[::3]:
        client.delete(f"/many/{name}")
    client.set("/plain", b"changed")
    client.set("/", b"root")
    client.set("/zookeeper/quota", b"")
    client.set_acls("/empty", [make_digest_acl("u", "p", all=True), make_acl("world", "anyone", read=True)])
    client.create("/locked", b"", acl=[make_digest_acl("u", "p", all=True), make_acl("world", "anyone", read=True)])
    client.create("/ünïcode", "é".encode())
    client.create("/gone", b"", ephemeral=True)
    transaction = client.transaction()
    transaction.create("/multi", b"1")
    transaction.create("/multi/a", b"2")
    transaction.set_data("/multi", b"3")
    transaction.delete("/multi/a")
    transaction.check("/multi", 1)
    assert all(not isinstance(result, Exception) for result in transaction.commit())
    failing = client.transaction()
    failing.create("/never", b"")
    failing.check("/multi", 77)
    failing.commit()
    client.stop()
    client.close()
    with RawClient(server.port) as open_one:
        open_one.connect(timeout_ms=30_000)
        assert open_one.create("/mine", b"", flags=1).err == 0
        return open_one.session_id, open_one.password


def dump(server: Server) -> dict[str, Any]:
    """Return the whole tree with every Stat field and ACL."""
    client = KazooClient(server.hosts)
    client.start()

    def walk(path: str) -> Iterator[tuple[str, Any]]:
        yield path, (*client.get(path), client.get_acls(path)[0])
        for name in sorted(client.get_children(path)):
            yield from walk(f"{path.rstrip('/')}/{name}")

    tree = dict(walk("/"))
    client.stop()
    client.close()
    return tree


def check_handover(before: Server, after: Server) -> None:
    """Let `after` go on from what `before` left when it was killed: same tree, and the session goes on."""
    session_id, password = live(before)
    tree = dump(before)
    before.kill()
    after.start()
    assert dump(after) == tree
    with RawClient(after.port) as client:
        client.connect(session_id=session_id, password=password, timeout_ms=30_000)
        assert client.session_id == session_id
        assert client.set("/plain", b"on").err == 0
        assert client.delete("/mine").err == 0


@pytest.mark.parametrize("snap_count", [100_000, 20], ids=["from the log", "from snapshots"])
def test_apache_goes_on_from_our_folder(tmp_path: Path, snap_count: int) -> None:
    with Keeper(data_dir=tmp_path / "data", snap_count=snap_count) as keeper, KeptApache(tmp_path / "data") as apache:
        check_handover(keeper, apache)


@pytest.mark.parametrize(
    "properties",
    [{}, {"snapCount": 20}, {"snapCount": 20, "snapshot.compression.method": "gz"}],
    ids=["from the log", "from snapshots", "from compressed snapshots"],
)
def test_we_go_on_from_apaches_folder(tmp_path: Path, properties: dict[str, object]) -> None:
    with KeptApache(tmp_path / "data", properties) as apache:
        apache.start()
        keeper = Keeper(data_dir=tmp_path / "data")
        try:
            check_handover(apache, keeper)
            if "snapshot.compression.method" in properties:
                assert list(tmp_path.glob("data/version-2/snapshot.*.gz"))
        finally:
            keeper.stop()
    assert MISMATCH not in (tmp_path / "data" / "keeper.out").read_text(encoding="utf-8")


def test_a_folder_goes_to_apache_and_back(tmp_path: Path) -> None:
    keeper = Keeper(data_dir=tmp_path / "data")
    with KeptApache(tmp_path / "data") as apache:
        try:
            keeper.start()
            check_handover(keeper, apache)
            tree = dump(apache)
            apache.kill()
            keeper.start()
            assert dump(keeper) == tree
        finally:
            keeper.stop()
    assert MISMATCH not in (tmp_path / "data" / "keeper.out").read_text(encoding="utf-8")


class KeptApache(Apache):
    """An Apache that is not started before it is told to be."""

    def __init__(self, data_dir: Path, properties: dict[str, object] | None = None) -> None:
        java = {f"zookeeper.{key}": str(value) for key, value in (properties or {}).items()}
        super().__init__(data_dir=data_dir, properties=java)

    def __enter__(self) -> "KeptApache":
        return self
