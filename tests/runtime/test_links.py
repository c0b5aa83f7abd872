"""Links over real sockets: only who knows the key gets in, strangers harm nobody, and silence is a death."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from muskox.errors import PeerError
from muskox.runtime.links import (
    BUFFER_BYTES,
    GREETING_BYTES_MAX,
    HANDSHAKE_S_MAX,
    MAGIC,
    NONCE_BYTES,
    Link,
    LinkOptions,
    answer,
    dial,
)
from muskox.runtime.messages import LENGTHS, Beat, Fetch, Hello, Total, frame

KEY = b"k" * 32
BOUND_S = 20.0


def options(worker: str, key: bytes = KEY, silence_s: float = BOUND_S) -> LinkOptions:
    return LinkOptions("job-1", worker, key, lambda: silence_s)


@dataclass
class Listener:
    """A worker's listening side: what it accepted and whom it turned away."""

    options: LinkOptions
    address: str = ""
    accepted: "asyncio.Queue[Link]" = field(default_factory=asyncio.Queue)
    refused: "asyncio.Queue[str]" = field(default_factory=asyncio.Queue)
    open: list[Link] = field(default_factory=list)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            link = await answer(self.options, reader, writer)
        except PeerError as error:
            self.refused.put_nowait(str(error))
        else:
            self.open.append(link)
            self.accepted.put_nowait(link)


@contextlib.asynccontextmanager
async def listening(worker: str = "root", key: bytes = KEY) -> AsyncIterator[Listener]:
    listener = Listener(options(worker, key))
    server = await asyncio.start_server(listener.accept, "127.0.0.1", 0)
    listener.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield listener
    finally:
        for link in listener.open:
            link.close()
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def linked(listener: Listener, worker: str = "w1") -> AsyncIterator[tuple[Link, Link]]:
    """Yield both ends of a proven link."""
    link = await dial(options(worker), listener.address, "root", 3)
    try:
        yield link, await listener.accepted.get()
    finally:
        link.close()


@contextlib.asynccontextmanager
async def stranger(listener: Listener) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = listener.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(BOUND_S):
            await test()

    asyncio.run(bounded())


def test_both_ends_know_who_speaks_and_in_which_generation() -> None:
    async def test() -> None:
        async with listening() as listener, linked(listener) as (member, root):
            assert (member.peer, member.generation) == ("root", 3)
            assert (root.peer, root.generation) == ("w1", 3)
            member.send(Hello(3, -1, "", False))
            assert await root.receive(lambda: BOUND_S) == (Hello(3, -1, "", False), b"")
            body = bytes(range(256)) * 40_000  # more than the buffers of the sockets hold
            root.send(Total(3, 0), body)
            root.send(Fetch(3))
            assert await member.receive(lambda: BOUND_S) == (Total(3, 0), body)
            assert await member.receive(lambda: BOUND_S) == (Fetch(3), b"")

    run(test)


def test_a_beat_is_heard_and_not_handed_on() -> None:
    async def test() -> None:
        async with listening() as listener, linked(listener) as (member, root):
            member.send(Beat())
            member.send(Fetch(3))
            assert await root.receive(lambda: BOUND_S) == (Fetch(3), b"")

    run(test)


def test_a_caller_with_another_key_is_refused() -> None:
    async def test() -> None:
        async with listening() as listener:
            with pytest.raises(PeerError, match="no link with root at"):
                await dial(options("w1", b"x" * 32), listener.address, "root", 3)
            assert "cannot prove that it knows the cluster's secret" in await listener.refused.get()

    run(test)


def test_who_is_called_must_prove_itself_too() -> None:
    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(MAGIC + b"n" * NONCE_BYTES)
        await reader.readexactly(4)
        writer.write(b"p" * 32)
        await reader.read()
        writer.close()
        gone.set()

    gone = asyncio.Event()

    async def test() -> None:
        async with await asyncio.start_server(impostor, "127.0.0.1", 0) as server:
            address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(PeerError, match="it cannot prove that it knows the cluster's secret"):
                await dial(options("w1"), address, "root", 3)
            await gone.wait()

    run(test)


@pytest.mark.parametrize("wanted", [{"worker": "another"}, {"job": "job-2"}])
def test_a_caller_who_looks_for_somebody_else_is_refused(wanted: dict[str, str]) -> None:
    async def test() -> None:
        async with listening() as listener:
            caller = replace(options("w1"), **({"job": wanted["job"]} if "job" in wanted else {}))
            with pytest.raises(PeerError):
                await dial(caller, listener.address, wanted.get("worker", "root"), 3)
            assert "w1 looks for" in await listener.refused.get()

    run(test)


def test_nobody_there_is_a_peer_error_that_names_the_address() -> None:
    async def test() -> None:
        async with listening() as listener:
            address = listener.address
        with pytest.raises(PeerError, match=f"no link with root at {address}"):
            await dial(options("w1"), address, "root", 3)

    run(test)


def test_a_service_that_is_no_worker_is_recognised() -> None:
    async def web(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    async def test() -> None:
        async with await asyncio.start_server(web, "127.0.0.1", 0) as server:
            address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(PeerError, match="it is no worker of muskox"):
                await dial(options("w1"), address, "root", 3)

    run(test)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\xff" * 64,
        (GREETING_BYTES_MAX + 1).to_bytes(4, "big"),
        b"\0\0\0\4abcd" + b"z" * 64,
    ],
    ids=["http", "ones", "greeting too long", "no proof"],
)
def test_garbage_is_turned_away_at_once_and_harms_no_other(garbage: bytes) -> None:
    async def test() -> None:
        async with listening() as listener, linked(listener) as (member, root):
            async with stranger(listener) as (reader, writer):
                writer.write(garbage)
                assert "a stranger was turned away" in await listener.refused.get()
                with contextlib.suppress(ConnectionResetError):
                    assert len(await reader.read()) <= len(MAGIC) + NONCE_BYTES
            member.send(Fetch(3))
            assert (await root.receive(lambda: BOUND_S))[0] == Fetch(3)

    run(test)


def test_a_caller_who_leaves_is_turned_away() -> None:
    async def test() -> None:
        async with listening() as listener:
            async with stranger(listener):
                pass
            assert "a stranger was turned away" in await listener.refused.get()

    run(test)


def test_a_caller_who_says_nothing_is_cut_off() -> None:
    async def test() -> None:
        async with listening() as listener, linked(listener) as (member, root):
            async with stranger(listener) as (reader, _):
                assert (await reader.readexactly(len(MAGIC) + NONCE_BYTES)).startswith(MAGIC)
                begun = asyncio.get_running_loop().time()
                assert await reader.read() == b""
                assert asyncio.get_running_loop().time() - begun > HANDSHAKE_S_MAX / 2
            member.send(Fetch(3))
            assert (await root.receive(lambda: BOUND_S))[0] == Fetch(3)

    run(test)


def test_a_peer_that_falls_silent_is_lost() -> None:
    async def test() -> None:
        async with listening() as listener, linked(listener) as (member, _):
            with pytest.raises(PeerError, match=r"root was silent for 0\.05 s"):
                await member.receive(lambda: 0.05)

    run(test)


def test_a_peer_that_computes_for_long_is_kept_alive_by_its_beats() -> None:
    async def test() -> None:
        async with listening() as listener, linked(listener) as (member, _):
            receiving = asyncio.create_task(member.receive(lambda: 1.5))  # longer than the second between two beats
            done, _ = await asyncio.wait([receiving], timeout=2.2)
            assert not done
            receiving.cancel()

    run(test)


def test_a_large_frame_that_keeps_coming_is_no_silence() -> None:
    data = frame(Total(3, 0), b"x" * (12 * BUFFER_BYTES))

    async def test() -> None:
        async with listening() as listener, linked(listener) as (member, root):

            async def trickle() -> None:
                """Send a piece each time that the one before has gone, for longer in all than the silence allowed."""
                for first in range(0, len(data), BUFFER_BYTES):
                    root._writer.write(data[first : first + BUFFER_BYTES])
                    await asyncio.sleep(0.1)

            sending = asyncio.create_task(trickle())
            _, body = await member.receive(lambda: 0.8)
            assert len(body) == 12 * BUFFER_BYTES
            await sending

    run(test)


def test_a_peer_that_closes_is_lost() -> None:
    async def test() -> None:
        async with listening() as listener, linked(listener) as (member, root):
            root.close()
            with pytest.raises(PeerError, match="the connection with root broke"):
                await member.receive(lambda: BOUND_S)

    run(test)


@pytest.mark.parametrize(
    "garbage",
    [b"\xff" * LENGTHS.size, LENGTHS.pack(4 + 3, 3) + b"abc", frame(Fetch(1))[:-1] + b"\xc1"],
    ids=["bounds", "head", "value"],
)
def test_garbage_on_a_proven_link_is_a_peer_error(garbage: bytes) -> None:
    async def test() -> None:
        async with listening() as listener, linked(listener) as (member, root):
            root._writer.write(garbage)
            with pytest.raises(PeerError):
                await member.receive(lambda: BOUND_S)

    run(test)


def test_a_torn_frame_is_a_peer_error() -> None:
    async def test() -> None:
        async with listening() as listener, linked(listener) as (member, root):
            root._writer.write(frame(Total(3, 1), b"x" * 100)[:-1])
            root.close()
            with pytest.raises(PeerError, match="the connection with root broke"):
                await member.receive(lambda: BOUND_S)

    run(test)
