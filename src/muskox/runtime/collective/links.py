"""Authenticated, framed connections between workers: the shell under the collective.

Both ends prove that they know the collective's key (HMAC-SHA256 over both nonces and who they are) before anything larger than
a greeting is read. A link carries one generation of one job between two of its members. What comes is handed on from the
event loop's own callback, without a task in between. Between processes of one machine large bodies stay where they are, in
memory that the other end reads (memory.py). Nothing here knows what a round is.
"""

import asyncio
import hmac
import os
import secrets
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import msgspec

from muskox.errors import PeerError
from muskox.runtime.collective.framing import Framing
from muskox.runtime.collective.memory import SHARED_BYTES_MIN, Arena, Neighbour, Place, machine_identity
from muskox.runtime.message import Buffer
from muskox.runtime.messages import Beat, Collective, Near, Partial, Shown, Total, frame_head, mark_lent

MAGIC = b"muskox-2"
NONCE_BYTES = 32
PROOF_BYTES = 32
GREETING_BYTES_MAX = 1024
HANDSHAKE_S_MAX = 5.0  # a stranger who connects and says nothing holds a socket no longer than this
BEAT_S = 0.25  # four in the least silence that a cluster may be set to
WRITE_BYTES = 1 << 20  # handed to the transport at a time: TLS copies what it is given
JOINED_BYTES_MAX = 1 << 14  # of a body that is copied behind its head, to save a system call
WAITING_BYTES_MAX = 1 << 32  # two of the largest frames; a peer that lets more wait does not read


class Greeting(msgspec.Struct, frozen=True):
    """Who calls whom, and in which generation of which job."""

    job: str
    generation: int
    caller: str
    called: str


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """What every link of a worker shares. `silence_s` is read anew each time: it is a live setting."""

    job: str
    worker: str
    key: bytes
    silence_s: Callable[[], float]
    server_tls: ssl.SSLContext | None = None
    client_tls: ssl.SSLContext | None = None


class Hearing(Protocol):
    """Who has links: is told of each that a peer opened, of what comes on any, and once of its end."""

    def opened(self, link: "Link") -> None: ...

    def heard(self, link: "Link", message: Collective, body: Buffer) -> None: ...

    def lost(self, link: "Link", reason: str) -> None: ...


def tls_contexts(paths: list[str]) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """Return (server, client) contexts from the paths of certificate, key and authority; both ends must show a certificate."""
    if not paths:
        return None, None
    certificate, key, authority = paths
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=authority)
    for context in (server, client):
        context.load_cert_chain(certificate, key)
    return server, client


def proof(key: bytes, side: bytes, *parts: bytes) -> bytes:
    return hmac.digest(key, side + b"".join(len(part).to_bytes(4, "big") + part for part in parts), "sha256")


class Links:
    """All links of a worker: opens them, accepts them, and watches over their silence with one timer."""

    def __init__(self, options: LinkOptions, hearing: Hearing, arena: Arena) -> None:
        self._options = options
        self._hearing = hearing
        self._arena = arena
        self._near = Near(machine_identity(), os.getpid(), arena.probe())
        self._open: set[Link] = set()
        self._answering: set[asyncio.Task[None]] = set()
        self._ticked_s = 0.0

    async def listen(self, host: str) -> asyncio.Server:
        """Accept links from now on."""
        loop = asyncio.get_running_loop()
        self._ticked_s = loop.time()
        loop.call_later(BEAT_S, self._tick)
        return await loop.create_server(lambda: Link(self._answer), host, 0, ssl=self._options.server_tls)

    async def dial(self, address: str, called: str, generation: int) -> "Link":
        """Return a link to the worker `called` that listens at `address`.

        Raises
        ------
        PeerError
            If nobody answers there, or who answers cannot prove itself.
        """
        host, _, port = address.rpartition(":")
        greeting = Greeting(self._options.job, generation, self._options.worker, called)
        link = Link(None)
        try:
            async with asyncio.timeout(HANDSHAKE_S_MAX):
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: link, host, int(port), ssl=self._options.client_tls)
                await _prove_as_caller(self._options.key, greeting, link)
        except (OSError, PeerError) as error:
            link.close()
            raise PeerError(f"no link with {called} at {address}: {error or type(error).__name__}") from error
        self._begin(link, generation, called)
        return link

    def _begin(self, link: "Link", generation: int, peer: str) -> None:
        self._open.add(link)
        link.send(self._near)
        link.begin(generation, peer, self)

    def heard(self, link: "Link", message: Collective, body: Buffer) -> None:
        """Hand on what is not between the two ends of a link alone."""
        match message:
            case Beat():
                return
            case Near():
                if message.machine and message.machine == self._near.machine:
                    link.neighbour = Neighbour(message.pid)
                    link.send(Shown(self._shown(link.neighbour.read_secret(message.descriptor))))
            case Shown():
                link.reads_us = hmac.compare_digest(message.proof, self._shown(self._arena.secret))
            case _:
                self._hearing.heard(link, message, body)

    def _shown(self, secret: bytes) -> bytes:
        return proof(self._options.key, b"near", secret)

    def lost(self, link: "Link", reason: str) -> None:
        self._hearing.lost(link, reason)

    def ended(self, link: "Link") -> None:
        self._open.discard(link)

    def find(self, body: Buffer) -> Place | None:
        """Return where a body lies, if in memory that neighbours can read."""
        return self._arena.find(body)

    @property
    def are_behind(self) -> bool:
        """Whether something that was sent still lies in our memory."""
        return any(link.is_behind for link in self._open)

    def _answer(self, link: "Link") -> None:
        task = asyncio.get_running_loop().create_task(self._answered(link))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answered(self, link: "Link") -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_S_MAX):
                greeting = await _prove_as_called(self._options, link)
        except (OSError, msgspec.DecodeError, PeerError):
            link.close()  # a stranger: nobody's business but its own
            return
        link.generation, link.peer = greeting.generation, greeting.caller
        self._hearing.opened(link)
        if not link.is_closed:
            self._begin(link, greeting.generation, greeting.caller)

    def _tick(self) -> None:
        """Say that we are alive, and look who was not for too long; not right after we were stopped ourselves."""
        loop = asyncio.get_running_loop()
        now, silence_s = loop.time(), self._options.silence_s()
        were_stopped = now - self._ticked_s > silence_s / 2
        self._ticked_s = now
        loop.call_later(BEAT_S, self._tick)
        for link in list(self._open):
            if were_stopped:
                link.heard_s = now
            elif now - link.heard_s > silence_s:
                link.fail(f"{link.peer} was silent for {silence_s:g} s")
            else:
                link.send(Beat())


class Link(asyncio.BufferedProtocol):
    """One connection; a link once both ends have proved themselves."""

    def __init__(self, on_made: Callable[["Link"], None] | None) -> None:
        self.generation, self.peer = 0, "a stranger"
        self.heard_s = 0.0
        self.is_closed = False
        self.framing = Framing()
        self._on_made = on_made
        self.neighbour: Neighbour | None = None  # whose memory we read
        self.reads_us = False
        self._links: Links | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._is_paused = False

    def begin(self, generation: int, peer: str, links: Links) -> None:
        """Hand on what comes from now on."""
        self.generation, self.peer = generation, peer
        self.heard_s = asyncio.get_running_loop().time()
        self._links = links
        try:
            self.framing.begin(self._on_frame)
        except PeerError as error:
            self.fail(str(error))

    def _on_frame(self, message: Collective, body: Buffer, lent: bool) -> None:  # as framing tells it
        if self._links is not None:
            self._links.heard(self, message, self._borrowed(message, body) if lent else body)

    def _borrowed(self, message: Collective, place: Buffer) -> Buffer:
        if self.neighbour is None or not isinstance(message, Partial | Total):
            raise PeerError(f"{self.peer} lends what cannot be lent")
        try:
            return self.neighbour.borrow(msgspec.msgpack.decode(place, type=Place))
        except msgspec.DecodeError as error:
            raise PeerError(f"{self.peer} lends a body nowhere: {error}") from error

    # -- sending --

    def send(self, message: Collective, body: Buffer = b"") -> None:
        """Hand the frame to the socket, or have it wait; a broken connection shows in :meth:`Hearing.lost`."""
        place = self._links.find(body) if self.reads_us and self._links is not None and len(body) >= SHARED_BYTES_MIN else None
        if place is not None:
            encoded = msgspec.msgpack.encode(place)
            self._put(memoryview(mark_lent(frame_head(message, len(encoded))) + encoded))
            return
        head = frame_head(message, len(body))
        if len(body) <= JOINED_BYTES_MAX:
            self._put(memoryview(head + bytes(body)))
        else:
            self._put(memoryview(head))
            view = memoryview(body)
            for first in range(0, len(body), WRITE_BYTES):
                self._put(view[first : first + WRITE_BYTES])

    def write(self, data: bytes) -> None:
        self._put(memoryview(data))

    @property
    def is_behind(self) -> bool:
        """Whether something that was sent still lies in our memory."""
        return bool(self._waiting) or (self._transport is not None and self._transport.get_write_buffer_size() > 0)

    def _put(self, data: memoryview) -> None:
        if self.is_closed:
            return
        if self._waiting_bytes > WAITING_BYTES_MAX:
            self.fail(f"{self.peer} reads nothing: {self._waiting_bytes} bytes wait for it")
            return
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self._flush()

    def _flush(self) -> None:
        while self._waiting and not self._is_paused and self._transport is not None:
            data = self._waiting.popleft()
            self._waiting_bytes -= len(data)
            self._transport.write(data)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._flush()

    # -- receiving; called by the event loop --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # of a stream; uvloop's own are no subclass
        self._transport.set_write_buffer_limits(high=2 * WRITE_BYTES)
        if self._on_made is not None:
            self._on_made(self)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self.framing.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self.heard_s = asyncio.get_running_loop().time()
        try:
            self.framing.received(nbytes)
        except PeerError as error:
            self.fail(str(error))

    def connection_lost(self, _exc: Exception | None) -> None:
        self.fail(f"the connection with {self.peer} broke")

    def fail(self, reason: str) -> None:
        """End the link, and say so."""
        links = None if self.is_closed else self._links
        self.close()
        self.framing.end(PeerError(reason))
        if links is not None:
            links.lost(self, reason)

    def close(self) -> None:
        """End the link, once what was sent has gone; nobody is told."""
        if not self.is_closed:
            self.is_closed = True
            if self._links is not None:
                self._links.ended(self)
            self._links = None
            if self._transport is not None:
                for data in self._waiting:
                    self._transport.write(data)
                self._waiting.clear()
                self._transport.close()


async def _prove_as_caller(key: bytes, greeting: Greeting, link: Link) -> None:
    theirs = await link.framing.exactly(len(MAGIC) + NONCE_BYTES)
    if not theirs.startswith(MAGIC):
        raise PeerError("it is no worker of muskox")
    encoded, ours = msgspec.msgpack.encode(greeting), secrets.token_bytes(NONCE_BYTES)
    mine = proof(key, b"caller", theirs, ours, encoded)
    link.write(len(encoded).to_bytes(4, "big") + encoded + ours + mine)
    answer = await link.framing.exactly(PROOF_BYTES)
    if not hmac.compare_digest(answer, proof(key, b"called", ours, theirs, encoded)):
        raise PeerError("it cannot prove that it knows the cluster's secret")


async def _prove_as_called(options: LinkOptions, link: Link) -> Greeting:
    """Return who opens a link on this accepted connection.

    Raises
    ------
    PeerError
        If the caller does not prove itself, or wants somebody else.
    """
    ours = MAGIC + secrets.token_bytes(NONCE_BYTES)
    link.write(ours)
    length = int.from_bytes(await link.framing.exactly(4), "big")
    if length > GREETING_BYTES_MAX:
        raise PeerError(f"a greeting of {length} bytes")
    encoded = await link.framing.exactly(length)
    theirs, shown = await link.framing.exactly(NONCE_BYTES), await link.framing.exactly(PROOF_BYTES)
    if not hmac.compare_digest(shown, proof(options.key, b"caller", ours, theirs, encoded)):
        raise PeerError("the caller cannot prove that it knows the cluster's secret")
    greeting = msgspec.msgpack.decode(encoded, type=Greeting)
    if (greeting.job, greeting.called) != (options.job, options.worker):
        raise PeerError(f"{greeting.caller} looks for {greeting.called} of job {greeting.job}")
    link.write(proof(options.key, b"called", theirs, ours, encoded))
    return greeting
