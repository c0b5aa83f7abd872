"""Jute, the encoding of ZooKeeper's wire and files: big-endian numbers, and lengths before text, buffers and vectors.

It owns how one record becomes bytes and back. A record is a NamedTuple whose annotations are the types below; its codec is
derived from them once, so that no layout is written down twice. Neighbouring numbers are read by one ``struct`` call.
"""

from collections.abc import Callable
from struct import Struct, error
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from muskox.errors import PeerError

Value = Any
Read = Callable[[bytes, int], tuple[Value, int]]
Write = Callable[[Value, list[bytes]], None]
R = TypeVar("R", bound=tuple[Any, ...])

LENGTH = Struct(">i")
NULL = LENGTH.pack(-1)
unpack_length = LENGTH.unpack_from
pack_length = LENGTH.pack


class Fixed(NamedTuple):
    """A type of known size, by its letter in the ``struct`` module."""

    letter: str


class Varying(NamedTuple):
    """A type whose size stands in front of it."""

    read: Read
    write: Write


def read_text(data: bytes, at: int) -> tuple[str, int]:
    (size,) = unpack_length(data, at)
    start = at + 4
    end = start + size
    if size < 0 or end > len(data):
        raise PeerError(f"text of {size} bytes is announced at byte {at} of {len(data)}")
    # Java replaces what is not UTF-8 and lets the rules for paths refuse it; so do we.
    return data[start:end].decode("utf-8", "replace"), end


def read_text_or_null(data: bytes, at: int) -> tuple[str | None, int]:
    if data[at : at + 4] == NULL:
        return None, at + 4
    return read_text(data, at)


def read_buffer(data: bytes, at: int) -> tuple[bytes | None, int]:
    (size,) = unpack_length(data, at)
    start = at + 4
    if size == -1:
        return None, start
    end = start + size
    if size < 0 or end > len(data):
        raise PeerError(f"{size} bytes are announced at byte {at} of {len(data)}")
    return data[start:end], end


def write_text(value: str | None, out: list[bytes]) -> None:
    # Text that came with a lone surrogate cannot exist here: read_text replaced it.
    write_buffer(None if value is None else value.encode(), out)


def write_buffer(value: bytes | None, out: list[bytes]) -> None:
    if value is None:
        out.append(NULL)
    else:
        out += (pack_length(len(value)), value)


def vector(item: Any) -> Varying:
    """Return the type of a vector of `item`, an annotation or a record class; values are tuples, or None for null."""
    kind: Varying = kind_of(item)
    read_item, write_item = kind.read, kind.write

    def read(data: bytes, at: int) -> tuple[tuple[Value, ...] | None, int]:
        (count,) = LENGTH.unpack_from(data, at)
        at += 4
        if count < 0:
            return None if count == -1 else (), at  # Apache takes other negative counts for none
        # Every item takes at least four bytes, so a lying count is refused before anything is built.
        if count * 4 > len(data) - at:
            raise PeerError(f"{count} items are announced at byte {at - 4} of {len(data)}")
        items = []
        for _ in range(count):
            value, at = read_item(data, at)
            items.append(value)
        return tuple(items), at

    def write(values: tuple[Value, ...] | None, out: list[bytes]) -> None:
        out.append(NULL if values is None else LENGTH.pack(len(values)))
        for value in values or ():
            write_item(value, out)

    return Varying(read, write)


Bool = Annotated[bool, Fixed("?")]
Int = Annotated[int, Fixed("i")]
Long = Annotated[int, Fixed("q")]
Text = Annotated[str, Varying(read_text, write_text)]
TextOrNull = Annotated[str | None, Varying(read_text_or_null, write_text)]
Buffer = Annotated[bytes | None, Varying(read_buffer, write_buffer)]


def kind_of(annotation: Any) -> Any:
    """Return the Fixed, Varying or Codec that `annotation` stands for."""
    if isinstance(annotation, type):
        fields: Codec[Any] = codec(annotation)
        return Varying(fields.read, fields.write)
    return annotation.__metadata__[0]


def source_of(record: type, names: dict[str, Any]) -> tuple[str, str]:
    """Return the lines that read, and those that write, the fields of `record`; what they call is put into `names`.

    The codec of a record is written out as dataclasses write out theirs: a loop over its fields took twice as long.
    """
    reads = writes = numbers = ""
    fields: list[str] = []
    # The annotation after the last only makes sure that the numbers before it are written out.
    for index, annotation in enumerate((*record.__annotations__.values(), None)):
        kind = None if annotation is None else kind_of(annotation)
        if isinstance(kind, Fixed):
            numbers += kind.letter
            fields.append(f"v{index}")
            continue
        if numbers:
            form, joined = Struct(">" + numbers), ", ".join(fields)
            names[f"unpack{index}"], names[f"pack{index}"] = form.unpack_from, form.pack
            reads += f" {joined}, = unpack{index}(data, at); at += {form.size}\n"
            writes += f" out.append(pack{index}({joined}))\n"
            numbers, fields = "", []
        if kind is not None:
            names[f"read{index}"], names[f"write{index}"] = kind.read, kind.write
            reads += f" v{index}, at = read{index}(data, at)\n"
            writes += f" write{index}(v{index}, out)\n"
    return reads, writes


class Codec(Generic[R]):
    """How one record class is read and written."""

    def __init__(self, record: type[R]) -> None:
        self.record = record
        names: dict[str, Any] = {"new": tuple.__new__, "record_class": record}
        reads, writes = source_of(record, names)
        fields = ", ".join(f"v{index}" for index in range(len(record.__annotations__)))
        exec(f"def read(data, at):\n{reads} return new(record_class, ({fields},)), at", names)
        exec(f"def write(record, out):\n {fields}, = record\n{writes}", names)
        # Bytes to the record that starts at a byte and where it ends; and a record to parts of bytes.
        self.read: Callable[[bytes, int], tuple[R, int]] = names["read"]
        self.write: Callable[[R, list[bytes]], None] = names["write"]

    def decode(self, data: bytes, at: int = 0) -> R:
        """Return the record at byte `at` of `data`; what follows it is left alone, as Apache does.

        Raises
        ------
        PeerError
            If the bytes are no such record.
        """
        try:
            return self.read(data, at)[0]
        except error as short:
            raise self.too_short(data, at, short) from short

    def decode_from(self, data: bytes, at: int = 0) -> tuple[R, int]:
        """Return the record at byte `at` of `data`, and where it ends.

        Raises
        ------
        PeerError
            If the bytes are no such record.
        """
        try:
            return self.read(data, at)
        except error as short:
            raise self.too_short(data, at, short) from short

    def too_short(self, data: bytes, at: int, short: error) -> PeerError:
        return PeerError(f"{len(data)} bytes hold no {self.record.__name__} at byte {at}: {short}")

    def encode(self, record: R) -> bytes:
        out: list[bytes] = []
        self.write(record, out)
        return b"".join(out)


CODECS: dict[type, Codec[Any]] = {}


def codec(record: type[R]) -> Codec[R]:
    """Return the codec of `record`, made on first use."""
    known = CODECS.get(record)
    if known is None:
        known = CODECS[record] = Codec(record)
    return known


def encode(record: tuple[Any, ...]) -> bytes:
    """Return the bytes of any record."""
    return codec(type(record)).encode(record)
