"""No input makes the keeper die, leak, or disturb another session: the pure machine first, then the real server."""

import contextlib
import socket
from functools import cache
from typing import Any

from babble import BABBLE, Babble
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw import SECONDS_MAX, RawClient, resident_bytes
from world import SETTINGS, World, replayed

from muskox.errors import PeerError
from muskox.keeper import Keeper
from muskox.keeper.machine.connections import REQUESTS_WAITING_MAX, WAITING_BYTES_MAX
from muskox.keeper.machine.events import AwaitDrain, ConnectionLost, ConnectionOpened, FramesArrived, OutputDrained
from muskox.keeper.wire.frames import FRAME_BYTES_MAX, FrameSplitter
from muskox.keeper.wire.jute import Codec, codec
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import (
    Acl,
    AuthPacket,
    ChildrenStatReply,
    CreateRequest,
    DataReply,
    Id,
    PathOnly,
    PathVersion,
    PathWatch,
    SetDataRequest,
    StatReply,
)

MACHINE_EXAMPLES = 300
SERVER_EXAMPLES = 60
SERVER_ROUNDS = 20
GROWTH_BYTES_MAX = 4 << 20  # of a server that has closed 1,200 connections: 3 kB for each would be a leak
PIECE_BYTES_MIN = 16
VICTIM = 1
# Nobody may guess it: whoever names a session ends its live connection, in Apache ZooKeeper too.
SECRET_SESSION = 0x12_3456_789A_BCDE
TIMEOUT_MS_MAX = 2_000
MINE = (Acl(31, Id("auth", "")),)
FUZZED = SETTINGS._replace(timeout_ms_max=TIMEOUT_MS_MAX, extended_types=True, users=(("u", "password"),), nonce_key=b"key")

BEGINNING: list[tuple[int, Any]] = [
    (OpCode.AUTH, AuthPacket(0, "digest", b"me:secret")),
    (OpCode.CREATE, CreateRequest("/mine", b"", MINE, 0)),
    (OpCode.CREATE, CreateRequest("/mine/ephemeral", b"", MINE, 1)),
    (OpCode.CREATE, CreateRequest("/mine/node", b"", MINE, 0)),
]
WITH_STAT: dict[int, Codec[Any]] = {
    OpCode.GET_DATA: codec(DataReply),
    OpCode.SET_DATA: codec(StatReply),
    OpCode.EXISTS: codec(StatReply),
    OpCode.GET_CHILDREN2: codec(ChildrenStatReply),
}


class Victim:
    """A session that goes about its work; `seen` is all it is told, except for zxids, which count others' writes too."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: list[Any] = []
        self.rounds = 0
        world.open(VICTIM, timeout_ms=TIMEOUT_MS_MAX)
        for kind, record in BEGINNING:
            self.ask(kind, record)

    def ask(self, kind: int, record: Any) -> None:
        for reply in self.world.ask(VICTIM, kind, record):
            body: Any = reply.body
            if reply.err == 0 and reply.xid > 0 and kind in WITH_STAT:
                body = WITH_STAT[kind].decode(reply.body)
                body = body._replace(stat=body.stat._replace(czxid=0, mzxid=0, pzxid=0))
            self.seen.append((reply.xid, reply.err, body))

    def work(self) -> None:
        """Do a bit of everything, on znodes that are nobody else's."""
        sequential = f"/mine/s-{self.rounds + 2:010}"
        self.rounds += 1
        self.ask(OpCode.GET_DATA, PathWatch("/mine/node", True))
        self.ask(OpCode.SET_DATA, SetDataRequest("/mine/node", b"value", -1))
        self.ask(OpCode.CREATE, CreateRequest("/mine/s-", b"", MINE, 2))
        self.ask(OpCode.EXISTS, PathWatch(sequential, True))
        self.ask(OpCode.GET_CHILDREN2, PathWatch("/mine", True))
        self.ask(OpCode.DELETE, PathVersion(sequential, -1))
        self.ask(OpCode.GET_EPHEMERALS, PathOnly("/mine"))
        self.ask(OpCode.WHO_AM_I, b"")
        self.ask(OpCode.PING, b"")


class Attacker:
    """One connection that babbles into the machine, through a splitter, as a socket does."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.splitter = FrameSplitter(FRAME_BYTES_MAX)
        world.tell(ConnectionOpened(number, "10.0.0.1"))

    def attack(self, babble: Babble) -> None:
        for piece in babble.pieces():
            if self.number in self.world.closed:
                return
            try:
                frames = self.splitter.feed(piece)
            except PeerError:
                break
            assert len(self.splitter.rest) <= FRAME_BYTES_MAX + 4
            connection = self.world.machine.connections.by_number.get(self.number)
            if connection is not None and connection.is_paused:
                self.world.sync()  # nothing is read from it before
            if frames:
                self.world.tell(FramesArrived(self.number, frames))
            while AwaitDrain(self.number) in self.world.orders:
                self.world.orders.remove(AwaitDrain(self.number))
                self.world.tell(OutputDrained(self.number))
            self.check()
        self.world.sent.pop(self.number, None)

    def check(self) -> None:
        connection = self.world.machine.connections.by_number.get(self.number)
        if connection is not None:
            assert connection.waiting_bytes <= WAITING_BYTES_MAX + FRAME_BYTES_MAX
            assert len(connection.waiting) <= REQUESTS_WAITING_MAX + 1
            assert len(connection.identities) <= 64 + 2

    def leave(self) -> None:
        self.world.tell(ConnectionLost(self.number))


def live(rounds: int, babbles: list[Babble], is_slow: bool) -> tuple[World, Victim]:
    """Let a victim work while others babble, two at a time, and until their sessions have run out.

    If the disk `is_slow`, nothing of what one of them says is on it before all is said.
    """
    world = World(session_id_first=SECRET_SESSION, settings=FUZZED)
    victim = Victim(world)
    attackers: list[Attacker] = []
    for index in range(rounds):
        if babbles:
            attackers.append(Attacker(world, VICTIM + 1 + index))
            world.syncs = not is_slow
            attackers[-1].attack(babbles[index])
            world.syncs = True
            world.sync()
        victim.work()
        world.wait(200)
        if len(attackers) > 1:
            attackers.pop(0).leave()
    for attacker in attackers:
        attacker.leave()
    for _ in range(8):
        world.wait(TIMEOUT_MS_MAX // 4)
        victim.work()
    return world, victim


@cache
def undisturbed(rounds: int) -> list[Any]:
    return live(rounds, [], is_slow=False)[1].seen


def check_nothing_is_left(world: World) -> None:
    """Check that of all who babbled the machine holds nothing but the znodes they made."""
    machine = world.machine
    database = machine.database
    assert list(machine.connections.by_number) == [VICTIM]
    assert list(machine.connections.attached) == [SECRET_SESSION] == list(database.timeouts_ms)
    assert not machine.connections.throttled
    assert list(database.overlay.ephemerals) == [SECRET_SESSION]
    assert not database.overlay.pending
    assert not machine.pipeline.in_flight
    assert machine.pipeline.outstanding == 0
    assert {number for _, number in machine.watches.listing()} <= {VICTIM}
    assert machine.watches.connection_count <= 1
    again = replayed(world.log())
    assert again.image() == machine.image()
    assert again.digest == machine.image().digest


@settings(max_examples=MACHINE_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(BABBLE, min_size=1, max_size=5), st.booleans())
def test_no_babble_disturbs_another_session_or_leaves_anything_in_the_machine(babbles: list[Babble], is_slow: bool) -> None:
    world, victim = live(len(babbles), babbles, is_slow)
    assert victim.seen == undisturbed(len(babbles))
    assert VICTIM not in world.closed
    check_nothing_is_left(world)


def babble_at(port: int, babble: Babble) -> None:
    """Say it all, whether the server listens or not, and wait until it has closed."""
    with socket.create_connection(("127.0.0.1", port), SECONDS_MAX) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):
            for piece in babble._replace(piece=max(babble.piece, PIECE_BYTES_MIN)).pieces():
                sock.sendall(piece)
            with contextlib.suppress(OSError):  # it may be cut off already
                sock.shutdown(socket.SHUT_WR)
            while sock.recv(1 << 16):
                pass


def test_no_babble_stops_a_server_makes_it_grow_or_disturbs_who_is_connected() -> None:
    said: list[Babble] = []
    keeper = Keeper(min_session_timeout_ms=200, max_client_connections=0)
    with keeper, RawClient(keeper.port) as victim:
        victim.connect(timeout_ms=40_000)
        assert victim.create("/own").err == 0

        @settings(max_examples=SERVER_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(BABBLE)
        def check(babble: Babble) -> None:
            said.append(babble)
            babble_at(keeper.port, babble)
            assert victim.set("/own", b"value").err == 0
            assert victim.get("/own").body[4:9] == b"value"

        check()
        assert len(said) >= SERVER_EXAMPLES
        before = resident_bytes(keeper.pid)
        for _ in range(SERVER_ROUNDS):
            for babble in said[:SERVER_EXAMPLES]:
                babble_at(keeper.port, babble)
            assert victim.set("/own", b"value").err == 0
        assert resident_bytes(keeper.pid) - before < GROWTH_BYTES_MAX
