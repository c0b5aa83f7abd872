"""The multi request and its reply: parts with a header each, closed by a header that says done."""

from collections.abc import Iterable
from typing import NamedTuple

from muskox.errors import PeerError
from muskox.keeper.wire.jute import Codec, codec
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import (
    CreateRequest,
    CreateTtlRequest,
    MultiHeader,
    PathVersion,
    SetDataRequest,
)

PartRequest = CreateRequest | CreateTtlRequest | PathVersion | SetDataRequest

PART_CODECS: dict[int, Codec[PartRequest]] = {
    OpCode.CREATE: codec(CreateRequest),
    OpCode.CREATE2: codec(CreateRequest),
    OpCode.CREATE_CONTAINER: codec(CreateRequest),
    OpCode.CREATE_TTL: codec(CreateTtlRequest),
    OpCode.DELETE: codec(PathVersion),
    OpCode.SET_DATA: codec(SetDataRequest),
    OpCode.CHECK: codec(PathVersion),
}
HEADER = codec(MultiHeader)
DONE = HEADER.encode(MultiHeader(-1, True, -1))


class Part(NamedTuple):
    """One operation of a multi request."""

    type: int
    request: PartRequest


def decode_multi(data: bytes, at: int) -> list[Part]:
    """Return the operations of the multi request whose body starts at byte `at`.

    Raises
    ------
    PeerError
        If the bytes are no multi request, or one of its operations may not stand in one.
    """
    parts: list[Part] = []
    while True:
        header, at = HEADER.decode_from(data, at)
        if header.done:
            return parts
        fields = PART_CODECS.get(header.type)
        if fields is None:
            raise PeerError(f"operation {header.type} may not stand in a multi")
        request, at = fields.decode_from(data, at)
        parts.append(Part(header.type, request))


def encode_multi_reply(results: Iterable[tuple[int, int, bytes]]) -> bytes:
    """Return the body of the reply to a multi; each result is (type, code, body), with type -1 for an error."""
    out: list[bytes] = []
    for kind, code, body in results:
        HEADER.write(MultiHeader(kind, False, code), out)
        out.append(body)
    out.append(DONE)
    return b"".join(out)
