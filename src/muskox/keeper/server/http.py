"""A small HTTP/1.1 server for people and their tools, in the event loop of the server that it tells of.

What is asked for is answered at once from memory, so one function from request to response is enough. Clients are bounded: in
their number, in the size of what they send, and in how long each may take to ask and to read. This is imported only when a
port is asked for.
"""

import asyncio
import errno
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple, cast
from urllib.parse import parse_qs, unquote

import h11

from muskox.errors import Unavailable

CONNECTIONS_MAX = 32  # more are turned away; a scraper needs one
HEAD_BYTES_MAX = 16 << 10
BODY_BYTES_MAX = 64 << 10  # nobody needs one, but some clients send it
UNREAD_BYTES_MAX = 16 << 20  # of all answers of a port; with more, nobody is told anything: a list of a million watches is long
OUTPUT_BYTES_HIGH = 256 << 10  # one with more under way is asked to read first
SECONDS_MAX = 30.0  # from the first byte, or the last answer, until the next answer has left; Apache's idle time
SERVER = b"muskox-keeper"


class Request(NamedTuple):
    """What was asked: `arguments` has the first value of each name, as Apache takes them, `all_arguments` every value."""

    path: str
    arguments: dict[str, str]
    all_arguments: dict[str, list[str]]


class Response(NamedTuple):
    status: int
    content_type: str
    body: str


Answer = Callable[[Request], Response]


class Door:
    """One port: what is answered there, and who is connected."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.sockets: set[HttpSocket] = set()

    async def open(self, host: str, port: int, what: str) -> None:
        """Listen; `what` names the port to whoever must choose another. `port` then is the real one, if any was wanted.

        Raises
        ------
        Unavailable
            If the port cannot be had.
        """
        try:
            self.server = await asyncio.get_running_loop().create_server(lambda: HttpSocket(self), host, port)
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be listened at: {error.strerror}"
            raise Unavailable(f"{what} {port} of {host} {why}; take another, or none") from error
        self.port = int(self.server.sockets[0].getsockname()[1])

    def close(self) -> None:
        self.server.close()
        for socket in list(self.sockets):
            socket.transport.abort()


class HttpSocket(asyncio.Protocol):
    """One HTTP client."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.parser = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self.request: h11.Request | None = None  # whose end has not come yet
        self.body_bytes = 0
        self.is_choked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=OUTPUT_BYTES_HIGH)
        self.deadline = asyncio.get_running_loop().call_later(SECONDS_MAX, self.transport.abort)
        if len(self.door.sockets) >= CONNECTIONS_MAX:
            self.transport.abort()
            return
        self.door.sockets.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio calls it so
        self.deadline.cancel()
        self.door.sockets.discard(self)

    def pause_writing(self) -> None:
        self.is_choked = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.is_choked = False
        if not self.transport.is_closing():
            self.transport.resume_reading()
            self.go_on()

    def data_received(self, data: bytes) -> None:
        self.parser.receive_data(data)
        self.go_on()

    def eof_received(self) -> bool:
        self.parser.receive_data(b"")
        self.go_on()
        return not self.transport.is_closing()  # it may have asked before it closed its end

    def go_on(self) -> None:
        """Take in what has come, request by request."""
        try:
            while not self.is_choked and not self.transport.is_closing():
                event = self.parser.next_event()
                match event:
                    case h11.Request():
                        self.request, self.body_bytes = event, 0
                    case h11.Data(data=data):
                        self.body_bytes += len(data)
                        if self.body_bytes > BODY_BYTES_MAX:
                            self.send(Response(413, "text/plain", "no request here needs a body\n"))
                            self.transport.close()
                    case h11.EndOfMessage():
                        self.respond()
                    case h11.ConnectionClosed():
                        self.transport.close()
                    case _:
                        return  # more must come
        except h11.RemoteProtocolError as error:
            if self.parser.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                self.send(Response(error.error_status_hint, "text/plain", f"{error}\n"))
            self.transport.close()

    def respond(self) -> None:
        assert self.request is not None
        if self.request.method not in (b"GET", b"HEAD"):
            self.send(Response(405, "text/plain", "only GET is answered here\n"))
        elif sum(each.transport.get_write_buffer_size() for each in self.door.sockets) > UNREAD_BYTES_MAX:
            self.send(Response(503, "text/plain", "others do not read what they asked for; ask again later\n"))
        else:
            path, _, query = self.request.target.decode("ascii", "replace").partition("?")
            lists = parse_qs(query, keep_blank_values=True)
            firsts = {name: values[0] for name, values in lists.items()}
            try:
                response = self.door.answer(Request(unquote(path), firsts, lists))
            except OSError as error:  # a folder that it tells of is gone
                response = Response(500, "text/plain", f"{error}\n")
            self.send(response)
        self.deadline.cancel()
        self.deadline = asyncio.get_running_loop().call_later(SECONDS_MAX, self.transport.abort)
        if self.parser.our_state is h11.DONE and self.parser.their_state is h11.DONE:
            self.parser.start_next_cycle()
        else:
            self.transport.close()

    def send(self, response: Response) -> None:
        body = response.body.encode()
        headers = [
            (b"Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()).encode()),
            (b"Content-Type", response.content_type.encode()),
            (b"Content-Length", b"%d" % len(body)),
            (b"Server", SERVER),
        ]
        reason = HTTPStatus(response.status).phrase.encode()
        if response.status == 405:
            headers.append((b"Allow", b"GET, HEAD"))
        head = self.parser.send(h11.Response(status_code=response.status, headers=headers, reason=reason)) or b""
        if self.request is None or self.request.method != b"HEAD":
            head += self.parser.send(h11.Data(data=body)) or b""
        self.transport.write(head + (self.parser.send(h11.EndOfMessage()) or b""))
