"""The shell's way to a server: addresses as people write them, and the requests of ZooKeeper 3.8 that kazoo does not send.

kazoo is used without a chroot of its own: the shell puts it before every path, since quotas and the configuration lie beside
it. Watches that stay (addWatch) need kazoo's reader of events replaced, because that one forgets a watch once it has fired.
"""

import logging
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionClosedError, ConnectionLoss, SessionExpiredError
from kazoo.protocol.serialization import Watch
from kazoo.protocol.states import KeeperState, ZnodeStat
from kazoo.retry import KazooRetry
from kazoo.security import ACL

from muskox.coordination import Address, Plane, derive, parse_url, read_secret, tls_from_environment
from muskox.errors import CallerError, Unavailable

LOCAL = "127.0.0.1:2181"  # where Apache's own shell looks too, when it is not told
PLAINTEXT_SCHEME = "zk+plaintext://"
SESSION_TIMEOUT_S = 10.0
RECONNECT_DELAY_S_MAX = 1.0
TRIES_PER_HOST = 4  # one name may be several addresses, and a server that has just started may refuse once or twice
POLL_S = 0.02

INT, LONG, STAT = struct.Struct("!i"), struct.Struct("!q"), struct.Struct("!qqqqiiiqiiq")


def find_address(text: str) -> tuple[Address, str]:
    """Return the address that `text` names, and the chroot: a URL, or plain host:port[/chroot] as ZooKeeper's tools take it.

    Unlike a cluster's, a shell's address without a chroot means the root of the tree. A plain address is not encrypted.

    Raises
    ------
    CallerError
        If it is neither.
    """
    _, separator, rest = text.rpartition("://")
    try:
        address = parse_url(text if separator else f"{PLAINTEXT_SCHEME}{text}")
    except CallerError as error:
        raise CallerError(
            f"{text!r} is neither a command nor an address: HOST:PORT[,HOST:PORT...][/CHROOT], or zk://..."
        ) from error
    has_chroot = bool(rest.partition("/")[2].strip("/"))
    return address, address.chroot if has_chroot else ""


@dataclass(frozen=True, slots=True)
class Access:
    """How to be let in: TLS files, identities (scheme and credential), and the secret of a muskox cluster."""

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
    identities: tuple[tuple[str, str], ...] = ()
    secret_file: Path | None = None

    def tls_arguments(self, address: Address) -> dict[str, Any]:
        """Return what kazoo needs for TLS; nothing for plaintext.

        Raises
        ------
        CallerError
            If a file cannot be read, or TLS is needed and no authority is given.
        """
        if (self.certificate is None) != (self.key is None):
            raise CallerError("a certificate and its key go together: give --tls-cert and --tls-key")
        for path in (self.certificate, self.key, self.authority):
            if path is not None and not path.is_file():
                raise CallerError(f"cannot read {path}, which TLS needs")
        files = (self.certificate, self.key, self.authority)
        if files == (None, None, None):
            if address.is_local or address.is_plaintext:
                return {}
            known = tls_from_environment()
            if known is None:
                raise CallerError(
                    f"{address.hosts} is on another machine, and zk:// there means TLS: give --tls-ca FILE, or write "
                    f"{PLAINTEXT_SCHEME}{address.hosts} if you trust the network"
                )
            files = (known.certificate, known.key, known.authority)
        if files[2] is None:
            raise CallerError("TLS needs --tls-ca, the authority that signed the server's certificate")
        named = {name: str(path) for name, path in zip(("certfile", "keyfile", "ca"), files, strict=True) if path is not None}
        return {"use_ssl": True, "verify_certs": True, "check_hostname": not address.is_local, **named}

    def auth_data(self) -> list[tuple[str, str]]:
        if self.secret_file is None:
            return list(self.identities)
        key = derive(read_secret(self.secret_file), Plane.COORDINATION).hex()
        return [*self.identities, ("digest", f"muskox:{key}")]


class Reasons(logging.Handler):
    """Keeps why kazoo could not connect: it tells nobody but its log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        self.last = record.getMessage().removeprefix("Connection dropped: ").removeprefix("socket connection error: ")


def connect(address: Address, access: Access, wait_s: float) -> KazooClient:
    """Return a connected client.

    Raises
    ------
    Unavailable
        If no server answers within `wait_s` seconds, or all refuse.
    CallerError
        If what `access` says is not accepted.
    """
    reasons = Reasons()
    logger = logging.Logger("muskox zk")
    logger.addHandler(reasons)
    client = KazooClient(
        hosts=address.hosts,
        timeout=SESSION_TIMEOUT_S,
        auth_data=access.auth_data(),
        connection_retry=KazooRetry(max_tries=-1, delay=0.1, max_delay=RECONNECT_DELAY_S_MAX),
        logger=logger,
        **access.tls_arguments(address),
    )
    deadline = time.monotonic() + wait_s
    live = client.start_async()
    tries_max = TRIES_PER_HOST * len(address.hosts.split(","))
    try:
        while not live.wait(POLL_S):
            if client.client_state == KeeperState.AUTH_FAILED:
                raise CallerError(f"the server at {address.hosts} does not accept who you say you are")
            if time.monotonic() > deadline or reasons.count >= tries_max:
                why = f": {reasons.last}" if reasons.last else f" within {wait_s:g} s"
                raise Unavailable(f"no ZooKeeper answers at {address.hosts}{why}")
    except BaseException:  # bulkhead: whatever ended the wait, kazoo's threads must not outlive it
        disconnect(client)
        raise
    return client


def disconnect(client: KazooClient) -> None:
    client.stop()
    client.close()


# -- requests that kazoo does not know: what it asks of one is `type`, `serialize` and `deserialize` ------------------------


def string(text: str) -> bytes:
    data = text.encode()
    return INT.pack(len(data)) + data


def read_strings(buffer: bytes, offset: int) -> Iterator[str]:
    """Read strings to the end of the reply; one that is null is empty."""
    while offset < len(buffer):
        (length,) = INT.unpack_from(buffer, offset)
        offset += 4
        yield buffer[offset : offset + max(length, 0)].decode("utf-8", "replace")
        offset += max(length, 0)


@dataclass(frozen=True, slots=True)
class CreateNode:
    """create2, createContainer or createTTL, by its `type`. An id in its ACL may be empty, which kazoo would send as null."""

    type: int
    path: str
    data: bytes
    acl: Sequence[ACL]
    flags: int
    ttl_ms: int | None = None

    CREATE2: ClassVar[int] = 15
    CONTAINER: ClassVar[int] = 19
    TTL: ClassVar[int] = 21

    def serialize(self) -> bytes:
        entries = b"".join(INT.pack(entry.perms) + string(entry.id.scheme) + string(entry.id.id) for entry in self.acl)
        parts = [string(self.path), INT.pack(len(self.data)), self.data, INT.pack(len(self.acl)), entries, INT.pack(self.flags)]
        return b"".join(parts if self.ttl_ms is None else [*parts, LONG.pack(self.ttl_ms)])

    def deserialize(self, buffer: bytes, offset: int) -> tuple[str, ZnodeStat]:
        (length,) = INT.unpack_from(buffer, offset)
        end = offset + 4 + length
        return buffer[offset + 4 : end].decode(), ZnodeStat._make(STAT.unpack_from(buffer, end))


@dataclass(frozen=True, slots=True)
class AddWatch:
    """A watch that stays until it is removed; on the path alone, or on all that lies below too."""

    path: str
    mode: int

    type: ClassVar[int] = 106
    PERSISTENT: ClassVar[int] = 0
    RECURSIVE: ClassVar[int] = 1

    def serialize(self) -> bytes:
        return string(self.path) + INT.pack(self.mode)

    def deserialize(self, _buffer: bytes, _offset: int) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class RemoveWatches:
    path: str

    type: ClassVar[int] = 18
    ANY: ClassVar[int] = 3

    def serialize(self) -> bytes:
        return string(self.path) + INT.pack(self.ANY)

    def deserialize(self, _buffer: bytes, _offset: int) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class GetEphemerals:
    """The ephemerals of this session below a path."""

    path: str

    type: ClassVar[int] = 103

    def serialize(self) -> bytes:
        return string(self.path)

    def deserialize(self, buffer: bytes, offset: int) -> list[str]:
        return list(read_strings(buffer, offset + 4))


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """Who the server takes this session for: pairs of scheme and user."""

    type: ClassVar[int] = 107

    def serialize(self) -> bytes:
        return b""

    def deserialize(self, buffer: bytes, offset: int) -> list[tuple[str, str]]:
        words = list(read_strings(buffer, offset + 4))
        return list(zip(words[::2], words[1::2], strict=True))


def ask(client: KazooClient, request: Any) -> Any:
    """Send a request of this file and return its reply; raises kazoo's exceptions."""
    answer = client.handler.async_result()
    client._call(request, answer)
    return answer.get()


@contextmanager
def listening(client: KazooClient, listener: Callable[[Watch], None]) -> Iterator[None]:
    """Hand every watch event to `listener`, on kazoo's thread, instead of to kazoo."""

    def read(buffer: bytes, offset: int) -> None:
        event, _ = Watch.deserialize(buffer, offset)
        listener(event)

    client._connection._read_watch_event = read
    try:
        yield
    finally:
        del client._connection._read_watch_event


def wait_connected(client: KazooClient, wait_s: float) -> None:
    """Wait for a lost connection to come back.

    Raises
    ------
    Unavailable
        If it does not.
    """
    deadline = time.monotonic() + wait_s
    pause = threading.Event()
    while not client.connected:
        if time.monotonic() > deadline:
            raise Unavailable(f"the connection is lost, and no server has answered for {wait_s:g} s")
        pause.wait(POLL_S)


LOST = (ConnectionLoss, ConnectionClosedError, SessionExpiredError)
