"""Whatever is asked, at whatever state: the log gives the same tree again, and so does a snapshot of it."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from raw import OPEN, request
from world import World, replayed

from muskox.keeper.disk.loading import Decoder
from muskox.keeper.disk.snapshot import encode_snapshot
from muskox.keeper.machine.database import Database
from muskox.keeper.machine.effects import draft
from muskox.keeper.machine.events import FramesArrived
from muskox.keeper.machine.node import new_node
from muskox.keeper.machine.tree import Tree
from muskox.keeper.wire.jute import encode
from muskox.keeper.wire.multi import DONE
from muskox.keeper.wire.opcodes import EventType, OpCode
from muskox.keeper.wire.records import (
    Acl,
    CreateRequest,
    Id,
    MultiHeader,
    PathOnly,
    PathVersion,
    PathWatch,
    SetAclRequest,
    SetDataRequest,
    SetWatchesRequest,
)
from muskox.keeper.wire.transactions import CloseSessionTxn, TxnHeader

PATHS = st.sampled_from(["/", "", "/a", "/a/b", "/a/b/c", "/b", "/s-", "/zookeeper", "/a/", "nope", "/\0"])
DATA = st.sampled_from([None, b"", b"x", b"y" * 50])
ACLS = st.sampled_from(
    [OPEN, (), None, (Acl(31, Id("digest", "u:x")),), (Acl(31, Id("auth", "")),), (Acl(7, Id("ip", "127.0.0.1")),)]
)
VERSIONS = st.integers(-1, 2)

CREATES = st.tuples(st.sampled_from([1, 15, 19]), st.builds(CreateRequest, PATHS, DATA, ACLS, st.integers(-1, 6)))
CHANGES = st.one_of(
    CREATES,
    st.tuples(st.just(2), st.builds(PathVersion, PATHS, VERSIONS)),
    st.tuples(st.just(5), st.builds(SetDataRequest, PATHS, DATA, VERSIONS)),
    st.tuples(st.just(13), st.builds(PathVersion, PATHS, VERSIONS)),
)
MULTIS = st.lists(CHANGES, max_size=4).map(
    lambda parts: (14, b"".join(encode(MultiHeader(kind, False, -1)) + encode(record) for kind, record in parts) + DONE)
)
WATCHES = st.builds(SetWatchesRequest, st.integers(0, 9), *(st.lists(PATHS, max_size=2).map(tuple) for _ in range(3)))
REQUESTS: st.SearchStrategy[tuple[int, Any]] = st.one_of(
    CHANGES,
    MULTIS,
    st.tuples(st.sampled_from([3, 4, 8, 12]), st.builds(PathWatch, PATHS, st.booleans())),
    st.tuples(st.sampled_from([6, 9]), st.builds(PathOnly, PATHS)),
    st.tuples(st.just(7), st.builds(SetAclRequest, PATHS, ACLS, VERSIONS)),
    st.tuples(st.just(101), WATCHES),
    st.tuples(st.sampled_from([11, -11]), st.just(b"")),
    st.tuples(st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 13, 14, 100, 101, 999, -10]), st.binary(max_size=20)),
)
STEPS = st.one_of(
    st.tuples(st.just("ask"), st.integers(1, 3), REQUESTS),
    st.tuples(st.just("sync"), st.integers(0, 3), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([100, 700, 3_000]), st.none()),
    st.tuples(st.just("lose"), st.integers(1, 3), st.none()),
    st.tuples(st.just("raw"), st.integers(1, 3), st.binary(max_size=12)),
)


def check_invariants(world: World) -> None:
    database = world.machine.database
    tree = database.tree
    for path, node in tree.nodes.items():
        assert node.child_count == len(tree.names(path)), path
        assert node.stat.data_length == len(node.data or b"")
    assert not database.overlay.pending or world.machine.pipeline.in_flight
    for session_id, paths in database.overlay.ephemerals.items():
        assert paths
        for path in paths:
            found = database.overlay.find(path)
            assert found is not None
            assert found.owner == session_id


def live(world: World, steps: list[Any]) -> None:
    opened = 3
    names = {}
    for number in (1, 2, 3):
        names[number] = number
        world.open(number, timeout_ms=2_000)
    world.sync()
    for verb, number, what in steps:
        if verb == "ask":
            world.tell(FramesArrived(names[number], [request(9, what[0], what[1])[4:]]))
        elif verb == "raw":
            world.tell(FramesArrived(names[number], [what]))
        elif verb == "sync":
            world.sync(world.machine.pipeline.zxid - number)
        elif verb == "wait":
            world.wait(number)
        else:
            world.lose(names[number])
        if names[number := max(1, min(number, 3))] not in world.machine.connections.by_number:
            opened += 1
            names[number] = opened
            world.open(opened, timeout_ms=2_000)
        check_invariants(world)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_the_log_and_a_snapshot_give_the_same_database_again(steps: list[Any]) -> None:
    world = World(syncs=False)
    live(world, steps)
    while world.machine.pipeline.in_flight:  # what waited for a session to open is asked only now
        world.sync()
    image = world.machine.image()
    again = replayed(world.log())
    assert again.image() == image
    assert again.digest == image.digest
    assert list(again.tree.nodes) == list(image.nodes)
    tree, timeouts_ms, digest = Decoder("a snapshot", b"".join(encode_snapshot(image))).load(image.zxid)
    assert Database(tree, timeouts_ms, image.zxid).image() == image
    assert digest == image.digest


@settings(max_examples=50, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_the_same_events_give_the_same_actions(steps: list[Any]) -> None:
    worlds = [World(syncs=False) for _ in range(2)]
    for world in worlds:
        live(world, steps)
    assert worlds[0].sent == worlds[1].sent
    assert worlds[0].entries == worlds[1].entries


def test_a_tree_installs_and_removes_children() -> None:
    tree = Tree()
    for path in ("/", "/a", "/a/b"):
        tree.install(path, new_node(path, b"", OPEN, 0, 1, 1))
    tree.install("/a/b", None)
    assert tree.names("/a") == ()
    assert tree.names("/") == ("a",)


def test_the_end_of_a_session_deletes_each_of_its_znodes_once() -> None:
    world = World()
    world.open(1)
    world.open(2)
    for path in ("/a", "/b"):
        world.create(1, path, flags=1)
        world.exists(2, path, watch=True)
    world.ask(2, OpCode.GET_CHILDREN, PathWatch("/", True))
    overlay = world.machine.database.overlay
    overlay.begin(9)
    draft(overlay, TxnHeader(world.sessions[1].session_id, 0, 9, 0, OpCode.CLOSE_SESSION), CloseSessionTxn(("/b", "/gone")))
    changed = [(path, event) for path, _, event in overlay.finish()]
    deleted, children = EventType.DELETED, EventType.CHILDREN_CHANGED
    assert changed == [("/b", deleted), ("/", children), ("/", EventType.NONE), ("/a", deleted), ("/", children)]
