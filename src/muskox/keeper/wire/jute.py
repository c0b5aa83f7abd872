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


class Fixed(NamedTuple):
    """A type of known size, by its letter in the ``struct`` module."""

    letter: str


class Varying(NamedTuple):
    """A type whose size stands in front of it."""

    read: Read
    write: Write


def read_text(data: bytes, at: int) -> tuple[str, int]:
    text, at = read_text_or_null(data, at)
    if text is None:
        raise PeerError(f"null where text is needed, before byte {at}")
    return text, at


def read_text_or_null(data: bytes, at: int) -> tuple[str | None, int]:
    raw, at = read_buffer(data, at)
    # Java replaces what is not UTF-8 and lets the rules for paths refuse it; so do we.
    return (None if raw is None else raw.decode("utf-8", "replace")), at


def read_buffer(data: bytes, at: int) -> tuple[bytes | None, int]:
    (size,) = LENGTH.unpack_from(data, at)
    at += 4
    if size == -1:
        return None, at
    end = at + size
    if size < 0 or end > len(data):
        raise PeerError(f"{size} bytes are announced at byte {at - 4} of {len(data)}")
    return bytes(data[at:end]), end


def write_text(value: str | None, out: list[bytes]) -> None:
    # Text that came with a lone surrogate cannot exist here: read_text replaced it.
    write_buffer(None if value is None else value.encode(), out)


def write_buffer(value: bytes | None, out: list[bytes]) -> None:
    if value is None:
        out.append(NULL)
    else:
        out.append(LENGTH.pack(len(value)))
        out.append(value)


def vector(item: Any) -> Varying:
    """Return the type of a vector of `item`, an annotation or a record class; values are tuples, or None for null."""
    kind: Varying = kind_of(item)
    read_item, write_item = kind.read, kind.write

    def read(data: bytes, at: int) -> tuple[tuple[Value, ...] | None, int]:
        (count,) = LENGTH.unpack_from(data, at)
        at += 4
        if count == -1:
            return None, at
        # Every item takes at least four bytes, so a lying count is refused before anything is built.
        if count < 0 or count * 4 > len(data) - at:
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


class Codec(Generic[R]):
    """How one record class is read and written."""

    def __init__(self, record: type[R]) -> None:
        self.record = record
        self.make: Callable[[list[Value]], R] = record._make  # type: ignore[attr-defined]  # every NamedTuple has it
        self.steps: list[tuple[Struct | None, Read | None, Write | None, int]] = []
        letters = ""
        for annotation in record.__annotations__.values():
            kind = kind_of(annotation)
            if isinstance(kind, Fixed):
                letters += kind.letter
                continue
            self.add_numbers(letters)
            letters = ""
            self.steps.append((None, kind.read, kind.write, 1))
        self.add_numbers(letters)

    def add_numbers(self, letters: str) -> None:
        if letters:
            self.steps.append((Struct(">" + letters), None, None, len(letters)))

    def read(self, data: bytes, at: int) -> tuple[R, int]:
        """Return the record that starts at byte `at`, and where it ends."""
        values: list[Value] = []
        for numbers, read, _, _ in self.steps:
            if numbers is not None:
                values.extend(numbers.unpack_from(data, at))
                at += numbers.size
            elif read is not None:
                value, at = read(data, at)
                values.append(value)
        return self.make(values), at

    def write(self, record: R, out: list[bytes]) -> None:
        at = 0
        for numbers, _, write, count in self.steps:
            if numbers is not None:
                out.append(numbers.pack(*record[at : at + count]))
            elif write is not None:
                write(record[at], out)
            at += count

    def decode(self, data: bytes, at: int = 0) -> R:
        """Return the record at byte `at` of `data`; what follows it is left alone, as Apache does.

        Raises
        ------
        PeerError
            If the bytes are no such record.
        """
        return self.decode_from(data, at)[0]

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
            raise PeerError(f"{len(data)} bytes hold no {self.record.__name__} at byte {at}: {short}") from short

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
