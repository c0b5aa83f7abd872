"""Sessions as clients live them, where it depends on this server: what it does not read, it holds against nobody."""

from raw import OPEN
from world import World

from muskox.keeper.machine.connections import REQUESTS_WAITING_MAX
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import CreateRequest, PathWatch

TIMEOUT_MS = 2_000


def closed_sessions(world: World) -> int:
    return sum(entry.header.type == OpCode.CLOSE_SESSION for entry in world.log())


def stalled() -> World:
    """Return a world whose log hangs, with one client that asked so much that it is not read from."""
    world = World()
    world.open(1, timeout_ms=TIMEOUT_MS)
    world.syncs = False
    world.put(1, OpCode.CREATE, CreateRequest("/a", b"", OPEN, 0))
    for _ in range(REQUESTS_WAITING_MAX + 1):
        world.put(1, OpCode.EXISTS, PathWatch("/", False))
    assert world.is_paused
    return world


def test_a_log_that_hangs_expires_no_session_that_is_not_read_from() -> None:
    world = stalled()
    world.wait(10 * TIMEOUT_MS)
    assert closed_sessions(world) == 0
    world.sync()
    assert not world.is_paused
    assert world.get(1, "/a").err == 0


def test_once_it_is_read_from_again_a_silent_client_expires() -> None:
    world = stalled()
    world.wait(10 * TIMEOUT_MS)
    world.syncs = True
    world.sync()
    world.wait(3 * TIMEOUT_MS)
    assert closed_sessions(world) == 1


def test_one_that_is_read_from_expires_while_the_log_hangs() -> None:
    world = World()
    world.open(1, timeout_ms=TIMEOUT_MS)
    world.open(2, timeout_ms=TIMEOUT_MS)
    world.syncs = False
    world.put(1, OpCode.CREATE, CreateRequest("/a", b"", OPEN, 0))
    world.wait(3 * TIMEOUT_MS)
    assert closed_sessions(world) == 2
