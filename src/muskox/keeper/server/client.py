"""One client's socket: bytes in, frames to the machine; and when to read from it and when to cut it off."""

import asyncio
from ipaddress import IPv6Address
from struct import unpack
from typing import Any, Protocol, cast

from muskox.errors import PeerError
from muskox.keeper.machine.events import ConnectionLost, ConnectionOpened, Event, FramesArrived, OutputDrained
from muskox.keeper.server.tls import identities_of
from muskox.keeper.wire.frames import FrameSplitter

OUTPUT_BYTES_HIGH = 1 << 20  # with more than this under way to a client, nothing is read from it
OUTPUT_BYTES_MAX = 16 << 20  # one that reads nothing and is sent even more, by its watches, is cut off
WORD_BYTES = 4
GREETING_BYTES_MAX = 4096  # the first frame asks for a session: 45 bytes; nobody unknown may make the server keep more
CLOSE_SECONDS_MAX = 10.0  # one that reads nothing would keep socket and output for ever


class Hub(Protocol):
    """Whom a client's socket reports to."""

    def handle(self, event: Event) -> None: ...
    def admit(self, address: str) -> bool: ...
    def joined(self, client: "ClientSocket") -> int: ...
    def left(self, client: "ClientSocket") -> None: ...
    def turned_away(self, address: str, has_failed: bool) -> None: ...
    def find_answer(self, word: str, rest: bytes, number: int) -> bytes | None: ...


class ClientSocket(asyncio.Protocol):
    """The socket of one client, known to the machine by `number`."""

    def __init__(self, hub: Hub, frame_bytes_max: int) -> None:
        self.hub = hub
        self.splitter = FrameSplitter(frame_bytes_max)
        self.head: bytes | None = b""  # the first bytes, until it is known whether they are a four-letter word
        self.number = 0
        self.address = ""  # set beforehand for one that is admitted already
        self.is_choked = False  # it does not read what it is sent
        self.is_paused = False  # the machine wants nothing more of it for now
        self.owes_drained = False
        self.output_bytes_max = OUTPUT_BYTES_MAX
        self.bytes_received = 0
        self.was_closed = False  # by this side
        self.cut: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=OUTPUT_BYTES_HIGH)
        if not self.address:
            self.address = host_of(transport.get_extra_info("peername"))
            if not self.hub.admit(self.address):
                self.transport.abort()
                return
        self.number = self.hub.joined(self)
        self.hub.handle(ConnectionOpened(self.number, self.address, identities_of(transport)))

    def data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)
        if self.head is not None:
            data = self.head + data
            if len(data) < WORD_BYTES:
                self.head = data
                return
            self.head = None
            answer = self.hub.find_answer(data[:WORD_BYTES].decode("ascii", "replace"), data[WORD_BYTES:], self.number)
            if answer is not None:
                self.transport.write(answer)
                self.close()
                return
            if int.from_bytes(data[:WORD_BYTES], "big") > GREETING_BYTES_MAX:
                self.close()
                return
        try:
            frames = self.splitter.feed(data)
        except PeerError:
            self.close()
            return
        if frames:
            self.hub.handle(FramesArrived(self.number, frames))
        if self.splitter.is_broken:
            self.close()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio calls it so
        if self.cut is not None:
            self.cut.cancel()
        if not self.number:  # it was never admitted
            return
        self.hub.left(self)
        self.hub.handle(ConnectionLost(self.number))

    def pause_writing(self) -> None:
        self.is_choked = True
        self.regulate()

    def resume_writing(self) -> None:
        self.is_choked = False
        self.regulate()
        if self.owes_drained:
            self.owes_drained = False
            self.hub.handle(OutputDrained(self.number))

    def send(self, data: bytes) -> None:
        if not self.is_choked:  # one answer may be as long as it is: a list of a million children
            self.output_bytes_max = OUTPUT_BYTES_MAX + len(data)
        self.transport.write(data)
        if self.is_choked and self.transport.get_write_buffer_size() > self.output_bytes_max:
            self.transport.abort()

    def pause(self, is_paused: bool) -> None:
        self.is_paused = is_paused
        self.regulate()

    def regulate(self) -> None:
        if self.transport.is_closing():
            return
        if self.is_paused or self.is_choked:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def await_drain(self) -> bool:
        """Return whether the output has left already; if not, OutputDrained follows."""
        self.owes_drained = self.is_choked
        return not self.is_choked

    def close(self) -> None:
        """Send what is under way, then close."""
        self.was_closed = True
        self.transport.close()
        if self.cut is None:
            self.cut = asyncio.get_running_loop().call_later(CLOSE_SECONDS_MAX, self.transport.abort)


def host_of(address: Any) -> str:
    """Return the host of a socket's address as Java writes it: IPv6 in full, and what is IPv4 within it as such."""
    host = str(address[0]) if address else ""
    if ":" not in host:
        return host
    bare, percent, scope = host.partition("%")
    number = IPv6Address(bare)
    if number.ipv4_mapped is not None:
        return str(number.ipv4_mapped)
    return ":".join(f"{part:x}" for part in unpack(">8H", number.packed)) + percent + scope
