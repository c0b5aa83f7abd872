"""A node's store on the network: an Arrow Flight service over its blobs.

It owns upload (acknowledged after fsync), download, reading shards, and the store's own actions; what else a node has to tell
or to do is plugged in: streams, actions, and what strangers may read. It must never know datasets: it serves blobs by digest.
Who calls is told by service/callers.py. It runs on Flight's own threads; garbage on the port concerns its sender alone.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pyarrow as pa
from pyarrow import flight

from muskox.coordination import Tls, is_loopback
from muskox.errors import CallerError, Corrupt, PeerError, Unavailable
from muskox.store.disk.blobs import CHUNK_BYTES, BlobStore, check_once
from muskox.store.disk.mappings import Mappings
from muskox.store.disk.shard import read_blocks
from muskox.store.service.auth import ServerHandshake
from muskox.store.service.callers import Caller, CallerGate, Role
from muskox.store.service.client import StoreClient
from muskox.store.service.handover import ADOPT, adopt
from muskox.store.service.messages import (
    ACTION_BYTES_MAX,
    BLOCKS,
    CHUNK_BYTES_MAX,
    CHUNK_SCHEMA,
    FETCHES_MAX,
    INVENTORY_ROWS,
    INVENTORY_SCHEMA,
    LAST,
    PIECE_BYTES,
    BlobTicket,
    Clock,
    Digests,
    Fetch,
    Health,
    RowsTicket,
    ShardTicket,
    StreamTicket,
    Ticket,
    Upload,
    faults_told,
)

GATE = "caller"  # the name of the middleware that knows who calls
STOP_TIMEOUT_S = 5.0  # what calls under way get to end

Call = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Stream:
    """What a node tells for as long as somebody listens.

    schema : pyarrow.Schema of the batches
    open : takes the listener's argument, returns an iterator of pyarrow.RecordBatch. It should yield at least every few seconds
        (a batch without rows will do), because only then is a listener that left, or a server that stops, noticed.
    """

    schema: Any
    open: Callable[[bytes], Iterator[Any]]


class Flights(Protocol):
    """What any Arrow Flight client finds on a node, each caller what it may. All raise CallerError for what there is not."""

    def listing(self, caller: Caller, criteria: bytes) -> Iterator[Any]:
        """Yield a pyarrow.flight.FlightInfo for each flight."""

    def info(self, caller: Caller, descriptor: Any) -> Any:
        """Return the FlightInfo of one, with its endpoints."""

    def schema(self, caller: Caller, descriptor: Any) -> Any:
        """Return its pyarrow.Schema."""

    def read(self, caller: Caller, ticket: RowsTicket) -> tuple[Any, Iterator[Any]]:
        """Return a schema and the record batches of it."""


@dataclass(frozen=True, slots=True)
class Plugins:
    """What a node adds to its store's service: actions by name, streams by name, and where it gets blobs that it has not.

    flights : what clients that are not muskox find here; None for nothing
    doubt : told a digest that was asked for, and is not here or not what it was
    supply : takes a digest, returns the file of that blob, or raises Unavailable: where an object store is behind the nodes
    """

    actions: Mapping[str, Call] = field(default_factory=dict)
    streams: Mapping[str, Stream] = field(default_factory=dict)
    supply: Callable[[str], Path] | None = None
    doubt: Callable[[str], None] = lambda _: None
    flights: Flights | None = None


class StoreServer:
    """The service of one node. `address` is known after :meth:`start`.

    Parameters
    ----------
    blobs : what it serves
    key : of the Flight plane, `derive(secret, Plane.FLIGHT)`
    host, port : where it listens; port 0 takes any free one
    tls : needed for any host that is not loopback
    plugins : the node's own actions and streams
    """

    def __init__(
        self,
        blobs: BlobStore,
        *,
        key: bytes,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: Tls | None = None,
        plugins: Plugins | None = None,
    ) -> None:
        if tls is None and not is_loopback(host):
            raise CallerError(
                f"{host} can be reached from other machines: to listen there give a certificate, key and authority"
            )
        self._blobs = blobs
        self._key = key
        self._host = host
        self._port = port
        self._tls = tls
        self._plugins = plugins or Plugins()
        self._service: _Service | None = None

    @property
    def address(self) -> str:
        """The service's host:port."""
        assert self._service is not None, "started"
        return f"{self._host}:{self._service.port}"

    def start(self) -> "StoreServer":
        """Listen and serve on Flight's threads.

        Raises
        ------
        CallerError
            If the port is in use or the host is not this machine's.
        """
        if self._port:
            check_free(self._host, self._port)
        certificates = [] if self._tls is None else [(self._tls.certificate.read_bytes(), self._tls.key.read_bytes())]
        scheme = "grpc" if self._tls is None else "grpc+tls"
        handshake = ServerHandshake(self._key)
        try:
            self._service = _Service(
                self._blobs,
                self._plugins,
                StoreClient(self._key, self._tls),
                f"{scheme}://{self._host}:{self._port}",
                auth_handler=handshake,
                middleware={GATE: CallerGate(self._key, handshake)},
                tls_certificates=certificates,
                **self._client_check(),
            )
        except (pa.ArrowException, OSError) as error:
            raise CallerError(f"cannot listen on {self._host}:{self._port}: {error}") from error
        return self

    def _client_check(self) -> dict[str, Any]:
        """Over TLS a caller shows a certificate too: strangers are turned away before anything they send is read."""
        if self._tls is None:
            return {}
        return {"verify_client": True, "root_certificates": self._tls.authority.read_bytes()}

    def stop(self) -> None:
        """Stop serving; calls under way get STOP_TIMEOUT_S to end."""
        if self._service is None:
            return
        self._service.stopping.set()
        thread = threading.Thread(target=self._service.shutdown, name="store-stop", daemon=True)
        thread.start()
        thread.join(STOP_TIMEOUT_S)

    def __enter__(self) -> "StoreServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def check_free(host: str, port: int) -> None:
    """Raise CallerError if somebody listens there: gRPC shares ports silently (SO_REUSEPORT)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            raise CallerError(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error


class _Service(flight.FlightServerBase):  # type: ignore[misc]
    """Flight's callbacks, each on a thread of gRPC's."""

    def __init__(self, blobs: BlobStore, plugins: Plugins, client: StoreClient, location: str, **options: Any) -> None:
        self._blobs = blobs
        self._plugins = plugins
        self._client = client
        self._fence = 0
        self._mappings = Mappings()
        self._fetching = threading.BoundedSemaphore(FETCHES_MAX)
        self._streams = {"inventory": Stream(INVENTORY_SCHEMA, self._inventory), **plugins.streams}
        self.stopping = threading.Event()
        own: dict[str, Call] = {
            "delete": self._delete,
            "verify": self._verify,
            "clock": self._clock,
            "missing": self._missing,
            "fetch": self._fetch,
            ADOPT: lambda body: adopt(self._blobs, body),
        }
        assert not own.keys() & plugins.actions.keys(), "the store's own actions keep their names"
        self._actions = {**plugins.actions, **own}
        super().__init__(location, **options)

    def do_action(self, _context: Any, action: Any) -> Iterator[bytes]:
        with faults_told():
            body = action.body.to_pybytes()
            if action.type not in self._actions:
                raise CallerError(f"a node has no action {action.type!r}")
            if len(body) > ACTION_BYTES_MAX:
                raise CallerError(f"an action takes at most {ACTION_BYTES_MAX} bytes, not {len(body)}")
            return iter([self._actions[action.type](body)])

    def do_put(self, _context: Any, descriptor: Any, reader: Any, _writer: Any) -> None:
        with faults_told():
            upload = msgspec.json.decode(descriptor.command or b"", type=Upload)
            self._blobs.path(upload.digest)  # refuses what is no digest before anything is written
            with self._blobs.writer() as blob:
                for chunk in reader:
                    for value in chunk.data.column(0):
                        data = value.as_buffer()
                        if data is None or data.size > CHUNK_BYTES_MAX:
                            raise PeerError(f"a blob comes in chunks of at most {CHUNK_BYTES_MAX} bytes")
                        blob.write(memoryview(data))
                blob.commit(upload.digest)

    def list_flights(self, context: Any, criteria: bytes) -> Iterator[Any]:
        with faults_told():
            return _telling(self._flights().listing(_caller(context), bytes(criteria)))

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        with faults_told():
            return self._flights().info(_caller(context), descriptor)

    def get_schema(self, context: Any, descriptor: Any) -> Any:
        with faults_told():
            return flight.SchemaResult(self._flights().schema(_caller(context), descriptor))

    def _flights(self) -> Flights:
        if self._plugins.flights is None:
            raise CallerError("this node shows no flights")
        return self._plugins.flights

    def do_get(self, context: Any, ticket: Any) -> Any:
        with faults_told():
            asked = msgspec.json.decode(ticket.ticket, type=Ticket)
            caller = _caller(context)
            if caller.role is not Role.MEMBER and not isinstance(asked, RowsTicket):
                raise flight.FlightUnauthorizedError(
                    "who does not know the cluster's secret may ask for rows, and not for blobs"
                )
            match asked:
                case RowsTicket():
                    schema, batches = self._flights().read(caller, asked)
                    return flight.GeneratorStream(schema, self._until_stopped(batches))
                case BlobTicket():
                    return self._send_blob(asked)
                case ShardTicket():
                    return self._send_shard(asked)
                case StreamTicket():
                    return self._send_stream(asked)

    def _whole(self, digest: str) -> Path:
        """Return the file of a blob, compared with its name; brought here first, if this node can."""
        path = self._blobs.path(digest)
        if self._plugins.supply is not None and not path.exists():
            return self._plugins.supply(digest)
        try:
            check_once(path)
        except (Corrupt, Unavailable):
            self._plugins.doubt(digest)
            raise
        return path

    def _send_blob(self, ticket: BlobTicket) -> Any:
        path = self._whole(ticket.digest)
        size = path.stat().st_size
        wanted_end = size if ticket.count is None else min(size, ticket.offset + ticket.count)
        end = min(wanted_end, ticket.offset + PIECE_BYTES)
        if ticket.offset < 0:
            raise PeerError(f"a blob begins at byte 0, not {ticket.offset}")

        def chunks() -> Iterator[tuple[Any, bytes]]:
            with path.open("rb") as file:
                file.seek(ticket.offset)
                at = ticket.offset
                while at < end:
                    data = file.read(min(CHUNK_BYTES, end - at))
                    at += len(data)
                    yield pa.record_batch([pa.array([data], pa.large_binary())], schema=CHUNK_SCHEMA), _mark(at == wanted_end)

        return flight.GeneratorStream(CHUNK_SCHEMA, chunks())

    def _send_shard(self, ticket: ShardTicket) -> Any:
        reader = self._mappings.open(self._whole(ticket.digest))
        names = reader.schema.names if ticket.columns is None else ticket.columns
        unknown = [name for name in names if name not in reader.schema.names]
        if unknown:
            raise CallerError(f"no column {unknown[0]!r}: this shard has {', '.join(reader.schema.names)}")
        told = {BLOCKS: str(reader.num_record_batches)}
        schema = pa.schema([reader.schema.field(name) for name in names], metadata=told)
        piece = []
        size = 0
        for block in read_blocks(reader, ticket.first):
            piece.append(block.select(names))
            size += piece[-1].nbytes
            if size >= PIECE_BYTES:
                break
        return flight.RecordBatchStream(pa.RecordBatchReader.from_batches(schema, piece))  # sent without a line of Python

    def _send_stream(self, ticket: StreamTicket) -> Any:
        stream = self._streams.get(ticket.name)
        if stream is None:
            raise CallerError(f"a node has no stream {ticket.name!r}")
        return flight.GeneratorStream(stream.schema, self._until_stopped(stream.open(ticket.argument)))

    def _until_stopped(self, batches: Iterator[Any]) -> Iterator[Any]:
        while not self.stopping.is_set():
            with faults_told():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def _obey(self, fence: int) -> None:
        """Take an order of the coordinator with this fence, unless a later one has given orders already."""
        if 0 < fence < self._fence:
            raise CallerError(f"coordinator {self._fence} has taken over: an order of coordinator {fence} is refused")
        self._fence = max(self._fence, fence)

    def _fetch(self, body: bytes) -> bytes:
        wanted = msgspec.json.decode(body, type=Fetch)
        self._obey(wanted.fence)
        if not self._fetching.acquire(blocking=False):
            raise Unavailable(f"this node fetches {FETCHES_MAX} blobs already")
        try:
            self._client.fetch_blob(wanted.sources, wanted.digest, self._blobs, wanted.bytes_per_s)
        finally:
            self._fetching.release()
        return b""

    def _inventory(self, _: bytes) -> Iterator[Any]:
        held = self._blobs.sizes()
        names = sorted(held)
        for first in range(0, len(names), INVENTORY_ROWS):
            some = names[first : first + INVENTORY_ROWS]
            yield pa.record_batch([some, [held[name] for name in some]], schema=INVENTORY_SCHEMA)

    def _delete(self, body: bytes) -> bytes:
        wanted = msgspec.json.decode(body, type=Digests)
        self._obey(wanted.fence)
        for digest in wanted.digests:
            self._mappings.forget(self._blobs.path(digest))
        gone = [digest for digest in wanted.digests if self._blobs.delete(digest, wanted.unless_newer_than_ns)]
        return msgspec.json.encode(Digests(digests=gone))

    def _verify(self, body: bytes) -> bytes:
        (digest,) = msgspec.json.decode(body, type=Digests).digests
        try:
            self._blobs.check(digest)
            state = "good"
        except Corrupt:
            state = "corrupt"
        except Unavailable:
            state = "missing"
        if state != "good":
            self._plugins.doubt(digest)
        return msgspec.json.encode(Health(state=state))

    def _missing(self, body: bytes) -> bytes:
        asked = msgspec.json.decode(body, type=Digests).digests
        return msgspec.json.encode(Digests(digests=[digest for digest in asked if not self._blobs.has(digest)]))

    def _clock(self, _: bytes) -> bytes:
        return msgspec.json.encode(Clock(now_ns=time.time_ns()))


def _caller(context: Any) -> Caller:
    caller: Caller = context.get_middleware(GATE).caller
    return caller


def _telling(items: Iterator[Any]) -> Iterator[Any]:
    """Yield the same; an error on the way leaves as a fault."""
    with faults_told():
        yield from items


def _mark(is_last: bool) -> bytes:
    return LAST if is_last else b"more"
