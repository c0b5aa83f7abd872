"""The small HTTP server: what it answers, and what it does not let a client do."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from muskox.errors import Unavailable
from muskox.keeper.server import http
from muskox.keeper.server.http import CONNECTIONS_MAX, Door, Request, Response

SECONDS_MAX = 20.0
PATIENCE = 0.05  # for what is cut off


def echo(request: Request) -> Response:
    if request.path == "/big":
        return Response(200, "text/plain", "x" * 16_000_000)
    return Response(200, "text/plain", f"{request.path} {request.arguments} {request.all_arguments}\u00e9")


def with_door(story: Callable[[Door], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        door = Door(echo)
        await door.open("127.0.0.1", 0, "the test port")
        try:
            await asyncio.wait_for(story(door), SECONDS_MAX)
        finally:
            door.close()

    asyncio.run(run())


async def say(door: Door, data: bytes) -> bytes:
    """Send `data`, close this end, and return all that comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(data)
    writer.write_eof()
    told = await reader.read()
    writer.close()
    return told


def test_a_get_is_answered_with_path_and_arguments() -> None:
    async def story(door: Door) -> None:
        told = await say(door, b"GET /a%20b?x=1&x=2&y= HTTP/1.1\r\nHost: h\r\n\r\n")
        head, _, body = told.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Content-Length: %d\r\n" % len(body) in head + b"\r\n"
        assert body.decode() == "/a b {'x': '1', 'y': ''} {'x': ['1', '2'], 'y': ['']}\u00e9"

    with_door(story)


def test_a_connection_stays_for_more_requests_even_piped_ones() -> None:
    async def story(door: Door) -> None:
        one = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"
        told = await say(door, b"".join(one % index for index in range(50)))
        assert told.count(b"HTTP/1.1 200 OK") == 50
        assert told.index(b"/0 {}") < told.index(b"/49 {}")
        assert (await say(door, b"GET / HTTP/1.0\r\n\r\n")).count(b"200 OK") == 1

    with_door(story)


def test_a_head_has_no_body_and_other_methods_are_refused() -> None:
    async def story(door: Door) -> None:
        head = await say(door, b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert head.endswith(b"\r\n\r\n")
        post = await say(door, b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
        assert post.startswith(b"HTTP/1.1 405 Method Not Allowed")
        assert b"Allow: GET, HEAD" in post

    with_door(story)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),  # no Host
        (b"GET /" + b"x" * 20_000, b"431"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + bytes(70_000), b"413"),
    ],
    ids=["nonsense", "no host", "long head", "long body"],
)
def test_what_is_no_request_ends_with_its_status(data: bytes, status: bytes) -> None:
    async def story(door: Door) -> None:
        told = await say(door, data)
        assert told.split(b" ")[1] == status
        assert (await say(door, b"GET /on HTTP/1.1\r\nHost: h\r\n\r\n")).startswith(b"HTTP/1.1 200")

    with_door(story)


def test_one_that_asks_slowly_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SECONDS_MAX", PATIENCE)

    async def story(door: Door) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(b"GET / HT")
        with pytest.raises(ConnectionResetError):
            assert await reader.read() == b""
            raise ConnectionResetError  # an orderly end is as good
        assert not door.sockets
        writer.close()

    with_door(story)


def test_one_that_does_not_read_is_bounded_and_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SECONDS_MAX", 1.0)

    async def story(door: Door) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1)
        writer.write(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n" * 20)
        while not door.sockets:
            await asyncio.sleep(0)
        (socket,) = door.sockets
        most = 0
        while door.sockets:
            most = max(most, socket.transport.get_write_buffer_size())
            await asyncio.sleep(0.01)
        assert 0 < most < 2 * 16_000_000  # one answer, not twenty
        writer.close()

    with_door(story)


def test_answers_that_nobody_reads_are_bounded_and_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "UNREAD_BYTES_MAX", 1 << 20)

    async def story(door: Door) -> None:
        _, greedy = await asyncio.open_connection("127.0.0.1", door.port, limit=1)
        greedy.write(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n")
        while not any(each.is_choked for each in door.sockets):
            await asyncio.sleep(0)
        assert b" 503 " in await say(door, b"GET /a HTTP/1.0\r\n\r\n")
        greedy.transport.abort()
        while b" 503 " in await say(door, b"GET /a HTTP/1.0\r\n\r\n"):
            await asyncio.sleep(0)

    with_door(story)


def test_more_clients_than_are_allowed_are_turned_away() -> None:
    async def story(door: Door) -> None:
        pairs = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(CONNECTIONS_MAX)]
        while len(door.sockets) < CONNECTIONS_MAX:
            await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        assert len(door.sockets) == CONNECTIONS_MAX
        pairs[0][1].write(b"GET /still HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"200 OK" in await pairs[0][0].readline()
        for _, each in pairs:
            each.close()
        while door.sockets:
            await asyncio.sleep(0)

    with_door(story)


def test_a_port_in_use_is_refused_in_one_sentence() -> None:
    async def story(door: Door) -> None:
        with pytest.raises(Unavailable, match=f"the test port {door.port} of 127.0.0.1 is in use; take another, or none"):
            await Door(echo).open("127.0.0.1", door.port, "the test port")

    with_door(story)
