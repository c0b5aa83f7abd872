"""The machine through its door: order of replies, sessions, watches, and that replay gives the same tree."""

from raw import OPEN, connect_request, request
from world import World, replayed

from muskox.keeper.machine.connections import REQUESTS_WAITING_MAX, WAITING_BYTES_MAX
from muskox.keeper.machine.events import ConnectionOpened, FramesArrived, OutputDrained
from muskox.keeper.machine.machine import OUTPUT_BYTES_AT_ONCE_MAX
from muskox.keeper.wire.jute import codec
from muskox.keeper.wire.opcodes import ErrorCode, EventType, OpCode
from muskox.keeper.wire.records import (
    ConnectRequest,
    ConnectResponse,
    CreateRequest,
    DataReply,
    PathWatch,
    SetDataRequest,
    WatcherEvent,
)
from muskox.keeper.wire.transactions import CloseSessionTxn

RESPONSE = codec(ConnectResponse)


def test_nothing_is_acknowledged_or_seen_before_it_is_on_disk() -> None:
    world = World(syncs=False)
    for number in (1, 2):
        world.open(number)
    assert world.sent == {}
    world.sync()
    world.sent.clear()
    world.put(1, OpCode.CREATE, CreateRequest("/a", b"", OPEN, 0))
    assert world.take(1) == []
    assert world.exists(2, "/a").err == ErrorCode.NO_NODE
    world.sync()
    assert world.take(1)[0].err == ErrorCode.OK
    assert world.exists(2, "/a").err == ErrorCode.OK


def test_two_creates_of_one_path_sent_together_do_not_both_pass() -> None:
    world = World(syncs=False)
    world.open(1)
    world.sync()
    world.sent.clear()
    for _ in range(2):
        world.put(1, OpCode.CREATE, CreateRequest("/a", b"", OPEN, 0))
    world.sync()
    assert [reply.err for reply in world.take(1)] == [ErrorCode.OK, ErrorCode.NODE_EXISTS]


def test_a_read_waits_for_the_writes_of_its_own_connection_only() -> None:
    world = World(syncs=False)
    for number in (1, 2):
        world.open(number)
    world.sync()
    world.sent.clear()
    create = request(1, OpCode.CREATE, CreateRequest("/a", b"1", OPEN, 0))[4:]
    look = request(2, OpCode.GET_DATA, PathWatch("/a", False))[4:]
    change = request(3, OpCode.SET_DATA, SetDataRequest("/a", b"2", -1))[4:]
    again = request(4, OpCode.GET_DATA, PathWatch("/a", False))[4:]
    world.tell(FramesArrived(1, [create, look, change, again]))
    assert world.get(2, "/a").err == ErrorCode.NO_NODE
    world.sync(world.machine.pipeline.zxid - 1)
    assert [reply.xid for reply in world.take(1)] == [1, 2]
    world.sync()
    replies = world.take(1)
    assert [reply.xid for reply in replies] == [3, 4]
    assert codec(DataReply).decode(replies[1].body).data == b"2"


def test_a_watch_fires_once_and_before_the_reply_of_its_cause() -> None:
    world = World()
    world.open(1)
    world.create(1, "/a")
    world.get(1, "/a", watch=True)
    replies = world.ask(1, OpCode.SET_DATA, SetDataRequest("/a", b"1", -1))
    assert [reply.xid for reply in replies] == [-1, world.xid]
    assert codec(WatcherEvent).decode(replies[0].body) == (EventType.DATA_CHANGED, 3, "/a")
    assert len(world.ask(1, OpCode.SET_DATA, SetDataRequest("/a", b"2", -1))) == 1


def test_a_deleted_node_tells_each_connection_once_whatever_it_watched() -> None:
    world = World()
    world.open(1)
    world.create(1, "/a")
    world.get(1, "/a", watch=True)
    world.exists(1, "/a", watch=True)
    world.ask(1, OpCode.GET_CHILDREN, PathWatch("/a", True))
    world.put(1, OpCode.DELETE, b"\0\0\0\x02/a\xff\xff\xff\xff")
    assert [reply.xid for reply in world.take(1)] == [-1, world.xid]


def test_a_lost_connection_leaves_no_watches_behind() -> None:
    world = World()
    world.open(1)
    world.exists(1, "/a", watch=True)
    world.lose(1)
    assert world.machine.watches.is_empty
    assert world.machine.watches.count == 0


def test_a_session_is_resumed_with_its_password_and_not_without() -> None:
    world = World()
    world.open(1)
    session = world.sessions[1]
    world.open(2, session_id=session.session_id, password=session.password)
    assert world.closed == [1]
    assert world.sessions[2].session_id == session.session_id
    world.open(3, session_id=session.session_id, password=bytes(16))
    assert world.sessions[3].session_id == 0
    assert world.closed == [1, 2, 3]  # even a wrong password ends the live connection, as with Apache


def test_a_session_that_is_silent_expires_with_its_ephemerals_and_one_that_pings_does_not() -> None:
    world = World()
    world.open(1, timeout_ms=5_000)
    world.open(2, timeout_ms=5_000)
    world.create(1, "/mine", flags=1)
    world.create(2, "/yours", flags=1)
    for _ in range(4):
        world.wait(2_000)
        world.ask(2, OpCode.PING)
    assert world.closed == [1]
    assert world.exists(2, "/mine").err == ErrorCode.NO_NODE
    assert world.exists(2, "/yours").err == ErrorCode.OK
    assert isinstance(world.log()[-1].txn, CloseSessionTxn)


def test_a_standstill_of_the_server_ends_no_session() -> None:
    world = World()
    world.open(1, timeout_ms=5_000)
    world.open(2)
    world.stand_still(60_000)
    assert world.closed == []
    world.wait(4_900)
    assert world.closed == []
    world.wait(300)
    assert world.closed == [1]


def test_timeouts_are_clamped() -> None:
    world = World()
    for number, (wanted, granted) in enumerate([(1, 1_000), (5_000, 5_000), (10**9, 40_000)], 1):
        world.open(number, timeout_ms=wanted)
        assert world.sessions[number].timeout_ms == granted


def test_a_recovered_session_gets_its_full_timeout_and_then_expires() -> None:
    world = World()
    world.open(1, timeout_ms=5_000)
    world.create(1, "/mine", flags=1)
    after = World(replayed(world.log()), session_id_first=100)
    after.wait(4_900)
    after.open(2)
    assert after.exists(2, "/mine").err == ErrorCode.OK
    after.wait(300)
    assert after.exists(2, "/mine").err == ErrorCode.NO_NODE


def test_a_client_that_has_seen_the_future_is_closed_without_a_word() -> None:
    world = World()
    world.open(1, last_zxid=1 << 40)
    assert world.closed == [1]
    assert world.sent == {}


def test_requests_sent_with_the_connect_request_are_answered_after_it() -> None:
    world = World(syncs=False)
    world.tell(ConnectionOpened(1, "127.0.0.1"))
    world.tell(FramesArrived(1, [connect_request()[4:], request(1, OpCode.PING)[4:]]))
    assert world.is_paused
    world.sync()
    assert not world.is_paused
    assert [len(data) for data in world.sent[1]] == [37, 16]


def test_an_old_client_that_knows_no_read_only_gets_the_short_answer() -> None:
    world = World()
    world.tell(ConnectionOpened(1, "127.0.0.1"))
    world.tell(FramesArrived(1, [codec(ConnectRequest).encode(ConnectRequest(0, 0, 5_000, 0, bytes(16)))]))
    assert len(world.sent[1][0]) == 36


def test_a_client_with_too_much_in_line_is_not_read_from_until_it_has_caught_up() -> None:
    world = World(syncs=False)
    world.open(1)
    world.sync()
    world.put(1, OpCode.CREATE, CreateRequest("/a", b"", OPEN, 0))
    look = request(7, OpCode.GET_DATA, PathWatch("/a", False))[4:]
    world.tell(FramesArrived(1, [look] * REQUESTS_WAITING_MAX))
    assert world.is_paused
    world.sync()
    assert not world.is_paused
    assert len(world.take(1)) == REQUESTS_WAITING_MAX + 2


def test_a_client_that_writes_more_than_the_disk_takes_is_not_read_from() -> None:
    world = World(syncs=False)
    world.open(1)
    world.sync()
    for _ in range(WAITING_BYTES_MAX // 1_000_000):
        world.put(1, OpCode.CREATE, CreateRequest("/a", bytes(1_000_000), OPEN, 0))
        assert not world.is_paused
    world.put(1, OpCode.CREATE, CreateRequest("/a", bytes(1_000_000), OPEN, 0))
    assert world.is_paused
    world.sync()
    assert not world.is_paused


def test_answers_stop_when_too_many_bytes_have_not_left() -> None:
    world = World()
    world.open(1)
    world.create(1, "/big", bytes(500_000))
    look = request(7, OpCode.GET_DATA, PathWatch("/big", False))[4:]
    world.tell(FramesArrived(1, [look] * 10))
    sent = len(world.take(1))
    assert sent * 500_000 <= OUTPUT_BYTES_AT_ONCE_MAX + 500_000
    while world.is_paused:
        world.tell(OutputDrained(1))
        sent += len(world.take(1))
    assert sent == 10


def test_closing_a_session_answers_then_closes_and_drops_what_follows() -> None:
    world = World()
    world.open(1)
    world.create(1, "/mine", flags=1)
    end, late = request(5, OpCode.CLOSE_SESSION)[4:], request(6, OpCode.PING)[4:]
    world.tell(FramesArrived(1, [end, late]))
    assert [reply.xid for reply in world.take(1)] == [5]
    assert world.closed == [1]
    world.open(2)
    assert world.exists(2, "/mine").err == ErrorCode.NO_NODE
