"""Links over real sockets: only who knows the key gets in, strangers harm nobody, and silence is a death."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import uvloop

from muskox.errors import PeerError
from muskox.runtime.collective.links import (
    BEAT_S,
    GREETING_BYTES_MAX,
    MAGIC,
    NONCE_BYTES,
    WRITE_BYTES,
    Link,
    LinkOptions,
    Links,
)
from muskox.runtime.collective.memory import Arena, Loan
from muskox.runtime.message import Buffer
from muskox.runtime.messages import LENGTHS, Beat, Collective, Fetch, Hello, Total, frame, mark_lent

KEY = b"k" * 32
BOUND_S = 20.0
HELLO = Hello(3, "w1", -1, "", False)


def options(worker: str, key: bytes = KEY, silence_s: float = BOUND_S) -> LinkOptions:
    return LinkOptions("job-1", worker, key, lambda: silence_s)


@dataclass
class End:
    """One worker's links, and what it was told of them."""

    options: LinkOptions
    address: str = ""
    accepted: "asyncio.Queue[Link]" = field(default_factory=asyncio.Queue)
    messages: "asyncio.Queue[tuple[Collective, bytes]]" = field(default_factory=asyncio.Queue)
    raw: "asyncio.Queue[tuple[Collective, Any]]" = field(default_factory=asyncio.Queue)
    losses: "asyncio.Queue[str]" = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.arena = Arena()
        self.links = Links(self.options, self, self.arena)

    async def listen(self) -> asyncio.Server:
        server = await self.links.listen("127.0.0.1")
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    def opened(self, link: Link) -> None:
        self.accepted.put_nowait(link)

    def heard(self, _: Link, message: Collective, body: Buffer) -> None:
        self.messages.put_nowait((message, bytes(body)))
        self.raw.put_nowait((message, body))

    def lost(self, _: Link, reason: str) -> None:
        self.losses.put_nowait(reason)


@contextlib.asynccontextmanager
async def listening(key: bytes = KEY, silence_s: float = BOUND_S) -> AsyncIterator[End]:
    root = End(options("root", key, silence_s))
    server = await root.listen()
    try:
        yield root
    finally:
        server.close()


@contextlib.asynccontextmanager
async def linked(root: End, silence_s: float = BOUND_S) -> AsyncIterator[tuple[End, Link, Link]]:
    """Yield a member, its end of a proven link, and the root's."""
    member = End(options("w1", silence_s=silence_s))
    server = await member.listen()
    link = await member.links.dial(root.address, "root", 3)
    theirs = await root.accepted.get()
    try:
        yield member, link, theirs
    finally:
        link.close()
        theirs.close()
        server.close()


@contextlib.asynccontextmanager
async def stranger(root: End) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = root.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def dial(caller: LinkOptions, address: str, called: str = "root") -> Link:
    return await End(caller).links.dial(address, called, 3)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(BOUND_S):
            await test()

    uvloop.run(bounded())


def test_both_ends_know_who_speaks_and_in_which_generation() -> None:
    async def test() -> None:
        async with listening() as root, linked(root) as (member, link, theirs):
            assert (link.peer, link.generation) == ("root", 3)
            assert (theirs.peer, theirs.generation) == ("w1", 3)
            link.send(HELLO)
            assert await root.messages.get() == (HELLO, b"")
            body = bytes(range(256)) * 40_000  # more than the buffers of the sockets hold
            theirs.send(Total(3, 0), body)
            theirs.send(Fetch(3, "w1"))
            assert await member.messages.get() == (Total(3, 0), body)
            assert await member.messages.get() == (Fetch(3, "w1"), b"")

    run(test)


def test_bodies_of_every_size_arrive_whole_and_in_order() -> None:
    sizes = [0, 1, 63, 64, 65, 16_383, 16_384, 16_385, 65_000, 65_536, 65_537, WRITE_BYTES, 3 * WRITE_BYTES + 1, 7]

    async def test() -> None:
        async with listening() as root, linked(root) as (_, link, _):
            for size in sizes:
                link.send(Total(3, size), bytes([size % 251]) * size)
            for size in sizes:
                assert await root.messages.get() == (Total(3, size), bytes([size % 251]) * size)

    run(test)


def test_frames_may_come_in_pieces_of_any_size() -> None:
    frames = b"".join(frame(Total(3, size), b"x" * size) for size in (0, 5, 70_000, 1))

    async def test() -> None:
        async with listening() as root, linked(root) as (_, link, _):
            for first in range(0, len(frames), 997):
                link.write(frames[first : first + 997])
                await asyncio.sleep(0)
            assert [len((await root.messages.get())[1]) for _ in range(4)] == [0, 5, 70_000, 1]

    run(test)


def test_a_beat_is_heard_and_not_handed_on() -> None:
    async def test() -> None:
        async with listening() as root, linked(root) as (_, link, _):
            link.send(Beat())
            link.send(Fetch(3, "w1"))
            assert await root.messages.get() == (Fetch(3, "w1"), b"")

    run(test)


def test_a_caller_with_another_key_is_refused() -> None:
    async def test() -> None:
        async with listening() as root:
            with pytest.raises(PeerError, match="no link with root at"):
                await dial(options("w1", b"x" * 32), root.address)
            assert root.accepted.empty()

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
                await dial(options("w1"), address)
            await gone.wait()

    run(test)


@pytest.mark.parametrize("wanted", [{"worker": "another"}, {"job": "job-2"}])
def test_a_caller_who_looks_for_somebody_else_is_refused(wanted: dict[str, str]) -> None:
    async def test() -> None:
        async with listening() as root:
            caller = replace(options("w1"), **({"job": wanted["job"]} if "job" in wanted else {}))
            with pytest.raises(PeerError):
                await dial(caller, root.address, wanted.get("worker", "root"))
            assert root.accepted.empty()

    run(test)


def test_nobody_there_is_a_peer_error_that_names_the_address() -> None:
    async def test() -> None:
        async with listening() as root:
            address = root.address
        with pytest.raises(PeerError, match=f"no link with root at {address}"):
            await dial(options("w1"), address)

    run(test)


def test_a_service_that_is_no_worker_is_recognised() -> None:
    async def web(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    async def test() -> None:
        async with await asyncio.start_server(web, "127.0.0.1", 0) as server:
            address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(PeerError, match="it is no worker of muskox"):
                await dial(options("w1"), address)

    run(test)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\xff" * 64,
        (GREETING_BYTES_MAX + 1).to_bytes(4, "big"),
        b"\0\0\0\4abcd" + b"z" * 64,
        b"\0\0\0\4" * 100_000,
    ],
    ids=["http", "ones", "greeting too long", "no proof", "far too much"],
)
def test_garbage_is_turned_away_at_once_and_harms_no_other(garbage: bytes) -> None:
    async def test() -> None:
        async with listening() as root, linked(root) as (_, link, _):
            async with stranger(root) as (reader, writer):
                writer.write(garbage)
                with contextlib.suppress(ConnectionResetError):
                    assert len(await reader.read()) <= len(MAGIC) + NONCE_BYTES
            link.send(HELLO)
            assert await root.messages.get() == (HELLO, b"")

    run(test)


def test_a_caller_who_says_nothing_is_cut_off() -> None:
    async def test() -> None:
        async with listening() as root, linked(root) as (_, link, _):
            async with stranger(root) as (reader, _):
                assert (await reader.readexactly(len(MAGIC) + NONCE_BYTES)).startswith(MAGIC)
                assert await reader.read() == b""
            link.send(HELLO)
            assert await root.messages.get() == (HELLO, b"")

    run(test)


def test_a_peer_that_falls_silent_is_lost() -> None:
    async def test() -> None:
        async with listening() as root:
            member = End(options("w1", silence_s=4 * BEAT_S))
            server = await member.listen()
            await member.links.dial(root.address, "root", 3)
            theirs = await root.accepted.get()
            theirs.pause_writing()  # nothing leaves it any more, as if its process were stopped
            assert await member.losses.get() == "root was silent for 1 s"
            server.close()

    run(test)


def test_a_peer_that_computes_for_long_is_kept_alive_by_its_beats() -> None:
    async def test() -> None:
        async with listening() as root, linked(root, silence_s=4 * BEAT_S) as (member, link, _):
            began_s = link.heard_s
            while link.heard_s < began_s + 6 * BEAT_S:  # each beat moves it on
                await asyncio.sleep(BEAT_S / 4)
            assert member.losses.empty()

    run(test)


def test_a_peer_that_closes_is_lost() -> None:
    async def test() -> None:
        async with listening() as root, linked(root) as (member, _, theirs):
            theirs.close()
            assert await member.losses.get() == "the connection with root broke"

    run(test)


def test_a_peer_that_does_not_read_does_not_fill_our_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muskox.runtime.collective.links.WAITING_BYTES_MAX", 1 << 20)

    async def test() -> None:
        async with listening() as root, linked(root) as (_, _, theirs):
            theirs.pause_writing()
            while not theirs.is_closed:
                theirs.send(Total(3, 0), b"x" * (1 << 18))
            assert "w1 reads nothing" in await root.losses.get()

    run(test)


@pytest.mark.parametrize(
    "garbage",
    [b"\xff" * LENGTHS.size, LENGTHS.pack(4 + 3, 3) + b"abc", frame(Fetch(1, "w1"))[:-1] + b"\xc1"],
    ids=["bounds", "head", "value"],
)
def test_garbage_on_a_proven_link_ends_it(garbage: bytes) -> None:
    async def test() -> None:
        async with listening() as root, linked(root) as (member, _, theirs):
            theirs.write(garbage)
            assert await member.losses.get()
            assert member.messages.empty()

    run(test)


def test_a_torn_frame_is_not_handed_on() -> None:
    async def test() -> None:
        async with listening() as root, linked(root) as (member, _, theirs):
            theirs.write(frame(Total(3, 1), b"x" * 100)[:-1])
            theirs.close()
            assert await member.losses.get() == "the connection with root broke"
            assert member.messages.empty()

    run(test)


async def proven(link: Link) -> None:
    """Wait until the other end has shown that it reads our memory, or a frame went there and back without that."""
    while not link.reads_us:
        await asyncio.sleep(0)


def test_a_large_body_stays_where_it_lies_between_processes_of_one_machine() -> None:
    async def test() -> None:
        async with listening() as root, linked(root) as (member, link, _):
            await proven(link)
            body = member.arena.allocate(1 << 20)
            body[:] = b"x" * len(body)
            link.send(Total(3, 0), body)
            message, read = await root.raw.get()
            assert message == Total(3, 0) and isinstance(read.obj, Loan)
            assert bytes(read) == bytes(body)

    run(test)


def test_on_another_machine_it_goes_through_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = iter(["here", "there"])
    monkeypatch.setattr("muskox.runtime.collective.links.machine_identity", lambda: next(machines))

    async def test() -> None:
        async with listening() as root, linked(root) as (member, link, theirs):
            theirs.send(Fetch(3, "w1"))  # whatever they would have shown came before it
            await member.messages.get()
            body = member.arena.allocate(1 << 20)
            link.send(Total(3, 0), body)
            _, read = await root.raw.get()
            assert not link.reads_us and not isinstance(read.obj, Loan) and len(read) == len(body)

    run(test)


def test_a_peer_that_lends_what_cannot_be_lent_is_lost() -> None:
    async def test() -> None:
        async with listening() as root, linked(root) as (_, link, _):
            link.write(mark_lent(frame(HELLO, b"anywhere")))
            assert "lends what cannot be lent" in await root.losses.get()

    run(test)


def test_a_place_that_is_none_is_a_peer_error() -> None:
    async def test() -> None:
        async with listening() as root, linked(root) as (_, link, theirs):
            await proven(theirs)
            link.write(mark_lent(frame(Total(3, 0), b"nowhere")))
            assert "lends a body nowhere" in await root.losses.get()

    run(test)
