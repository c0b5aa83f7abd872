"""Hostile clients at a real server: each is bounded in memory and cut off in the end, and others are served meanwhile."""

import contextlib
import random
import resource
import socket
import time
from collections.abc import Iterator

import pytest
from apache import four_letters
from raw import OPEN, SECONDS_MAX, RawClient, connect_request, request, resident_bytes

from muskox.keeper import Keeper
from muskox.keeper.wire.frames import FRAME_BYTES_MAX
from muskox.keeper.wire.jute import encode
from muskox.keeper.wire.opcodes import XID_NOTIFICATION, OpCode
from muskox.keeper.wire.records import CreateRequest, PathKind, PathOnly, PathWatch, SetDataRequest

SILENT = 2_000
STORM = 3_000
GUESSES = 300
RESIDENT_BYTES_MAX = 150 << 20  # idle, it takes some 45 MiB
SENT_BYTES_MAX = 256 << 20  # a server that takes this much without being read does not look at who reads
LEFT_SECONDS_MAX = 60.0
STUCK_SECONDS = 0.5
NOTIFIED_BYTES = 40 << 20  # to one who does not read: more than the server keeps and the system's buffers hold
PERSISTENT = 0


class Siege:
    """A keeper, and one session that must be served whatever the others do."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.port = keeper.port
        self.stack = contextlib.ExitStack()
        self.flooding: list[int] = []  # sessions of floods that are to be cut off
        self.victim = self.stack.enter_context(RawClient(keeper.port))
        self.victim.connect(timeout_ms=40_000)
        assert self.victim.create("/victim", b"").err == 0

    def check(self) -> None:
        """Check that the victim is served, and that the server is no larger than it may be."""
        assert self.victim.set("/victim", b"value").err == 0
        assert self.victim.get("/victim").body[4:9] == b"value"
        assert resident_bytes(self.keeper.pid) < RESIDENT_BYTES_MAX

    def session(self, **how: int) -> RawClient:
        client = RawClient(self.port)
        assert client.connect(**how) is not None
        return client

    def connections(self) -> int:
        said = dict(line.split("\t") for line in four_letters(self.port, "mntr").splitlines())
        return int(said["zk_num_alive_connections"])

    def await_gone(self, session_id: int) -> None:
        """Wait until that session has no connection any more."""
        deadline = time.monotonic() + LEFT_SECONDS_MAX
        while f"sid=0x{session_id:x}," in four_letters(self.port, "cons"):
            assert time.monotonic() < deadline


@pytest.fixture(scope="module")
def siege() -> Iterator[Siege]:
    limits = {"four_letter_words": "all", "max_client_connections": 0, "min_session_timeout_ms": 200}
    with Keeper(**limits) as keeper:
        siege = Siege(keeper)
        with siege.stack:
            yield siege


@pytest.fixture(scope="module")
def silent(siege: Siege) -> Iterator[list[socket.socket]]:
    """Many who connect and say nothing, or begin a greeting that never ends."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_connection(("127.0.0.1", siege.port), SECONDS_MAX)) for _ in range(SILENT)]
        for index, sock in enumerate(socks):
            sock.sendall(connect_request()[: index % 40])
        yield socks


def flood(sock: socket.socket, data: bytes) -> None:
    """Send again and again, reading nothing, until the server takes no more or cuts this client off."""
    sock.settimeout(STUCK_SECONDS)
    sent = 0
    with contextlib.suppress(ConnectionError, TimeoutError):
        while sent < SENT_BYTES_MAX:
            sent += sock.send(data)
    assert sent < SENT_BYTES_MAX


def read_to_the_end(sock: socket.socket) -> None:
    sock.settimeout(LEFT_SECONDS_MAX)
    with contextlib.suppress(ConnectionError):
        while sock.recv(1 << 20):
            pass


def test_thousands_who_say_nothing_are_counted_and_cost_little(siege: Siege, silent: list[socket.socket]) -> None:
    siege.check()
    assert siege.connections() >= len(silent)


def test_one_byte_at_a_time_is_served_like_any_other(siege: Siege) -> None:
    with RawClient(siege.port) as slow:
        slow.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = connect_request() + request(1, OpCode.CREATE, CreateRequest("/slow", b"x", OPEN, 1))
        for byte in data + request(2, OpCode.GET_DATA, PathWatch("/slow", False)):
            slow.send(bytes([byte]))
        assert slow.receive_frame() is not None
        created, got = slow.receive(), slow.receive()
        assert created is not None and (created.xid, created.err) == (1, 0)
        assert got is not None and (got.xid, got.err, got.body[4:5]) == (2, 0, b"x")
    siege.check()


def test_half_a_frame_is_waited_for_no_longer_than_the_session_lasts(siege: Siege) -> None:
    with siege.session(timeout_ms=200) as half:
        assert half.create("/half", b"", 1).err == 0
        half.send(request(9, OpCode.SET_DATA, SetDataRequest("/half", bytes(100_000), -1))[:-1])
        assert half.receive_frame() is None
        assert siege.victim.exists("/half").err == -101
    siege.check()


@pytest.mark.parametrize("what", ["pings", "reads", "writes"])
def test_a_flood_that_reads_nothing_is_not_read_from_for_ever(siege: Siege, what: str) -> None:
    siege.victim.create("/large", bytes(500_000))
    data = {
        "pings": request(-2, OpCode.PING),
        "reads": request(1, OpCode.GET_DATA, PathWatch("/large", False)),
        "writes": request(1, OpCode.SET_DATA, SetDataRequest("/large", b"x", -1)),
    }
    flooding = siege.stack.enter_context(siege.session(timeout_ms=200))
    flooding.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    flood(flooding.sock, data[what] * 2_000)
    siege.check()
    siege.flooding.append(flooding.session_id)


def test_a_watcher_that_never_reads_is_cut_off(siege: Siege) -> None:
    busy = "/" + "b" * 100_000
    assert siege.victim.create(busy).err == 0
    with siege.session(timeout_ms=40_000) as deaf:
        deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert deaf.ask(OpCode.ADD_WATCH, PathKind(busy, PERSISTENT))[-1].err == 0
        for _ in range(NOTIFIED_BYTES // len(busy)):
            assert siege.victim.set(busy, b"").err == 0
        assert resident_bytes(siege.keeper.pid) < RESIDENT_BYTES_MAX
        siege.await_gone(deaf.session_id)
    assert siege.victim.delete(busy).err == 0


@pytest.mark.parametrize("size", [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00"])
def test_lengths_up_to_4_gigabytes_close_the_connection_at_once(siege: Siege, size: bytes) -> None:
    with RawClient(siege.port) as first, siege.session() as later:
        first.send(size + b"x" * 100)
        later.send(size + b"x" * 100)
        assert first.receive_frame() is None
        assert later.receive_frame() is None
    siege.check()


def test_the_longest_frame_is_taken_and_one_byte_more_is_not(siege: Siege) -> None:
    with siege.session() as client:
        client.create("/longest")
        overhead = len(request(1, OpCode.SET_DATA, SetDataRequest("/longest", b"", -1))) - 4
        longest = FRAME_BYTES_MAX - overhead
        assert client.set("/longest", bytes(longest)).err == 0
        with contextlib.suppress(ConnectionError):  # it is closed at the length, before the rest has come
            client.send(request(9, OpCode.SET_DATA, SetDataRequest("/longest", bytes(longest + 1), -1)))
        assert client.receive_frame() is None
    assert siege.victim.delete("/longest").err == 0
    siege.check()


def test_a_storm_of_connections_passes(siege: Siege) -> None:
    for index in range(STORM):
        with socket.create_connection(("127.0.0.1", siege.port), SECONDS_MAX) as sock:
            if index % 3:
                sock.sendall(connect_request(timeout_ms=200))
            if index % 3 == 2:
                assert sock.recv(4)
    siege.check()


def test_sessions_cannot_be_guessed_and_one_whose_id_is_known_is_kept_by_its_password(siege: Siege) -> None:
    rng = random.Random(7)
    with siege.session(timeout_ms=30_000) as owner:
        assert owner.create("/owned", b"", 1).err == 0
        for guess in range(GUESSES):
            with RawClient(siege.port) as thief:
                session_id = owner.session_id + rng.randrange(-50, 50) if guess % 10 else owner.session_id
                answer = thief.connect(session_id=session_id, password=rng.randbytes(16))
                assert answer is not None and (answer[0].session_id, answer[0].timeout_ms) == (0, 0)
                assert thief.receive_frame() is None
        assert siege.victim.exists("/owned").err == 0
        with RawClient(siege.port) as again:
            resumed = again.connect(session_id=owner.session_id, password=owner.password)
            assert resumed is not None and resumed[0].session_id == owner.session_id
            reply = again.ask(OpCode.GET_EPHEMERALS, PathOnly("/owned"))[-1]
            assert b"/owned" in reply.body
            assert again.ask(OpCode.CLOSE_SESSION)
    siege.check()


def test_more_watches_than_anyone_needs_are_borne_and_go_with_their_owner(siege: Siege) -> None:
    with siege.session(timeout_ms=200) as watchful:
        paths = b"".join(encode(PathOnly(f"/no/such/node/{number}")) for number in range(30_000))
        none = (0).to_bytes(4, "big")
        body = bytes(8) + none + (30_000).to_bytes(4, "big") + paths + none
        watchful.send(request(1, OpCode.SET_WATCHES, body))
        reply = watchful.receive()
        assert reply is not None and reply.xid != XID_NOTIFICATION
        siege.check()
    deadline = time.monotonic() + LEFT_SECONDS_MAX
    while "zk_watch_count\t0\n" not in four_letters(siege.port, "mntr"):
        assert time.monotonic() < deadline
    siege.check()


def test_when_descriptors_run_out_who_is_connected_is_served_and_others_are_later() -> None:
    with Keeper(max_client_connections=0) as keeper, RawClient(keeper.port) as victim:
        victim.connect()
        resource.prlimit(keeper.pid, resource.RLIMIT_NOFILE, (64, 64))
        with contextlib.ExitStack() as stack:
            for _ in range(200):
                stack.enter_context(socket.create_connection(("127.0.0.1", keeper.port), SECONDS_MAX))
            assert victim.create("/during").err == 0
        deadline = time.monotonic() + LEFT_SECONDS_MAX
        while True:
            with RawClient(keeper.port) as later:
                if later.connect() is not None:
                    break
            assert time.monotonic() < deadline
        assert victim.exists("/during").err == 0


def test_in_the_end_all_who_flooded_or_said_nothing_are_gone(siege: Siege, silent: list[socket.socket]) -> None:
    for session_id in siege.flooding:
        siege.await_gone(session_id)
    for sock in silent:
        read_to_the_end(sock)
    deadline = time.monotonic() + LEFT_SECONDS_MAX
    while siege.connections() > 2:  # the victim, and whoever asks
        assert time.monotonic() < deadline
    siege.check()
