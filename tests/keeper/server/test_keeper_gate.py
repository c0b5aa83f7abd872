"""The gate: who has not become a client yet is bounded in time and number, and counts as a connection of its address."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from certificates import REASON, Authority, is_installed

from muskox.keeper.machine.events import ConnectionOpened, Event
from muskox.keeper.server import gate as module
from muskox.keeper.server.client import ClientSocket
from muskox.keeper.server.gate import Gate

pytestmark = pytest.mark.skipif(not is_installed(), reason=REASON)

SECONDS_MAX = 10.0
FRAME_BYTES_MAX = 1 << 16


class Entrance:
    """A hub that lets in whom it is told to, and keeps what it hears."""

    def __init__(self) -> None:
        self.inside = 0
        self.inside_max = 100
        self.failed = 0
        self.opened: list[ConnectionOpened] = []

    def handle(self, event: Event) -> None:
        if isinstance(event, ConnectionOpened):
            self.opened.append(event)

    def admit(self, address: str) -> bool:
        assert address == "127.0.0.1"
        if self.inside >= self.inside_max:
            return False
        self.inside += 1
        return True

    def turned_away(self, address: str, has_failed: bool) -> None:
        assert address == "127.0.0.1"
        self.inside -= 1
        self.failed += has_failed

    def joined(self, _: ClientSocket) -> int:
        return len(self.opened) + 1

    def left(self, _: ClientSocket) -> None:
        self.inside -= 1

    def find_answer(self, word: str, rest: bytes, number: int) -> bytes | None:
        return b"imok" if word == "ruok" and not rest and number else None


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("gate"))
    made.issue("server", "/CN=server")
    return made


def server_context(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context


def run(authority: Authority, story: Callable[[Entrance, int], Awaitable[None]], takes_plaintext: bool = True) -> Entrance:
    """Tell a story to an open gate on the loop that the server runs on; in the end nobody may be left inside."""
    import uvloop

    async def tell() -> Entrance:
        entrance = Entrance()
        context = server_context(authority.folder)
        gate = Gate(entrance, lambda: ClientSocket(entrance, FRAME_BYTES_MAX), context, takes_plaintext)
        port = gate.open("127.0.0.1", 0)
        try:
            async with asyncio.timeout(SECONDS_MAX):
                await story(entrance, port)
                await until(lambda: not gate.silent and not gate.handshakes)
        finally:
            gate.close()
            gate.close()
        async with asyncio.timeout(SECONDS_MAX):
            await until(lambda: entrance.inside == 0)
        return entrance

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(tell())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def said(port: int, data: bytes, context: ssl.SSLContext | None = None) -> bytes:
    """Return all that the server says to `data` until it closes."""
    host = None if context is None else "localhost"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
    writer.write(data)
    try:
        return await reader.read()
    except (ConnectionResetError, ssl.SSLError):
        return b""
    finally:
        writer.close()


def test_both_languages_are_told_by_the_first_byte(authority: Authority) -> None:
    async def story(entrance: Entrance, port: int) -> None:
        assert await said(port, b"ruok") == b"imok"
        assert await said(port, b"ruok", authority.client_context()) == b"imok"
        assert [event.address for event in entrance.opened] == ["127.0.0.1"] * 2

    assert run(authority, story).failed == 0


def test_a_secure_port_has_no_word_for_plaintext(authority: Authority) -> None:
    async def story(entrance: Entrance, port: int) -> None:
        assert await said(port, b"ruok") == b""
        assert await said(port, b"ruok", authority.client_context()) == b"imok"

    assert run(authority, story, takes_plaintext=False).failed == 0


def test_who_says_nothing_is_dropped_in_time(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_BYTE_SECONDS_MAX", 0.05)

    async def story(entrance: Entrance, port: int) -> None:
        assert await said(port, b"") == b""
        assert entrance.opened == []

    assert run(authority, story).failed == 0


def test_a_handshake_that_does_not_end_is_dropped_in_time(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TLS_WAITS", {"ssl_handshake_timeout": 0.05, "ssl_shutdown_timeout": 0.05})

    async def story(entrance: Entrance, port: int) -> None:
        assert await said(port, b"\x16\x03\x01") == b""
        await until(lambda: entrance.inside == 0)
        assert entrance.opened == []

    assert run(authority, story).failed == 1


def test_handshakes_at_once_are_bounded_and_others_wait_for_none(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDSHAKES_MAX", 2)

    async def story(entrance: Entrance, port: int) -> None:
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        for each in slow:
            each.sendall(b"\x16")
        await until(lambda: entrance.inside == 2)
        assert await said(port, b"\x16") == b""
        assert await said(port, b"ruok") == b"imok"
        for each in slow:
            each.close()
        await until(lambda: entrance.inside == 0)
        assert await said(port, b"ruok", authority.client_context()) == b"imok"

    assert run(authority, story).failed == 2


def test_who_is_not_admitted_is_dropped_before_it_speaks(authority: Authority) -> None:
    async def story(entrance: Entrance, port: int) -> None:
        entrance.inside_max = 0
        assert await said(port, b"") == b""

    run(authority, story)


def test_when_descriptors_run_out_others_are_accepted_later(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.02)
    accept, tried = socket.socket.accept, []

    def refuse_twice(self: socket.socket) -> tuple[socket.socket, object]:
        tried.append(1)
        if len(tried) <= 2:
            raise OSError(errno.EMFILE, "too many open files")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", refuse_twice)

    async def story(entrance: Entrance, port: int) -> None:
        assert await said(port, b"ruok") == b"imok"

    run(authority, story)


def test_a_name_is_listened_at_where_java_listens(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET6, 1, 6, "", ("::1", 0, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))]

    async def story() -> None:
        entrance = Entrance()
        gate = Gate(entrance, lambda: ClientSocket(entrance, FRAME_BYTES_MAX), server_context(authority.folder), True)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        port = gate.open("localhost", 0)
        monkeypatch.undo()
        assert gate.listener.getsockname() == ("127.0.0.1", port)
        gate.close()

    asyncio.run(story())


def test_a_close_drops_who_is_waiting(authority: Authority) -> None:
    import uvloop

    async def tell() -> None:
        entrance = Entrance()
        gate = Gate(entrance, lambda: ClientSocket(entrance, FRAME_BYTES_MAX), server_context(authority.folder), True)
        port = gate.open("127.0.0.1", 0)
        silent, slow = (socket.create_connection(("127.0.0.1", port), SECONDS_MAX) for _ in range(2))
        slow.sendall(b"\x16")
        async with asyncio.timeout(SECONDS_MAX):
            await until(lambda: len(gate.silent) == len(gate.handshakes) == 1)
            gate.close()
            await until(lambda: entrance.inside == 0)
        for each in (silent, slow):
            assert await asyncio.to_thread(each.recv, 1) == b""
            each.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(tell())
