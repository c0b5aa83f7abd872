"""Connections that read nothing: they go with their session, or soon after."""

from raw import OPEN, request
from world import World

from muskox.keeper.machine.events import FramesArrived, OutputDrained
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import CreateRequest, PathWatch

TIMEOUT_MS = 4_000
READS = 20


def choked() -> World:
    """Return a world whose connection 2 has asked for more than it reads."""
    world = World()
    for number in (1, 2):
        world.open(number, timeout_ms=TIMEOUT_MS)
    world.ask(1, OpCode.CREATE, CreateRequest("/large", bytes(600_000), OPEN, 0))
    world.tell(FramesArrived(2, [request(9, OpCode.GET_DATA, PathWatch("/large", False))[4:]] * READS))
    assert world.machine.connections.by_number[2].waiting
    return world


def keep_alive(world: World, ms: int) -> None:
    for _ in range(ms // 1_000):
        world.wait(1_000)
        world.ask(1, OpCode.PING)


def test_a_session_that_runs_out_takes_its_connection_along_though_that_reads_nothing() -> None:
    world = choked()
    keep_alive(world, 2 * TIMEOUT_MS)
    assert world.closed == [2]
    assert list(world.machine.connections.by_number) == [1]
    assert not world.machine.connections.ending


def test_one_that_closes_its_session_and_reads_no_answers_is_cut_off() -> None:
    world = choked()
    world.put(2, OpCode.CLOSE_SESSION)
    keep_alive(world, TIMEOUT_MS // 2)
    assert world.closed == []
    keep_alive(world, TIMEOUT_MS)
    assert world.closed == [2]
    assert not world.machine.connections.ending


def test_one_that_closes_its_session_and_reads_slowly_gets_every_answer() -> None:
    world = choked()
    world.put(2, OpCode.CLOSE_SESSION)
    for _ in range(READS):
        keep_alive(world, TIMEOUT_MS // 2)
        world.tell(OutputDrained(2))
    assert len(world.take(2)) == READS + 1
    assert world.closed == [2]
