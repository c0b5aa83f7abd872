"""Quotas count what lies under them, whatever happens, and refuse what they should."""

from random import Random

import pytest
from raw import OPEN
from world import SETTINGS, World, replayed

from muskox.errors import PeerError
from muskox.keeper.disk.loading import Decoder
from muskox.keeper.disk.snapshot import encode_snapshot
from muskox.keeper.machine.database import Database
from muskox.keeper.machine.excess import NAMESPACES_MAX, Excess
from muskox.keeper.machine.quota import decode_track, encode_track
from muskox.keeper.machine.tree import Tree
from muskox.keeper.wire.jute import encode
from muskox.keeper.wire.multi import DONE
from muskox.keeper.wire.opcodes import ErrorCode, OpCode
from muskox.keeper.wire.records import CreateRequest, MultiHeader, PathVersion, SetDataRequest

QUOTA = "/zookeeper/quota"
ENFORCING = SETTINGS._replace(enforce_quota=True)


def quota_world(syncs: bool = True) -> World:
    world = World(settings=ENFORCING)
    world.open(1)
    world.syncs = syncs
    return world


def set_quota(world: World, path: str, limits: bytes) -> None:
    names = path.split("/")[1:]
    for depth in range(len(names)):
        world.create(1, f"{QUOTA}/{'/'.join(names[: depth + 1])}")
    assert world.create(1, f"{QUOTA}{path}/zookeeper_limits", limits) == 0
    assert world.create(1, f"{QUOTA}{path}/zookeeper_stats") == 0


def counted(tree: Tree, path: str) -> tuple[int, int]:
    track = decode_track(tree.nodes[f"{QUOTA}{path}/zookeeper_stats"].data)
    return track["count"], track["bytes"]


def under(tree: Tree, top: str) -> tuple[int, int]:
    nodes = [node for path, node in tree.nodes.items() if path == top or path.startswith(f"{top}/")]
    return len(nodes), sum(len(node.data or b"") for node in nodes)


@pytest.mark.parametrize(
    ("text", "track"),
    [
        (b"", {}),
        (b"count=4,bytes=5", {"count": 4, "bytes": 5}),
        (
            b"count=4,bytes=5=;countHardLimit=10;byteHardLimit=-1",
            {"count": 4, "bytes": 5, "countHardLimit": 10, "byteHardLimit": -1},
        ),
        (b"count==1", {"count": -1}),
        (b"count=1,,;bytes=9;", {"count": 1, "bytes": 9}),
    ],
)
def test_numbers_of_a_quota_are_read_as_apache_reads_them(text: bytes, track: dict[str, int]) -> None:
    assert decode_track(text) == track
    assert decode_track(encode_track(track)) == {"count": -1, "bytes": -1} | track


@pytest.mark.parametrize("text", [None, b"count", b"count=", b"count=x", b"count= 1", b",count=1", b"\xff=\xff"])
def test_what_is_no_number_is_the_peers_fault(text: bytes | None) -> None:
    with pytest.raises(PeerError):
        decode_track(text)


def test_numbers_are_written_with_the_sign_that_old_parsers_need() -> None:
    assert encode_track({}) == b"count=-1,bytes=-1"
    hard = {"bytes": 2, "countHardLimit": 3, "byteHardLimit": 4}
    assert encode_track(hard) == b"count=-1,bytes=2=;byteHardLimit=4;countHardLimit=3"


@pytest.mark.parametrize("seed", range(4))
def test_the_count_is_what_lies_there_whatever_was_written(seed: int) -> None:
    world = quota_world()
    rng = Random(seed)
    paths = ["/a", "/a/b", "/a/b/c", "/a/d", "/ab", "/x"]
    world.create(1, "/a", b"first")
    world.create(1, "/a/b", b"second")
    set_quota(world, "/a", b"count=5,bytes=30")
    set_quota(world, "/x/y", b"count=5,bytes=30")
    for _ in range(300):
        path, data = rng.choice(paths), b"x" * rng.randrange(9)
        kind, record = rng.choice(
            [
                (OpCode.CREATE, CreateRequest(path, data, OPEN, rng.choice([0, 1, 2]))),
                (OpCode.DELETE, PathVersion(path, -1)),
                (OpCode.SET_DATA, SetDataRequest(path, rng.choice([data, None]), rng.choice([-1, 1]))),
            ]
        )
        if rng.random() < 0.3:
            parts = [(kind, record), (OpCode.CREATE, CreateRequest("/x/y", data, OPEN, 0))]
            body = b"".join(encode(MultiHeader(each, False, -1)) + encode(part) for each, part in parts) + DONE
            world.ask(1, OpCode.MULTI, body)
        else:
            world.ask(1, kind, record)
        if rng.random() < 0.05:
            world.ask(1, OpCode.CLOSE_SESSION)
            world.lose(1)
            world.open(1)
        tree = world.machine.database.tree
        for top in ("/a", "/x/y"):
            if top in tree.nodes:
                assert counted(tree, top) == under(tree, top)
    assert replayed(world.log()).tree.nodes == world.machine.database.tree.nodes


def test_a_snapshot_is_counted_anew() -> None:
    world = quota_world()
    world.create(1, "/a", b"12345")
    set_quota(world, "/a", b"count=5,bytes=30")
    world.set(1, f"{QUOTA}/a/zookeeper_stats", b"count=77,bytes=88")
    image = world.machine.image()
    loaded = Decoder("snapshot.1", b"".join(encode_snapshot(image))).load(image.zxid)
    database = Database(loaded.tree, loaded.timeouts_ms, image.zxid)
    assert counted(database.tree, "/a") == (1, 5)
    assert not database.overlay.is_plain
    assert not database.overlay.pending
    assert database.digest == world.machine.database.digest


def test_writes_on_their_way_count() -> None:
    world = quota_world()
    set_quota(world, "/a", b"count=-1,bytes=-1=;countHardLimit=2")
    world.syncs = False
    for path in ("/a", "/a/1", "/a/2"):
        world.put(1, OpCode.CREATE, CreateRequest(path, b"", OPEN, 0))
    world.sync()
    assert [reply.err for reply in world.take(1)] == [0, 0, ErrorCode.QUOTA_EXCEEDED]


def test_parts_of_one_multi_count_together() -> None:
    """Apache looks at each part alone, so that a multi may exceed a hard quota there."""
    world = quota_world()
    set_quota(world, "/a", b"count=-1,bytes=-1=;countHardLimit=2")
    parts = [(OpCode.CREATE, CreateRequest(path, b"", OPEN, 0)) for path in ("/a", "/a/1", "/a/2")]
    body = b"".join(encode(MultiHeader(kind, False, -1)) + encode(part) for kind, part in parts) + DONE
    assert ErrorCode.QUOTA_EXCEEDED.to_bytes(4, "big", signed=True) in world.ask(1, OpCode.MULTI, body)[-1].body
    assert counted(world.machine.database.tree, "/a") == (0, 0)


def test_a_count_is_taken_while_writes_are_on_their_way() -> None:
    world = quota_world()
    world.create(1, "/a", b"12345")
    world.create(1, "/a/gone", b"12345")
    world.syncs = False
    for kind, record in (
        (OpCode.DELETE, PathVersion("/a/gone", -1)),
        (OpCode.CREATE, CreateRequest("/a/new", b"123", OPEN, 0)),
        (OpCode.SET_DATA, SetDataRequest("/a", b"", -1)),
        (OpCode.CREATE, CreateRequest("/ab", b"123", OPEN, 0)),
        (OpCode.CREATE, CreateRequest(f"{QUOTA}/a", b"", OPEN, 0)),
        (OpCode.CREATE, CreateRequest(f"{QUOTA}/a/zookeeper_stats", b"", OPEN, 0)),
    ):
        world.put(1, kind, record)
    world.sync()
    assert counted(world.machine.database.tree, "/a") == (2, 3)


def test_the_hot_path_is_left_only_while_a_quota_stands() -> None:
    world = quota_world()
    overlay = world.machine.database.overlay
    assert overlay.is_plain
    set_quota(world, "/a", b"count=1,bytes=1")
    set_quota(world, "/b", b"count=1,bytes=1")
    assert not overlay.is_plain
    for path in ("/a", "/b"):
        assert not overlay.is_plain
        assert world.delete(1, f"{QUOTA}{path}/zookeeper_limits") == 0
    assert overlay.is_plain
    parts = [(OpCode.CREATE, CreateRequest(f"{QUOTA}/a/zookeeper_limits", b"", OPEN, 0)), (OpCode.CHECK, PathVersion("/no", 0))]
    world.ask(1, OpCode.MULTI, b"".join(encode(MultiHeader(kind, False, -1)) + encode(part) for kind, part in parts) + DONE)
    assert overlay.is_plain


def test_a_count_that_is_none_is_left_alone() -> None:
    """Apache stops for ever when it comes to add to it."""
    world = quota_world()
    set_quota(world, "/a", b"count=9,bytes=9")
    for nonsense in (b"nonsense", b"count="):
        world.set(1, f"{QUOTA}/a/zookeeper_stats", nonsense)
        assert world.delete(1, "/a") in (0, ErrorCode.NO_NODE)
        assert world.create(1, "/a", b"") == ErrorCode.MARSHALLING
        assert world.get(1, f"{QUOTA}/a/zookeeper_stats").body[4:].startswith(nonsense)


def test_the_root_has_no_quota() -> None:
    """Apache stops for ever when such a limit is created."""
    world = quota_world()
    assert world.create(1, f"{QUOTA}/zookeeper_limits", b"countHardLimit=0") == 0
    assert world.create(1, f"{QUOTA}/zookeeper_stats") == 0
    assert world.create(1, "/a") == 0


def test_excess_is_told_and_bounded() -> None:
    world = quota_world()
    set_quota(world, "/a/b", b"count=0,bytes=-1=;byteHardLimit=3")
    world.create(1, "/a")
    world.create(1, "/a/b", b"1")
    world.create(1, "/a/b/c", b"123")
    excess = world.machine.database.overlay.excess
    assert excess.refused == {"a": 1}
    hard = "the quota of /a/b is exceeded: bytes would be 4, its hard limit is 3"
    assert excess.take() == f"{hard} (3 writes since this was last said)"
    assert not excess.take()
    world.set(1, "/a/b", b"12")
    assert not excess.take()
    world.create(1, "/a/b/c")
    assert excess.take() == "the quota of /a/b is exceeded: count would be 2, its soft limit is 0"


def test_excess_keeps_no_more_than_it_may() -> None:
    excess = Excess()
    for index in range(NAMESPACES_MAX + 10):
        excess.add(f"/{index}/x", "too much", is_refused=True)
    assert len(excess.refused) == NAMESPACES_MAX


def test_a_count_for_the_root_is_of_all_znodes() -> None:
    """Apache counts so, once; what a quota for it would be, nobody keeps."""
    world = quota_world()
    world.create(1, "/a", b"123")
    world.syncs = False
    for path in ("/b", f"{QUOTA}/zookeeper_stats"):
        world.put(1, OpCode.CREATE, CreateRequest(path, b"", OPEN, 0))
    world.sync()
    assert counted(world.machine.database.tree, "") == (len(world.machine.database.tree.nodes), 3)
    assert replayed(world.log()).image() == world.machine.image()
