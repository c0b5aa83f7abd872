"""Talking to the stores of nodes: blobs, shards, actions, streams, with fall-over from one replica to the next.

It owns connections (one per address, proved once), deadlines, and going on at another replica from the same batch. It knows
addresses and digests, not datasets or node names; addresses may come from a generator that looks for more as they fail. gRPC
starts with the first call, so a process may fork before.
"""

import hashlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec
import pyarrow as pa
from pyarrow import flight

from muskox.coordination import Tls, is_loopback
from muskox.errors import CallerError, Corrupt, Unavailable
from muskox.store.disk.blobs import CHUNK_BYTES, BlobStore, file_digest
from muskox.store.service.auth import ClientHandshake, WrongSecret
from muskox.store.service.messages import (
    ACTION_BYTES_MAX,
    BLOCKS,
    BYTES_PER_S_MIN,
    CALL_TIMEOUT_S,
    CHUNK_SCHEMA,
    CONNECT_TIMEOUT_S,
    LAST,
    BlobTicket,
    Clock,
    Digests,
    Fetch,
    Health,
    ShardTicket,
    StreamTicket,
    Ticket,
    Upload,
    faults_raised,
)

T = TypeVar("T")

# Without a pool of its own a channel to a restarted node waits out gRPC's back-off for that address, up to two minutes.
CHANNEL_OPTIONS = [("grpc.use_local_subchannel_pool", 1)]


@dataclass(frozen=True, slots=True)
class Pace:
    """Under whose fence a node is to fetch (0: nobody's), and how fast at most (0: as fast as it goes)."""

    fence: int
    bytes_per_s: float


class StoreClient:
    """Connections to nodes' stores, safe to use from several threads.

    key : of the Flight plane, `derive(secret, Plane.FLIGHT)`
    tls : needed for addresses that are not loopback
    """

    def __init__(self, key: bytes, tls: Tls | None = None) -> None:
        self._key = key
        self._tls = tls
        self._connections: dict[str, Any] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            connections, self._connections = self._connections, {}
        for connection in connections.values():
            connection.close()

    def __enter__(self) -> "StoreClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- blobs ------------------------------------------------------------------------------------------------------------

    def put_blob(self, address: str, data: bytes | Path, digest: str | None = None) -> str:
        """Store a blob, or a file's bytes, on the node at `address`; return its digest once it is durable there.

        Raises
        ------
        Unavailable
            If the node does not answer or its disk is full.
        Corrupt
            If `digest` is given and is not that of the bytes.
        """
        if isinstance(data, Path):
            digest = digest or file_digest(data)
            with data.open("rb") as file:
                self._upload(address, file, data.stat().st_size, digest)
        else:
            digest = digest or hashlib.sha256(data).hexdigest()
            self._upload(address, io.BytesIO(data), len(data), digest)
        return digest

    def _upload(self, address: str, data: BinaryIO, size: int, digest: str) -> None:
        descriptor = flight.FlightDescriptor.for_command(msgspec.json.encode(Upload(digest=digest)))
        options = flight.FlightCallOptions(timeout=CALL_TIMEOUT_S + size / BYTES_PER_S_MIN)

        def send(connection: Any) -> None:
            data.seek(0)
            writer, _ = connection.do_put(descriptor, CHUNK_SCHEMA, options=options)
            with writer:
                while chunk := data.read(CHUNK_BYTES):
                    writer.write_batch(_as_batch(chunk))
                writer.done_writing()

        self._call(address, send)

    def get_blob(self, addresses: Iterable[str], digest: str) -> bytes:
        """Return a blob's bytes, checked, from the first of `addresses` that can give them.

        Raises
        ------
        Unavailable
            If none can; the message says why for each.
        """

        def read(address: str) -> bytes:
            data = b"".join(self._chunks(address, digest))
            if hashlib.sha256(data).hexdigest() != digest:
                raise Corrupt(f"blob {digest} came from {address} with other bytes")
            return data

        return first_that_can(addresses, f"blob {digest}", read)

    def fetch_blob(self, addresses: Iterable[str], digest: str, blobs: BlobStore, bytes_per_s: float = 0.0) -> Path:
        """Bring a blob into `blobs`, unless it is there and whole, and return its path; raises as :meth:`get_blob` does.

        bytes_per_s : no faster than this; 0 means as fast as it goes
        """

        def fetch(address: str) -> Path:
            began_s = time.monotonic()
            with blobs.writer() as writer:
                for chunk in self._chunks(address, digest):
                    writer.write(chunk)
                    if bytes_per_s:
                        time.sleep(max(0.0, began_s + writer.bytes / bytes_per_s - time.monotonic()))
                writer.commit(digest)
            return blobs.path(digest)

        if blobs.has_whole(digest):
            os.utime(blobs.path(digest))  # as if it had come now: a collection that has begun spares it
            return blobs.path(digest)
        return first_that_can(addresses, f"blob {digest}", fetch)

    def read_range(self, addresses: Iterable[str], digest: str, offset: int, count: int) -> bytes:
        """Return `count` bytes of a blob from byte `offset` on; raises as :meth:`get_blob` does.

        A range cannot be compared with the digest: the node that sends it has compared the whole blob.
        """

        def read(address: str) -> bytes:
            data = b"".join(self._chunks(address, digest, offset, offset + count))
            if len(data) != count:
                raise Corrupt(f"{len(data)} bytes of blob {digest} came from {address} instead of {count}")
            return data

        return first_that_can(addresses, f"blob {digest}", read)

    def _chunks(self, address: str, digest: str, offset: int = 0, end: int | None = None) -> Iterator[memoryview]:
        while True:
            is_last = True
            count = None if end is None else end - offset
            for batch, mark in self._piece(address, BlobTicket(digest=digest, offset=offset, count=count)):
                data = memoryview(batch.column(0)[0].as_buffer())
                offset += len(data)
                is_last = mark == LAST
                yield data
            if is_last:
                return

    # -- shards -----------------------------------------------------------------------------------------------------------

    def read_shard(
        self, addresses: Iterable[str], digest: str, columns: Sequence[str] | None = None, first: int = 0
    ) -> Iterator[Any]:
        """Yield a shard's record batches from number `first` on; if a node fails, go on with the same batch from the next.

        Raises
        ------
        Unavailable
            If no address is left; the message says why for each.
        CallerError
            If there is no such column.
        """
        names = None if columns is None else list(columns)
        failures: list[str] = []
        for address in addresses:
            try:
                is_last = False
                while not is_last:
                    is_last = True
                    for batch, _ in self._piece(address, ShardTicket(digest=digest, columns=names, first=first)):
                        first += 1
                        is_last = first >= _blocks(batch)
                        yield batch.replace_schema_metadata(None)
                return
            except (Unavailable, Corrupt) as error:
                failures.append(str(error))
        raise _nobody(f"shard {digest}", failures)

    # -- actions and streams ----------------------------------------------------------------------------------------------

    def action(self, address: str, name: str, body: bytes = b"", timeout_s: float = CALL_TIMEOUT_S) -> bytes:
        """Return the answer of the node's action `name`.

        Raises
        ------
        Unavailable
            If the node does not answer within `timeout_s` seconds.
        CallerError
            If it has no such action, or the action says so.
        """
        options = flight.FlightCallOptions(timeout=timeout_s)

        def act(connection: Any) -> bytes:
            results = [result.body.to_pybytes() for result in connection.do_action(flight.Action(name, body), options)]
            if len(results) != 1 or len(results[0]) > ACTION_BYTES_MAX:
                raise Unavailable(f"the node at {address} gave {len(results)} answers to {name!r}")
            return bytes(results[0])

        return self._call(address, act)

    def stream(self, address: str, name: str, argument: bytes = b"") -> Iterator[Any]:
        """Yield the record batches of the node's stream `name` until it ends; no deadline. Raises as :meth:`action` does."""
        for batch, _ in self._piece(address, StreamTicket(name=name, argument=argument), timeout_s=None):
            yield batch

    def delete(self, address: str, digests: Sequence[str], unless_newer_than_ns: int, fence: int = 0) -> list[str]:
        """Delete blobs from the node, but those written since its clock showed that time; return those that are gone.

        fence : the coordinator's who orders it, which the node refuses once it has heard of a later one; 0 for nobody's
        """
        body = msgspec.json.encode(Digests(digests=list(digests), unless_newer_than_ns=unless_newer_than_ns, fence=fence))
        return msgspec.json.decode(self.action(address, "delete", body), type=Digests).digests

    def fetch_to(self, address: str, digest: str, sources: Sequence[str], size: int, pace: "Pace | None" = None) -> None:
        """Let the node at `address` fetch a blob of `size` bytes from one of `sources`; return once it is durable there.

        Raises
        ------
        Unavailable
            If it has too much to fetch already, its disk is full, or no source can give the blob.
        CallerError
            If it has heard of a later coordinator.
        """
        pace = pace or Pace(0, 0.0)
        wanted = Fetch(digest=digest, sources=list(sources), bytes_per_s=pace.bytes_per_s, fence=pace.fence)
        slowest = min(pace.bytes_per_s, BYTES_PER_S_MIN) if pace.bytes_per_s else BYTES_PER_S_MIN
        self.action(address, "fetch", msgspec.json.encode(wanted), CALL_TIMEOUT_S * max(len(sources), 1) + 2 * size / slowest)

    def inventory(self, address: str) -> dict[str, int]:
        """Return the blobs that the node holds, and the size of each."""
        batches = (batch for batch, _ in self._piece(address, StreamTicket(name="inventory")))
        return {name: size for batch in batches for name, size in zip(*(c.to_pylist() for c in batch.columns), strict=True)}

    def missing(self, address: str, digests: Sequence[str]) -> list[str]:
        """Return those of the blobs that the node has not."""
        body = msgspec.json.encode(Digests(digests=list(digests)))
        return msgspec.json.decode(self.action(address, "missing", body), type=Digests).digests

    def verify(self, address: str, digest: str, timeout_s: float = CALL_TIMEOUT_S) -> str:
        """Let the node read a blob again; return "good", "corrupt" or "missing"."""
        body = msgspec.json.encode(Digests(digests=[digest]))
        return msgspec.json.decode(self.action(address, "verify", body, timeout_s), type=Health).state

    def clock_ns(self, address: str) -> int:
        return msgspec.json.decode(self.action(address, "clock"), type=Clock).now_ns

    # -- connections ------------------------------------------------------------------------------------------------------

    def _piece(self, address: str, ticket: Ticket, timeout_s: float | None = CALL_TIMEOUT_S) -> Iterator[tuple[Any, bytes]]:
        """Yield the (record batch, metadata) of one DoGet; not all of them if the caller takes the time that they have."""
        options = flight.FlightCallOptions(timeout=timeout_s) if timeout_s is not None else flight.FlightCallOptions()
        sealed = flight.Ticket(msgspec.json.encode(ticket))

        def begin(connection: Any) -> tuple[Any, Any]:
            reader = connection.do_get(sealed, options)
            return reader, _next_chunk(reader)  # an error of the call shows with the first message

        reader, chunk = self._call(address, begin)
        caller_s = 0.0
        try:
            while chunk is not None:
                since_s = time.monotonic()
                yield chunk.data, b"" if chunk.app_metadata is None else chunk.app_metadata.to_pybytes()
                caller_s += time.monotonic() - since_s
                try:
                    with self._guarded(address):
                        chunk = _next_chunk(reader)
                except Unavailable:
                    if timeout_s is None or caller_s < timeout_s / 2:
                        raise
                    chunk = None  # the node is not to blame: ask it for the next piece
        finally:
            if chunk is not None:
                reader.cancel()

    def _call(self, address: str, call: Callable[[Any], T]) -> T:
        """Call with the connection to `address`; once more with a new one if the node has forgotten us since it restarted."""
        for _ in range(2):
            with self._guarded(address):
                connection = self._connection(address)
                try:
                    return call(connection)
                except flight.FlightUnauthenticatedError:
                    self._forget(address)
        raise Unavailable(f"the node at {address} takes our proof and then refuses our calls")

    @contextmanager
    def _guarded(self, address: str) -> Iterator[None]:
        try:
            with faults_raised(address):
                yield
        except Unavailable:
            self._forget(address)
            raise

    def _connection(self, address: str) -> Any:
        with self._lock:
            if address in self._connections:
                return self._connections[address]
        connection = self._connect(address)
        with self._lock:
            return self._connections.setdefault(address, connection)

    def _connect(self, address: str) -> Any:
        if self._tls is None and not is_loopback(address.rpartition(":")[0]):
            raise CallerError(f"the node at {address} is on another machine: to talk to it give the authority's certificate")
        if self._tls is None:
            connection = flight.FlightClient(f"grpc://{address}", generic_options=CHANNEL_OPTIONS)
        else:
            authority = self._tls.authority.read_bytes()
            location = f"grpc+tls://{address}"
            shown = {"cert_chain": self._tls.certificate.read_bytes(), "private_key": self._tls.key.read_bytes()}
            connection = flight.FlightClient(location, tls_root_certs=authority, generic_options=CHANNEL_OPTIONS, **shown)
        try:
            connection.authenticate(ClientHandshake(self._key), flight.FlightCallOptions(timeout=CONNECT_TIMEOUT_S))
        except (WrongSecret, flight.FlightUnauthenticatedError) as error:
            raise CallerError(f"the node at {address} belongs to a cluster with another secret: use its secret file") from error
        return connection

    def _forget(self, address: str) -> None:
        with self._lock:
            self._connections.pop(address, None)


def first_that_can(addresses: Iterable[str], what: str, read: Callable[[str], T]) -> T:
    """Return `read` of the first address for which it neither is unavailable nor finds corruption."""
    failures: list[str] = []
    for address in addresses:
        try:
            return read(address)
        except (Unavailable, Corrupt) as error:
            failures.append(str(error))
    raise _nobody(what, failures)


def _nobody(what: str, failures: Sequence[str]) -> Unavailable:
    return Unavailable(f"no node can give {what}: {'; '.join(failures) or 'none that should hold it is live'}")


def _blocks(batch: Any) -> int:
    """Return how many record batches the whole shard of this one has, as its sender says."""
    try:
        return int((batch.schema.metadata or {})[BLOCKS])
    except (KeyError, ValueError) as error:
        raise Unavailable("the node does not say how long a shard is: it runs another version of muskox") from error


def _next_chunk(reader: Any) -> Any:
    try:
        return reader.read_chunk()
    except StopIteration:
        return None


def _as_batch(chunk: bytes) -> Any:
    """Return the chunk as a batch of one value, without copying it."""
    offsets = pa.py_buffer(b"".join(edge.to_bytes(8, "little") for edge in (0, len(chunk))))
    column = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(chunk)])
    return pa.RecordBatch.from_arrays([column], schema=CHUNK_SCHEMA)
