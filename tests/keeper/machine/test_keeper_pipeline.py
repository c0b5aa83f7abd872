"""Writes under way: who waits for whom, and how many may be under way."""

from raw import request
from world import SETTINGS, World

from muskox.keeper.machine.connections import REQUESTS_WAITING_MAX
from muskox.keeper.machine.events import FramesArrived, OutputDrained, PauseReading, ResumeReading
from muskox.keeper.machine.machine import OUTPUT_BYTES_AT_ONCE_MAX, OVERDUE_BYTES_MAX, Machine
from muskox.keeper.wire.opcodes import ErrorCode, OpCode
from muskox.keeper.wire.records import Acl, AuthPacket, CreateRequest, Id, PathOnly, PathWatch, SetDataRequest


def two_sessions(syncs: bool = False) -> World:
    world = World()
    world.open(1)
    world.open(2)
    world.create(1, "/a", b"0")
    world.take(1)
    world.syncs = syncs
    return world


def test_a_sync_waits_for_writes_of_other_sessions() -> None:
    world = two_sessions()
    world.put(1, OpCode.SET_DATA, SetDataRequest("/a", b"1", -1))
    world.put(2, OpCode.SYNC, PathOnly("/a"))
    world.put(2, OpCode.GET_DATA, PathWatch("/a", False))
    assert world.take(2) == []
    world.sync()
    sync, data = world.take(2)
    assert sync.err == 0 and data.body[4:5] == b"1"


def test_a_sync_with_nothing_under_way_is_answered_at_once() -> None:
    world = two_sessions()
    assert world.ask(2, OpCode.SYNC, PathOnly("/a"))[-1].err == 0


def test_a_connection_that_waits_for_another_may_close_first() -> None:
    world = two_sessions()
    world.put(1, OpCode.SET_DATA, SetDataRequest("/a", b"1", -1))
    world.put(2, OpCode.SYNC, PathOnly("/a"))
    world.lose(2)
    world.sync()
    assert world.take(1)[-1].err == 0


def test_replies_keep_the_order_of_reads_between_writes() -> None:
    world = two_sessions()
    frames = []
    for value in (b"1", b"2", b"3"):
        frames.append(request(len(frames), OpCode.SET_DATA, SetDataRequest("/a", value, -1))[4:])
        frames.append(request(len(frames), OpCode.GET_DATA, PathWatch("/a", False))[4:])
    world.tell(FramesArrived(1, frames))
    world.sync()
    replies = world.take(1)
    assert [reply.xid for reply in replies] == list(range(6))
    assert [reply.body[4:5] for reply in replies[1::2]] == [b"1", b"2", b"3"]


def test_a_writer_hears_of_its_earlier_writes_before_a_watch_of_its_own_fires() -> None:
    world = two_sessions()
    world.syncs = True
    world.create(1, "/b")
    world.get(1, "/b", watch=True)
    world.take(1)
    world.syncs = False
    frames = [
        request(index, OpCode.SET_DATA, SetDataRequest(path, b"", -1))[4:] for index, path in enumerate(("/a", "/b", "/a"))
    ]
    world.tell(FramesArrived(1, frames))
    world.sync()
    assert [reply.xid for reply in world.take(1)] == [0, -1, 1, 2]


def test_with_too_many_writes_under_way_their_senders_are_read_from_no_more() -> None:
    world = two_sessions()
    machine = Machine(world.machine.database, SETTINGS._replace(outstanding_max=3), 1, world.now)
    world.machine = machine
    world.syncs = True
    world.open(3)
    world.open(4)
    world.syncs = False
    world.orders.clear()
    for _ in range(4):
        world.put(3, OpCode.SET_DATA, SetDataRequest("/a", b"1", -1))
    world.put(4, OpCode.GET_DATA, PathWatch("/a", False))
    assert world.orders == [PauseReading(3)]  # who only reads is read from
    assert len(world.take(4)) == 1
    world.sync()
    assert world.orders[-1] == ResumeReading(3)
    assert len(world.take(3)) == 4


def test_what_was_asked_before_the_end_of_a_session_is_answered_though_the_client_reads_slowly() -> None:
    world = two_sessions()
    world.syncs = True
    big = bytes(OUTPUT_BYTES_AT_ONCE_MAX // 2)
    world.set(1, "/a", big)
    world.take(1)
    world.syncs = False
    count = 6
    frames = [request(index, OpCode.GET_DATA, PathWatch("/a", False))[4:] for index in range(count)]
    frames.append(request(count, OpCode.CLOSE_SESSION)[4:])
    assert count < REQUESTS_WAITING_MAX
    world.tell(FramesArrived(1, frames))
    world.sync()
    assert world.closed == []
    replies = world.take(1)
    while 1 not in world.closed:
        world.tell(OutputDrained(1))
        replies += world.take(1)
    assert [reply.xid for reply in replies] == list(range(count + 1))


def test_a_read_does_not_see_what_its_client_wrote_after_it_though_the_client_reads_slowly() -> None:
    world = two_sessions()
    world.syncs = True
    world.create(1, "/big", bytes(OUTPUT_BYTES_AT_ONCE_MAX // 2))
    world.take(1)
    world.syncs = False
    paths = ["/big"] * 4 + ["/a"]
    frames = [request(index, OpCode.GET_DATA, PathWatch(path, False))[4:] for index, path in enumerate(paths)]
    frames.append(request(len(frames), OpCode.SET_DATA, SetDataRequest("/a", b"later", -1))[4:])
    world.tell(FramesArrived(1, frames))
    world.sync()
    replies = world.take(1)
    assert [reply.xid for reply in replies] == list(range(len(frames)))
    assert replies[-2].body[4:5] == b"0"


def test_a_client_that_lets_answers_pile_up_before_its_writes_is_cut_off() -> None:
    world = two_sessions()
    world.syncs = True
    world.create(1, "/big", bytes(OUTPUT_BYTES_AT_ONCE_MAX // 2))
    world.syncs = False
    frames = [request(index, OpCode.GET_DATA, PathWatch("/big", False))[4:] for index in range(100)]
    frames.append(request(len(frames), OpCode.SET_DATA, SetDataRequest("/a", b"later", -1))[4:])
    world.tell(FramesArrived(1, frames))
    world.sync()
    assert world.closed == [1]
    assert sum(map(len, world.sent[1])) < 2 * OVERDUE_BYTES_MAX
    world.syncs = True
    assert world.get(2, "/a").body[4:9] == b"later"


def test_a_read_in_line_is_judged_by_what_was_proved_when_it_came() -> None:
    world = two_sessions()
    world.syncs = True
    world.ask(1, OpCode.AUTH, AuthPacket(0, "digest", b"u:p"))
    owner = (Acl(31, Id("auth", "")),)
    assert world.ask(1, OpCode.CREATE, CreateRequest("/mine", b"", owner, 0))[-1].err == 0
    world.syncs = False
    world.put(2, OpCode.SET_DATA, SetDataRequest("/a", b"1", -1))
    world.put(2, OpCode.GET_DATA, PathWatch("/mine", False))
    world.put(2, OpCode.AUTH, AuthPacket(0, "digest", b"u:p"))
    world.put(2, OpCode.GET_DATA, PathWatch("/mine", False))
    world.sync()
    assert [reply.err for reply in world.take(2)] == [0, 0, ErrorCode.NO_AUTH, 0]
