"""Authenticated, framed connections between workers: the shell under the collective.

Both ends prove that they know the collective's key (HMAC-SHA256 over both nonces and who they are) before anything larger than
a greeting is read. A link carries one generation of one job between one member and the root. Beats go both ways: a stopped
process breaks no connection, but it falls silent. Nothing here knows what a round is.
"""

import asyncio
import contextlib
import hmac
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from muskox.errors import PeerError
from muskox.runtime.messages import LENGTHS, Beat, Collective, Message, check_lengths, decode_collective, frame

MAGIC = b"muskox-1"
NONCE_BYTES = 32
PROOF_BYTES = 32
GREETING_BYTES_MAX = 1024
HANDSHAKE_S_MAX = 5.0  # a stranger who connects and says nothing holds a socket no longer than this
BEAT_S = 0.25  # four in the least silence that a cluster may be set to
BUFFER_BYTES = 1 << 22


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


class Link:
    """One open, proven connection."""

    def __init__(self, greeting: Greeting, peer: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.generation = greeting.generation
        self.peer = peer
        self._reader = reader
        self._writer = writer
        self._beats = asyncio.create_task(self._beat())

    def send(self, message: Message, body: bytes = b"") -> None:
        """Hand the frame to the socket; a broken connection shows at the reader."""
        self._writer.write(frame(message, body))

    async def receive(self, silence_s: Callable[[], float]) -> tuple[Collective, bytes]:
        """Return the next message that is no beat.

        Raises
        ------
        PeerError
            If the peer closed, fell silent or sent garbage; the message says which.
        """
        while True:
            try:
                message, body = await self._read_frame(silence_s)
            except TimeoutError as error:
                raise PeerError(f"{self.peer} was silent for {silence_s():g} s") from error
            except (OSError, asyncio.IncompleteReadError) as error:
                raise PeerError(f"the connection with {self.peer} broke") from error
            if not isinstance(message, Beat):
                return message, body

    async def _read_frame(self, silence_s: Callable[[], float]) -> tuple[Collective, bytes]:
        """Read a frame piece by piece, each within the silence allowed: no beat overtakes a large body."""

        async def read(count: int) -> bytes:
            return await asyncio.wait_for(self._reader.readexactly(count), silence_s())

        head_bytes, body_bytes = check_lengths(await read(LENGTHS.size))
        head = decode_collective(await read(head_bytes))
        if body_bytes <= BUFFER_BYTES:
            return head, await read(body_bytes)
        body = bytearray()
        while len(body) < body_bytes:
            body += await read(min(BUFFER_BYTES, body_bytes - len(body)))
        return head, bytes(body)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self.send(Beat())

    def close(self) -> None:
        self._beats.cancel()
        self._writer.close()


async def dial(options: LinkOptions, address: str, called: str, generation: int) -> Link:
    """Open a link to the worker `called` that listens at `address`.

    Raises
    ------
    PeerError
        If nobody answers there, or who answers cannot prove itself.
    """
    host, _, port = address.rpartition(":")
    greeting = Greeting(options.job, generation, options.worker, called)
    writer = None
    try:
        async with asyncio.timeout(HANDSHAKE_S_MAX):
            reader, writer = await asyncio.open_connection(host, int(port), ssl=options.client_tls, limit=BUFFER_BYTES)
            await _prove_as_caller(options.key, greeting, reader, writer)
    except (OSError, asyncio.IncompleteReadError, PeerError) as error:
        if writer is not None:
            writer.close()
        raise PeerError(f"no link with {called} at {address}: {error or type(error).__name__}") from error
    return Link(greeting, called, reader, writer)


async def _prove_as_caller(key: bytes, greeting: Greeting, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    theirs = await reader.readexactly(len(MAGIC) + NONCE_BYTES)
    if not theirs.startswith(MAGIC):
        raise PeerError("it is no worker of muskox")
    encoded, ours = msgspec.msgpack.encode(greeting), secrets.token_bytes(NONCE_BYTES)
    mine = proof(key, b"caller", theirs, ours, encoded)
    writer.write(len(encoded).to_bytes(4, "big") + encoded + ours + mine)
    answer = await reader.readexactly(PROOF_BYTES)
    if not hmac.compare_digest(answer, proof(key, b"called", ours, theirs, encoded)):
        raise PeerError("it cannot prove that it knows the cluster's secret")


async def answer(options: LinkOptions, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Link:
    """Return the link that a caller opens on this accepted connection.

    Raises
    ------
    PeerError
        If the caller does not prove itself within `HANDSHAKE_S_MAX`, or wants somebody else.
    """
    try:
        async with asyncio.timeout(HANDSHAKE_S_MAX):
            ours = MAGIC + secrets.token_bytes(NONCE_BYTES)
            writer.write(ours)
            length = int.from_bytes(await reader.readexactly(4), "big")
            if length > GREETING_BYTES_MAX:
                raise PeerError(f"a greeting of {length} bytes")
            encoded = await reader.readexactly(length)
            theirs, shown = await reader.readexactly(NONCE_BYTES), await reader.readexactly(PROOF_BYTES)
            if not hmac.compare_digest(shown, proof(options.key, b"caller", ours, theirs, encoded)):
                raise PeerError("the caller cannot prove that it knows the cluster's secret")
            greeting = msgspec.msgpack.decode(encoded, type=Greeting)
            if (greeting.job, greeting.called) != (options.job, options.worker):
                raise PeerError(f"{greeting.caller} looks for {greeting.called} of job {greeting.job}")
            writer.write(proof(options.key, b"called", theirs, ours, encoded))
    except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError, PeerError) as error:
        with contextlib.suppress(OSError):
            writer.close()
        raise PeerError(f"a stranger was turned away: {error or type(error).__name__}") from error
    return Link(greeting, greeting.caller, reader, writer)
