"""Snapshots read back: ours, compressed ones, and those that are not whole."""

import gzip
from pathlib import Path
from random import Random

import pytest
from folders import Folder
from world import World

from muskox.errors import Corrupt
from muskox.keeper.disk.loading import load
from muskox.keeper.disk.recovery import recover
from muskox.keeper.disk.snapshot import encode_snapshot, write_snapshot
from muskox.keeper.machine.database import Database
from muskox.keeper.wire.jute import NULL
from muskox.keeper.wire.records import Acl, Id

MUTATIONS = 1_000


def full_world() -> World:
    """Return a world with znodes of every kind that a snapshot can hold."""
    world = World()
    world.open(1)
    world.open(2, timeout_ms=20_000)
    world.create(1, "/ünïcode", "é".encode())
    world.create(1, "/a", b"")
    for index in range(3):
        world.create(1, f"/a/b{index}", bytes(index))
    world.delete(1, "/a/b1")
    world.create(2, "/mine", b"x", flags=1)
    world.create(1, "/container", b"", flags=4)
    world.create(1, "/a/b0/c", b"deep")
    return world


def test_what_is_written_is_read_and_written_again_to_the_byte(tmp_path: Path) -> None:
    image = full_world().machine.image()
    path = write_snapshot(tmp_path, image)
    tree, timeouts_ms, digest = load(path, image.zxid)
    again = Database(tree, timeouts_ms, image.zxid)
    assert again.image() == image
    assert digest == image.digest == again.digest
    assert b"".join(encode_snapshot(again.image())) == path.read_bytes()


def test_null_data_and_many_acls_come_back(tmp_path: Path) -> None:
    world = full_world()
    image = world.machine.image()
    nodes = dict(image.nodes)
    for index, path in enumerate(image.nodes):
        acl = tuple(Acl(1 + index % 31, Id("digest", f"user{index}:{'x' * 400 * index}")) for _ in range(1 + index % 3))
        nodes[path] = nodes[path]._replace(acl=acl)
    nodes["/mine"] = nodes["/mine"]._replace(answer=NULL + nodes["/mine"].stat_bytes)
    path = write_snapshot(tmp_path, image._replace(nodes=nodes))
    loaded = load(path, image.zxid).tree.nodes
    assert {path: node.acl for path, node in loaded.items()} == {path: node.acl for path, node in nodes.items()}
    assert loaded["/mine"].data is None
    assert loaded["/a"].data == b""


def test_a_snapshot_that_apache_has_compressed_with_gzip_is_read(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for path in folder.snapshots:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    for path in folder.logs:
        path.unlink()
    assert recover(tmp_path).database.image() == folder.images[9]
    cut = folder.snapshots[-1]
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(Corrupt, match=f"{cut.name} is no whole gzip file"):
        load(cut, 9)


def test_one_compressed_with_snappy_is_refused_by_the_name_of_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.9.snappy"
    path.write_bytes(b"\x82SNAPPY\0")
    with pytest.raises(Corrupt, match=r"zookeeper\.snapshot\.compression\.method"):
        load(path, 9)


def test_no_bytes_make_it_fail_in_any_other_way_than_by_saying_so(tmp_path: Path) -> None:
    image = full_world().machine.image()
    whole = b"".join(encode_snapshot(image))
    rng = Random(3)
    path = tmp_path / "snapshot.1"
    for _ in range(MUTATIONS):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 3))):
            at = rng.randrange(len(data))
            if rng.random() < 0.5:
                data[at] ^= 1 << rng.randrange(8)
            else:
                data[at : at + rng.randrange(8)] = rng.randbytes(rng.randrange(8))
        if data == whole:
            continue
        path.write_bytes(data[: rng.choice((len(data), rng.randrange(len(data))))])
        try:
            loaded = load(path, image.zxid)
        except Corrupt:
            continue
        # Only what is in no checksum's care, and says nothing, may differ: the head, and all behind the first seal.
        assert loaded.tree.nodes == image.nodes
