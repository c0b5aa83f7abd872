"""The port for TLS, or for TLS and plaintext at once: who connects is told by the first byte, as in Apache's port unification.

It owns the sockets that are not clients yet: those that have sent nothing, and those whose handshake is under way. Each counts
as a connection of its address from the start, waits a bounded time, and costs next to nothing before its first byte.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from muskox.keeper.server.client import CLOSE_SECONDS_MAX, ClientSocket, Hub, host_of

BACKLOG = 1024
ACCEPTED_AT_ONCE_MAX = 64  # then clients are served again
FIRST_BYTE_SECONDS_MAX = 10.0  # Apache's patience with a connection that opens no session
HANDSHAKE_SECONDS_MAX = 10.0
HANDSHAKES_MAX = 500  # at once: each takes tens of kilobytes and a millisecond of computing
TLS_WAITS = {"ssl_handshake_timeout": HANDSHAKE_SECONDS_MAX, "ssl_shutdown_timeout": CLOSE_SECONDS_MAX}
PAUSE_SECONDS = 0.5  # before the next try, when there are no more file descriptors
TLS_HANDSHAKE = 0x16  # the first byte of whoever speaks TLS (RFC 8446, section 5.1); a connect frame begins with 0


class Gate:
    """One listening port.

    Parameters
    ----------
    hub : whom clients report to
    make_client : makes the protocol of one client
    context : the certificates
    takes_plaintext : whether those who do not speak TLS are served too
    """

    def __init__(
        self, hub: Hub, make_client: Callable[[], ClientSocket], context: ssl.SSLContext, takes_plaintext: bool
    ) -> None:
        self.hub = hub
        self.make_client = make_client
        self.context = context  # may be replaced: who comes later gets the new one
        self.takes_plaintext = takes_plaintext
        self.loop = asyncio.get_running_loop()
        self.listener = socket.socket()
        self.silent: dict[socket.socket, tuple[str, asyncio.TimerHandle]] = {}
        self.handshakes: set[asyncio.Task[None]] = set()
        self.is_open = False

    def open(self, host: str, port: int) -> int:
        """Listen, and return the port.

        Raises
        ------
        OSError
            If that address cannot be listened at.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)  # of a name's, as Java takes it
        self.listener.close()
        self.listener = socket.create_server(address, family=family, backlog=BACKLOG)
        self.listener.setblocking(False)
        self.is_open = True
        self.loop.add_reader(self.listener, self.accept)
        return int(self.listener.getsockname()[1])

    def close(self) -> None:
        """Listen no more, and drop whoever is not a client yet."""
        if self.is_open:
            self.is_open = False
            self.loop.remove_reader(self.listener)
        self.listener.close()
        for sock in list(self.silent):
            self.drop(sock)
        for task in self.handshakes:
            task.cancel()

    def accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE_MAX):
            try:
                sock, address = self.listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self.loop.remove_reader(self.listener)
                    self.loop.call_later(PAUSE_SECONDS, self.go_on)
                return
            sock.setblocking(False)
            host = host_of(address)
            if not self.hub.admit(host):
                sock.close()
                continue
            self.silent[sock] = (host, self.loop.call_later(FIRST_BYTE_SECONDS_MAX, self.drop, sock))
            self.loop.add_reader(sock, self.look, sock)

    def go_on(self) -> None:
        if self.is_open:
            self.loop.add_reader(self.listener, self.accept)

    def look(self, sock: socket.socket) -> None:
        """See by the first byte, which stays where it is, what this socket speaks."""
        try:
            first = sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        speaks_tls = first == bytes([TLS_HANDSHAKE])
        is_taken = len(self.handshakes) < HANDSHAKES_MAX if speaks_tls else self.takes_plaintext and bool(first)
        if not is_taken:
            self.drop(sock)
            return
        host = self.release(sock)
        task = self.loop.create_task(self.let_in(sock, host, self.context if speaks_tls else None))
        self.handshakes.add(task)
        task.add_done_callback(self.handshakes.discard)

    def release(self, sock: socket.socket) -> str:
        host, timer = self.silent.pop(sock)
        timer.cancel()
        self.loop.remove_reader(sock)
        return host

    def drop(self, sock: socket.socket) -> None:
        """Close a socket that is no client's."""
        self.hub.turned_away(self.release(sock), has_failed=False)
        sock.close()

    async def let_in(self, sock: socket.socket, host: str, context: ssl.SSLContext | None) -> None:
        """Make a client of a socket, after its handshake; if that fails, of whatever reason, it is closed without a word."""
        client = self.make_client()
        client.address = host  # it is admitted
        waits = {} if context is None else TLS_WAITS
        with suppress(OSError, TimeoutError, asyncio.CancelledError):
            await self.loop.connect_accepted_socket(lambda: client, sock, ssl=context, **waits)
        if not client.number:
            self.hub.turned_away(host, has_failed=context is not None)
            sock.close()
