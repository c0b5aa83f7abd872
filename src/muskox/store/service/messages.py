"""What client and server of a node's store say to each other: tickets, actions, errors, limits; both sides side by side.

Every transfer is cut into pieces with a deadline of their own, so that a peer that stops without breaking its connection is
noticed, and a reader goes on from the same place at another replica. An error travels as its kind and sentence.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pyarrow as pa
from pyarrow import flight

from muskox.errors import CallerError, Corrupt, MuskoxError, PeerError, Unavailable

PIECE_BYTES = 64 << 20  # after so much a server ends a piece; the client asks for the next
CHUNK_BYTES_MAX = 8 << 20  # of a blob on its way in, in one message
ACTION_BYTES_MAX = 16 << 20  # of an action's body and of its answer
CONNECT_TIMEOUT_S = 5.0  # a handshake
CALL_TIMEOUT_S = 30.0  # an action, or a piece: 64 MB at 2 MB a second
BYTES_PER_S_MIN = 2 << 20  # a peer that takes an upload more slowly than this is given up
LAST = b"last"  # metadata of a blob's last message
BLOCKS = b"blocks"  # in the metadata of a shard's schema: how many record batches the whole shard has

FETCHES_MAX = 4  # of one node at a time
INVENTORY_ROWS = 50_000  # blobs told of in one message

CHUNK_SCHEMA = pa.schema([pa.field("chunk", pa.large_binary())])
INVENTORY_SCHEMA = pa.schema([pa.field("digest", pa.string()), pa.field("bytes", pa.int64())])


class BlobTicket(msgspec.Struct, frozen=True, kw_only=True, tag="blob"):
    """Ask for a piece of a blob from byte `offset` on, `count` bytes at most (None: to its end): chunks of bytes."""

    digest: str
    offset: int = 0
    count: int | None = None


class ShardTicket(msgspec.Struct, frozen=True, kw_only=True, tag="shard"):
    """Ask for a piece of a shard from record batch `first` on; no `columns` means all."""

    digest: str
    columns: list[str] | None = None
    first: int = 0


class StreamTicket(msgspec.Struct, frozen=True, kw_only=True, tag="stream"):
    """Ask for what the node's own stream `name` tells."""

    name: str
    argument: bytes = b""


class RowsTicket(msgspec.Struct, frozen=True, kw_only=True, tag="rows", forbid_unknown_fields=True):
    """Ask for rows of a dataset ("flights@2") as one stream, from whichever node: what any Flight client may ask.

    shard : only this one; None means all, in order
    rows : [first, end) counted over what is asked; None means all
    """

    dataset: str
    columns: list[str] | None = None
    shard: int | None = None
    rows: tuple[int, int] | None = None


Ticket = BlobTicket | ShardTicket | StreamTicket | RowsTicket


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """The descriptor of a blob on its way in."""

    digest: str


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """Body of the action "adopt": a file that was laid into the node's folder as `name`, and what its digest shall be."""

    digest: str
    name: str


class Digests(msgspec.Struct, frozen=True, kw_only=True):
    """Body of the actions "delete" and "verify" (one digest), and answer of "delete": what is gone."""

    digests: list[str]
    unless_newer_than_ns: int | None = None
    fence: int = 0


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    """Body of the action "fetch": a blob, the nodes that may have it, and how fast at most (0: no bound).

    fence : the coordinator's who orders it; 0 where a client asks
    """

    digest: str
    sources: list[str]
    bytes_per_s: float = 0.0
    fence: int = 0


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of "verify": whether the blob is "good", "corrupt" or "missing"."""

    state: str


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of "clock": the node's time, which its blobs' times are compared with."""

    now_ns: int


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """An error on the wire."""

    kind: str
    message: str


KINDS: dict[str, type[MuskoxError]] = {kind.__name__: kind for kind in (CallerError, PeerError, Corrupt, Unavailable)}


@contextmanager
def faults_told() -> Iterator[None]:
    """On the server: let our errors leave as a Fault that the client raises again."""
    try:
        yield
    except (CallerError, PeerError, Corrupt, Unavailable) as error:
        fault = Fault(kind=type(error).__name__, message=str(error))
        raise flight.FlightServerError(fault.message, extra_info=msgspec.json.encode(fault)) from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        fault = Fault(kind="PeerError", message=f"no message of this version of muskox: {error}")
        raise flight.FlightServerError(fault.message, extra_info=msgspec.json.encode(fault)) from error


@contextmanager
def faults_raised(address: str) -> Iterator[None]:
    """On the client: raise the server's Fault again, and Unavailable for whatever breaks the connection to `address`."""
    try:
        yield
    except flight.FlightUnauthenticatedError:
        raise
    except (flight.FlightError, pa.ArrowException, OSError) as error:
        raise _meaning(error, address) from error


def _meaning(error: Exception, address: str) -> MuskoxError:
    try:
        fault = msgspec.json.decode(getattr(error, "extra_info", b""), type=Fault)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return Unavailable(f"the node at {address} does not answer: {_first_sentence(str(error))}")
    return KINDS.get(fault.kind, Unavailable)(fault.message)


def _first_sentence(text: str) -> str:
    """Return what gRPC says happened, without where in its source it says so."""
    text = text.split("\n", maxsplit=1)[0].split(". gRPC client debug context", maxsplit=1)[0]
    return text.rpartition("last error: ")[2].rpartition("with message: ")[2].strip(". ")
