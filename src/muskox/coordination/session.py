"""One ZooKeeper session and what muskox asks of it: typed records, watches that only say "look again", fenced commits.

It owns the connection (kazoo), the ACL on every znode, and the rule for a lost reply: read back before trying again. It must
never know what a job or a dataset means. Watch callbacks run on kazoo's threads; they may set an event and nothing more.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import msgspec
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    BadVersionError,
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    OperationTimeoutError,
    RolledBackError,
    SessionExpiredError,
)
from kazoo.retry import KazooRetry, RetryFailedError
from kazoo.security import OPEN_ACL_UNSAFE, make_digest_acl

from muskox.coordination import layout
from muskox.coordination.ephemerals import Ephemerals
from muskox.coordination.keys import Plane, derive
from muskox.coordination.tls import Tls, is_loopback
from muskox.errors import CallerError, MuskoxError, Unavailable

SCHEME = "zk://"
PLAINTEXT_SCHEME = "zk+plaintext://"  # says that the network between here and ZooKeeper is trusted
CHROOT = "/muskox"
SESSION_TIMEOUT_S = 4.0  # Apache's least with its default tick
CONNECT_TIMEOUT_S = 15.0
RECONNECT_DELAY_S_MAX = 0.5  # a death costs at most this much on top of noticing it
RETRY_S = 0.05  # before a commit is tried again; doubled each time, up to RECONNECT_DELAY_S_MAX
REQUEST_BYTES_MAX = 1_000_000  # over its jute.maxbuffer (1,048,575) ZooKeeper breaks the connection, each time it is tried
OPERATION_BYTES = 128  # of a multi, beside path and data: header, ACL, flags, version
UNCERTAIN = (ConnectionLoss, ConnectionClosedError, OperationTimeoutError, SessionExpiredError, RetryFailedError)

Notify = Callable[[Any], None]  # takes kazoo's event, or anything; pass the same function each time: kazoo keeps a set

logging.getLogger("kazoo").setLevel(logging.CRITICAL)  # it logs every refused connection as an error; we report state instead


class Refused(MuskoxError):
    """A commit whose check failed: somebody else was first, or we are fenced off."""


@dataclass(frozen=True, slots=True)
class Check:
    path: str
    version: int


@dataclass(frozen=True, slots=True)
class Create:
    path: str
    record: msgspec.Struct | None = None


@dataclass(frozen=True, slots=True)
class Set:
    path: str
    record: msgspec.Struct
    version: int = -1


@dataclass(frozen=True, slots=True)
class Delete:
    path: str
    version: int = -1


Operation = Check | Create | Set | Delete


@dataclass(frozen=True, slots=True)
class Address:
    """Where a cluster's ZooKeeper is: ``zk://host:port[,host:port...]/chroot``."""

    hosts: str
    chroot: str
    is_plaintext: bool = False

    def __str__(self) -> str:
        return f"{PLAINTEXT_SCHEME if self.is_plaintext else SCHEME}{self.hosts}{self.chroot}"

    @property
    def is_local(self) -> bool:
        return all(is_loopback(host.rpartition(":")[0]) for host in self.hosts.split(","))


def parse_url(url: str) -> Address:
    """Return the address that `url` names.

    Raises
    ------
    CallerError
        If it is not of the form ``zk://host:port[,host:port...][/chroot]``.
    """
    is_plaintext = url.startswith(PLAINTEXT_SCHEME)
    hosts, _, chroot = url.removeprefix(PLAINTEXT_SCHEME).removeprefix(SCHEME).partition("/")
    parts = [part.rpartition(":") for part in hosts.split(",")]
    well_formed = all(host and port.isdigit() and 0 < int(port) < 65536 for host, _, port in parts)
    if not url.startswith((SCHEME, PLAINTEXT_SCHEME)) or not well_formed:
        raise CallerError(f"{url!r} is no cluster address: write zk://host:port[,host:port...][/chroot]")
    return Address(hosts, "/" + chroot.strip("/") if chroot.strip("/") else CHROOT, is_plaintext)


def tls_arguments(address: Address, tls: Tls | None) -> dict[str, Any]:
    """Return what kazoo needs to reach `address`: TLS beyond loopback, unless the URL says that plaintext will do.

    Raises
    ------
    CallerError
        If the address is on another machine and there is no certificate to show: digest auth sends its password in clear.
    """
    if address.is_local or address.is_plaintext:
        return {}
    if tls is None:
        raise CallerError(
            f"{address} is on another machine, and without TLS the password would cross the network in clear: give a "
            f"certificate, key and authority, or write {PLAINTEXT_SCHEME}... if you trust the network"
        )
    files = {"certfile": str(tls.certificate), "keyfile": str(tls.key), "ca": str(tls.authority)}
    return {"use_ssl": True, "verify_certs": True, **files}


class Session:
    """A connected, authenticated session. Use as a context manager, or call :meth:`close`."""

    def __init__(self, url: str, secret: bytes, *, timeout_s: float = SESSION_TIMEOUT_S, tls: Tls | None = None) -> None:
        self.address = parse_url(url)
        self.secret, self.tls = secret, tls  # for whoever opens the same cluster from a process of its own
        key = derive(secret, Plane.COORDINATION).hex()
        self._acl = [make_digest_acl("muskox", key, all=True)]
        retry = {"max_tries": -1, "delay": 0.05, "max_delay": RECONNECT_DELAY_S_MAX}
        self._client = KazooClient(
            hosts=self.address.hosts + self.address.chroot,
            timeout=timeout_s,
            auth_data=[("digest", f"muskox:{key}")],
            default_acl=self._acl,
            connection_retry=KazooRetry(**retry),
            command_retry=KazooRetry(**retry, ignore_expire=True),
            **tls_arguments(self.address, tls),
        )
        self._ephemerals = Ephemerals(self._client)
        self._listeners: list[Callable[[str], None]] = [self._ephemerals.on_state]
        self._is_closed = False
        self._client.add_listener(self._on_state)

    def connect(self, timeout_s: float = CONNECT_TIMEOUT_S) -> Self:
        """Connect, and make sure that the chroot exists.

        Raises
        ------
        Unavailable
            If no server answers within `timeout_s` seconds.
        CallerError
            If the secret does not open what lies there.
        """
        self._client.start_async().wait(timeout_s)
        if not self._client.connected:
            self.close()
            raise Unavailable(f"no ZooKeeper answers at {self.address} within {timeout_s:g} s: is the cluster up?")
        try:
            self._make_roots()
        except MuskoxError:
            self.close()
            raise
        return self

    def _make_roots(self) -> None:
        """Make what is missing of the layout, and read one znode of it: existence alone proves no right to it."""
        client = self._client
        client.chroot = ""
        parent = self.address.chroot.rpartition("/")[0]
        if parent:
            self._call(client.ensure_path, parent, OPEN_ACL_UNSAFE)  # what lies above the chroot is not ours alone
        self._call(client.ensure_path, self.address.chroot)
        client.chroot = self.address.chroot
        for path in layout.ROOTS:
            self._call(client.ensure_path, path)
        self._call(client.get, layout.CONFIG)

    def _wrong_secret(self) -> CallerError:
        return CallerError(f"the secret does not open the cluster at {self.address}: use the secret file of that cluster")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session, and with it its ephemerals; whoever waits for it is told that it is closed."""
        self._is_closed = True
        self._client.stop()
        self._client.close()

    @property
    def id(self) -> int:
        """The session's id; 0 when there is none."""
        known = self._client.client_id
        return int(known[0]) if known else 0

    @property
    def is_connected(self) -> bool:
        return bool(self._client.state == KazooState.CONNECTED)

    @property
    def kazoo(self) -> KazooClient:
        """The client underneath, for the recipes."""
        return self._client

    def on_state(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with "CONNECTED", "SUSPENDED" or "LOST" when the connection changes, on a kazoo thread."""
        self._listeners.append(listener)

    def _on_state(self, state: str) -> None:
        for listener in list(self._listeners):
            listener(state)

    # -- reading ----------------------------------------------------------------------------------------------------------

    def find(self, path: str, kind: type[layout.Payload], notify: Notify | None = None) -> tuple[layout.Payload, int] | None:
        """Return the record at `path` and its version, or None; `notify` is called once when that changes."""
        try:
            data, stat = self._call(self._client.get, path, notify)
        except NoNodeError:
            if notify is None or self._call(self._client.exists, path, notify) is None:
                return None
            return self.find(path, kind, notify)  # it came between the two calls
        if not data:
            return None
        return layout.decode(data, kind, path), int(stat.version)

    def get(self, path: str, kind: type[layout.Payload], what: str) -> tuple[layout.Payload, int]:
        """Return the record at `path` and its version; CallerError saying that there is no `what` otherwise."""
        found = self.find(path, kind)
        if found is None:
            raise CallerError(f"there is no {what}")
        return found

    def children(self, path: str, notify: Notify | None = None) -> list[str]:
        """Return the sorted names of the children; none where `path` is missing."""
        try:
            return sorted(self._call(self._client.get_children, path, notify))
        except NoNodeError:
            if notify is not None and self._call(self._client.exists, path, notify) is not None:
                return self.children(path, notify)
            return []

    def version(self, path: str, notify: Notify | None = None) -> int | None:
        """Return the data version of the znode at `path`, or None; `notify` is called once when it changes, comes or goes."""
        stat = self._call(self._client.exists, path, notify)
        return None if stat is None else int(stat.version)

    def owner(self, path: str) -> int | None:
        """Return the session that owns the ephemeral at `path` (0 for a persistent one), or None."""
        stat = self._call(self._client.exists, path)
        return None if stat is None else int(stat.ephemeralOwner)

    # -- writing ----------------------------------------------------------------------------------------------------------

    def create(
        self, path: str, record: msgspec.Struct | None = None, *, ephemeral: bool = False, sequence: bool = False
    ) -> str | None:
        """Create the znode and return its path, or None if it exists already; CallerError if the record is too large."""
        data = b"" if record is None else layout.encode(record)
        self._check_size([(path, data)])
        try:
            made = self._call(self._client.create, path, data, self._acl, ephemeral, sequence)
        except NodeExistsError:
            return None
        except NoNodeError as error:
            raise Refused(f"znode {path} cannot be made: what it belongs to is gone") from error
        return str(made)

    def set(self, path: str, record: msgspec.Struct, version: int = -1) -> int:
        """Write the record and return the znode's new version; Refused if it is not at `version`, CallerError if too large."""
        data = layout.encode(record)
        self._check_size([(path, data)])
        try:
            return int(self._call(self._client.set, path, data, version).version)
        except (BadVersionError, NoNodeError) as error:
            raise Refused(f"znode {path} is not at version {version}") from error

    def keep_ephemeral(self, path: str, record: msgspec.Struct) -> None:
        """Create an ephemeral that is made again if its session is lost, until it is let go; no path is used twice."""
        self._ephemerals.want(path, layout.encode(record))
        try:
            self.create(path, record, ephemeral=True)
        except BaseException:  # bulkhead: an interrupt, too, leaves nobody who would let it go
            self.let_go(path)
            raise

    def let_go(self, path: str) -> None:
        """Have such an ephemeral deleted soon; it waits for nothing, so that it can be called at any place."""
        self._ephemerals.let_go(path)

    def delete(self, path: str, *, recursive: bool = False) -> None:
        """Delete the znode if it is there."""
        try:
            self._call(self._client.delete, path, -1, recursive)
        except NoNodeError:
            return

    def commit(self, operations: list[Operation], was_done: Callable[[], bool]) -> None:
        """Perform all of `operations` or none, in one ZooKeeper multi.

        A reply may be lost: then, once connected again, `was_done` reads back whether this very attempt went through, and
        only if not is it tried again.

        Raises
        ------
        Refused
            If a check failed.
        CallerError
            If it is more than ZooKeeper takes in one request.
        """
        encoded = [(operation, _data(operation)) for operation in operations]
        self._check_size([(operation.path, data) for operation, data in encoded])
        pause_s = 0.0
        while True:
            try:
                return self._commit_once(encoded)
            except Refused:
                if pause_s and was_done():  # an earlier try went through after all, later than we looked
                    return None
                raise
            except UNCERTAIN as error:
                pause_s = min(pause_s * 2 or RETRY_S, RECONNECT_DELAY_S_MAX)
                time.sleep(pause_s)
                if not self.wait_connected():
                    raise Unavailable(f"the session with {self.address} was closed") from error
                if was_done():
                    return None

    def _commit_once(self, operations: list[tuple[Operation, bytes]]) -> None:
        transaction = self._client.transaction()
        for operation, data in operations:
            match operation:
                case Check(path, version):
                    transaction.check(path, version)
                case Create(path):
                    transaction.create(path, data, self._acl)
                case Set(path, _, version):
                    transaction.set_data(path, data, version)
                case Delete(path, version):
                    transaction.delete(path, version)
        for (operation, _), result in zip(operations, transaction.commit(), strict=True):
            if isinstance(result, UNCERTAIN):
                raise result
            if isinstance(result, Exception) and not isinstance(result, RolledBackError):
                raise Refused(f"{operation} was refused: {type(result).__name__}") from result

    def _check_size(self, written: list[tuple[str, bytes]]) -> None:
        """Refuse in words what ZooKeeper refuses by breaking the connection."""
        beside = OPERATION_BYTES + len(self.address.chroot)
        total = sum(beside + len(path) + len(data) for path, data in written)
        if total > REQUEST_BYTES_MAX:
            path, data = max(written, key=lambda each: len(each[1]))
            raise CallerError(
                f"ZooKeeper takes {REQUEST_BYTES_MAX:,} bytes at once, not {total:,} for {len(written)} znodes, {len(data):,} "
                f"of them for {path}: use fewer column groups or shards, or a shorter lineage"
            )

    def wait_connected(self, timeout_s: float | None = None) -> bool:
        """Wait until the session is connected; return whether it is. None waits until it is, or is closed."""
        changed = threading.Event()

        def wake(_: str) -> None:
            changed.set()

        self._listeners.append(wake)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while not self.is_connected:
                if self._is_closed:
                    return False
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                changed.wait(left)
                changed.clear()
            return True
        finally:
            self._listeners.remove(wake)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call with kazoo's retry: over a lost connection it waits and tries again, so only idempotent things go here."""
        try:
            return self._client.retry(function, *arguments)
        except NoAuthError as error:
            raise self._wrong_secret() from error
        except (NoNodeError, NodeExistsError, BadVersionError):
            raise
        except KazooException as error:
            raise Unavailable(f"ZooKeeper at {self.address} cannot be reached: {type(error).__name__}") from error


def _data(operation: Operation) -> bytes:
    """Return the data that the operation writes."""
    match operation:
        case Create(_, record) if record is not None:
            return layout.encode(record)
        case Set(_, record):
            return layout.encode(record)
        case _:
            return b""
