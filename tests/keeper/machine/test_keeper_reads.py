"""Reads: the odd corners, the bounds, and that they see what is durable and no more. Ordinary ones are held against Apache."""

from typing import Any

import pytest
from raw import OPEN, Reply, request
from world import World

from muskox.keeper.machine.connections import NOTIFIED_BYTES_AT_ONCE_MAX
from muskox.keeper.machine.events import AwaitDrain, FramesArrived, OutputDrained
from muskox.keeper.machine.reads import MULTI_READ_BYTES_MAX
from muskox.keeper.machine.replies import hot_reply, reply
from muskox.keeper.wire.jute import LENGTH, codec, encode
from muskox.keeper.wire.multi import DONE
from muskox.keeper.wire.opcodes import ErrorCode, EventType, OpCode
from muskox.keeper.wire.records import (
    Acl,
    AuthPacket,
    ChildrenReply,
    ClientInfo,
    CountReply,
    CreateRequest,
    Id,
    MultiHeader,
    PathKind,
    PathOnly,
    PathVersion,
    PathWatch,
    SetDataRequest,
    SetWatches2Request,
    WatcherEvent,
    WhoAmIReply,
)

PERSISTENT, RECURSIVE = 0, 1
READS = [
    (OpCode.EXISTS, PathWatch("/a", False)),
    (OpCode.GET_DATA, PathWatch("/a", False)),
    (OpCode.GET_ACL, PathOnly("/a")),
    (OpCode.GET_CHILDREN, PathWatch("/", False)),
    (OpCode.GET_CHILDREN2, PathWatch("/", False)),
    (OpCode.GET_ALL_CHILDREN_NUMBER, PathOnly("/")),
    (OpCode.GET_EPHEMERALS, PathOnly("/")),
    (OpCode.MULTI_READ, encode(MultiHeader(OpCode.GET_DATA, False, -1)) + encode(PathWatch("/a", False)) + DONE),
    (OpCode.WHO_AM_I, b""),
    (OpCode.SYNC, PathOnly("/")),
    (OpCode.PING, b""),
    (OpCode.ADD_WATCH, PathKind("/b", PERSISTENT)),
    (OpCode.CHECK_WATCHES, PathKind("/b", 3)),
    (OpCode.REMOVE_WATCHES, PathKind("/b", 3)),
    (OpCode.SET_WATCHES2, SetWatches2Request(0, (), (), (), (), ())),
]


def events(replies: list[Reply]) -> list[WatcherEvent]:
    return [codec(WatcherEvent).decode(reply.body) for reply in replies if reply.xid == -1]


def opened(count: int = 1, syncs: bool = True) -> World:
    world = World(syncs=syncs)
    for number in range(1, count + 1):
        world.open(number)
    if not syncs:
        world.sync()
    world.sent.clear()
    return world


def ephemerals(world: World, number: int, prefix: str | None = None) -> tuple[str, ...] | None:
    reply = world.ask(number, OpCode.GET_EPHEMERALS, PathOnly(prefix))[-1]
    return codec(ChildrenReply).decode(reply.body).children


@pytest.mark.parametrize(("kind", "record"), READS)
def test_every_read_waits_in_line_for_the_writes_before_it(kind: OpCode, record: Any) -> None:
    world = opened(syncs=False)
    world.put(1, OpCode.CREATE, CreateRequest("/a", b"", OPEN, 0))
    world.put(1, kind, record)
    assert world.take(1) == []
    world.sync()
    create, read = world.take(1)
    assert create.err == ErrorCode.OK
    asks_for_watches = kind in (OpCode.CHECK_WATCHES, OpCode.REMOVE_WATCHES)
    assert read.err == (ErrorCode.NO_WATCHER if asks_for_watches else ErrorCode.OK)
    assert read.xid == (-2 if kind == OpCode.PING else 2)
    assert read.zxid == create.zxid


def test_ephemerals_are_those_that_are_durable_even_while_others_delete_them() -> None:
    world = opened(2, syncs=False)
    for name in "ab":
        world.put(1, OpCode.CREATE, CreateRequest(f"/{name}", b"", OPEN, 1))
    world.sync()
    world.take(1)
    world.put(2, OpCode.DELETE, PathVersion("/a", -1))
    assert ephemerals(world, 1) == ("/b", "/a")
    look, make = (
        request(7, OpCode.GET_EPHEMERALS, PathOnly(None))[4:],
        request(8, OpCode.CREATE, CreateRequest("/c", b"", OPEN, 1))[4:],
    )
    world.tell(FramesArrived(1, [look, make]))
    assert codec(ChildrenReply).decode(world.take(1)[0].body).children == ("/b", "/a")
    world.sync()
    assert ephemerals(world, 1) == ("/b", "/c")
    assert ephemerals(world, 2) == ()


def test_a_znode_deleted_and_made_again_by_another_is_not_among_the_ephemerals() -> None:
    world = opened(2)
    world.create(1, "/a", flags=1)
    world.delete(2, "/a")
    world.create(2, "/a", flags=1)
    assert ephemerals(world, 1) == ()
    assert ephemerals(world, 2) == ("/a",)


def test_all_children_are_counted_wherever_they_lie() -> None:
    world = opened()
    for path in ("/a", "/a/b", "/a/b/c", "/a/d", "/ab", "/ab/c"):
        world.create(1, path)

    def count(path: str) -> int:
        return codec(CountReply).decode(world.ask(1, OpCode.GET_ALL_CHILDREN_NUMBER, PathOnly(path))[-1].body).total

    assert [count(path) for path in ("/a", "/a/b", "/a/b/c", "/ab", "/")] == [
        3,
        1,
        0,
        1,
        len(world.machine.database.tree.nodes) - 1,
    ]


def test_who_one_is_shows_no_digest_of_a_password() -> None:
    world = opened()
    world.ask(1, OpCode.AUTH, AuthPacket(0, "digest", b"bob:secret"))
    world.machine.connections.by_number[1].identities += (Id("super", "root"), Id("x509", "CN=bob"), Id("sasl", "bob"))
    reply = codec(WhoAmIReply).decode(world.ask(1, OpCode.WHO_AM_I)[-1].body)
    assert sorted(reply.clients or ()) == [
        *(ClientInfo("digest", "bob"), ClientInfo("ip", "127.0.0.1"), ClientInfo("sasl", "bob")),
        *(ClientInfo("super", ""), ClientInfo("x509", "CN=bob")),
    ]


def test_a_multi_read_that_asks_for_too_much_is_refused_whole() -> None:
    world = opened()
    world.create(1, "/big", bytes(1_000_000))
    part = encode(MultiHeader(OpCode.GET_DATA, False, -1)) + encode(PathWatch("/big", False))
    few, many = (part * count + DONE for count in (MULTI_READ_BYTES_MAX // 1_001_000, MULTI_READ_BYTES_MAX // 1_000_000 + 1))
    assert world.ask(1, OpCode.MULTI_READ, few)[-1].err == ErrorCode.OK
    world.tell(OutputDrained(1))
    assert world.ask(1, OpCode.MULTI_READ, many)[-1] == (world.xid, 2, ErrorCode.MARSHALLING, b"")


@pytest.mark.parametrize("kind", [OpCode.CREATE, OpCode.DELETE, OpCode.GET_CHILDREN2, OpCode.EXISTS, 77])
def test_a_multi_read_takes_data_and_children_alone(kind: int) -> None:
    world = opened()
    body = encode(MultiHeader(kind, False, -1)) + encode(CreateRequest("/a", b"", OPEN, 0)) + DONE
    assert world.ask(1, OpCode.MULTI_READ, body)[-1].err == ErrorCode.MARSHALLING


def test_watches_set_again_tell_what_was_missed_in_one_go_and_then_wait_until_it_has_left() -> None:
    world = opened()
    paths = tuple(f"/{index}" for index in range(NOTIFIED_BYTES_AT_ONCE_MAX // 34))
    record = SetWatches2Request(0, paths, (), (), (), ())
    world.tell(FramesArrived(1, [request(1, OpCode.SET_WATCHES2, record)[4:], request(2, OpCode.PING)[4:]]))
    replies = world.take(1)
    assert [event.path for event in events(replies)] == list(paths)
    assert [reply.xid for reply in replies if reply.xid != -1] == [1]
    assert AwaitDrain(1) in world.orders
    world.tell(OutputDrained(1))
    assert [reply.xid for reply in world.take(1)] == [-2]


def test_what_stands_before_a_null_list_is_done() -> None:
    world = opened()
    replies = world.ask(1, OpCode.SET_WATCHES2, SetWatches2Request(0, ("/gone",), None, (), (), ()))
    assert events(replies) == [WatcherEvent(EventType.DELETED, 3, "/gone")]
    assert replies[-1].err == ErrorCode.MARSHALLING


def test_a_watch_of_an_unknown_mode_is_not_left() -> None:
    world = opened()
    for mode in (-1, 2):
        assert world.ask(1, OpCode.ADD_WATCH, PathKind("/a", mode))[-1].err == ErrorCode.MARSHALLING
    assert world.machine.watches.count == 0


def test_a_reply_to_add_watch_says_zero_in_its_body_too() -> None:
    world = opened()
    assert world.ask(1, OpCode.ADD_WATCH, PathKind("/a", RECURSIVE)) == [Reply(1, 1, 0, LENGTH.pack(0))]


def test_a_recursive_watch_hears_of_all_below_before_the_replies_of_the_writer() -> None:
    world = opened(2)
    for number in (1, 2):
        world.ask(number, OpCode.ADD_WATCH, PathKind("/", RECURSIVE))
    replies = world.ask(1, OpCode.CREATE, CreateRequest("/a", b"", OPEN, 0))
    replies += world.ask(1, OpCode.SET_DATA, SetDataRequest("/a", b"1", -1))
    told = [(EventType.CREATED, 3, "/a"), (EventType.DATA_CHANGED, 3, "/a")]
    assert events(replies) == told
    assert [reply.xid for reply in replies] == [-1, world.xid - 1, -1, world.xid]
    assert events(world.take(2)) == told


def test_watches_go_with_their_connection_and_not_with_their_session() -> None:
    world = opened()
    world.ask(1, OpCode.ADD_WATCH, PathKind("/a", PERSISTENT))
    session = world.sessions[1]
    world.open(2, session_id=session.session_id, password=session.password)
    assert world.machine.watches.is_empty
    assert len(world.ask(2, OpCode.CREATE, CreateRequest("/a", b"", OPEN, 0))) == 1


def test_the_short_way_of_reads_answers_what_the_long_one_does_or_leaves_it_to_that() -> None:
    world = opened()
    world.create(1, "/a", b"data")
    world.create(1, "/empty", b"")
    world.ask(1, OpCode.CREATE, CreateRequest("/null", None, OPEN, 0))
    world.ask(1, OpCode.CREATE, CreateRequest("/locked", b"x", (Acl(1, Id("ip", "127.0.0.1")),), 0))
    machine = world.machine
    connection = machine.connections.by_number[1]
    short = 0
    for path in ("/a", "/empty", "/null", "/locked", "/no", "/", "", "a", "/a/", "/a\0", "/é"):
        body = encode(PathWatch(path, False))
        bodies = [body, body[:-1], body + b"\0", body[:-1] + b"\1", b"\0" * 4 + body[4:], b"\xff" * 4 + body[4:]]
        for kind in (OpCode.EXISTS, OpCode.GET_DATA):
            for each in bodies:
                data = request(9, kind, each)[4:]
                found = hot_reply(machine.database.tree, 77, 9, kind, data)
                if found is not None:
                    answer = machine.reads.answer(connection, kind, data)
                    assert isinstance(answer, bytes)
                    assert found == reply(9, 77, 0, answer)
                    short += 1
    assert short == 9  # that five of these exist, and the data of four
