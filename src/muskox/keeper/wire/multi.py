"""The requests multi and multiRead and their replies: parts with a header each, closed by a header that says done."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from muskox.errors import PeerError
from muskox.keeper.wire.jute import Codec, codec
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import (
    CreateRequest,
    CreateTtlRequest,
    MultiHeader,
    PathVersion,
    PathWatch,
    SetDataRequest,
)

PartRequest = CreateRequest | CreateTtlRequest | PathVersion | SetDataRequest
R = TypeVar("R", bound=tuple[Any, ...])

PART_CODECS: dict[int, Codec[PartRequest]] = {
    OpCode.CREATE: codec(CreateRequest),
    OpCode.CREATE2: codec(CreateRequest),
    OpCode.CREATE_CONTAINER: codec(CreateRequest),
    OpCode.CREATE_TTL: codec(CreateTtlRequest),
    OpCode.DELETE: codec(PathVersion),
    OpCode.SET_DATA: codec(SetDataRequest),
    OpCode.CHECK: codec(PathVersion),
}
READ_CODECS: dict[int, Codec[PathWatch]] = {OpCode.GET_DATA: codec(PathWatch), OpCode.GET_CHILDREN: codec(PathWatch)}
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
    return [Part(kind, request) for kind, request in decode_parts(data, at, PART_CODECS)]


def decode_multi_read(data: bytes, at: int) -> list[tuple[int, PathWatch]]:
    """Return the kinds and bodies of the reads in the multiRead request whose body starts at byte `at`.

    Raises
    ------
    PeerError
        If the bytes are no multiRead request, or it asks for something else than data and children.
    """
    return decode_parts(data, at, READ_CODECS)


def decode_parts(data: bytes, at: int, codecs: Mapping[int, Codec[R]]) -> list[tuple[int, R]]:
    parts: list[tuple[int, R]] = []
    while True:
        header, at = HEADER.decode_from(data, at)
        if header.done:
            return parts
        fields = codecs.get(header.type)
        if fields is None:
            raise PeerError(f"operation {header.type} may not stand in a multi of this kind")
        request, at = fields.decode_from(data, at)
        parts.append((header.type, request))


def encode_multi_reply(results: Iterable[tuple[int, int, bytes]]) -> bytes:
    """Return the body of the reply to a multi; each result is (type, code, body), with type -1 for an error."""
    out: list[bytes] = []
    for kind, code, body in results:
        HEADER.write(MultiHeader(kind, False, code), out)
        out.append(body)
    out.append(DONE)
    return b"".join(out)
