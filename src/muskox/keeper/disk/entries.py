"""Log entries as they lie in a file: checksum, length, transaction, end mark; and how a damaged file is judged.

Entries of ours carry, after all that Apache reads, the byte up to which the file was on disk when they were written. It tells
a torn tail, whose loss nobody was promised anything about, from damage in what was acknowledged: if a later entry says that
the damaged place was on disk, then something has changed it since.
"""

from collections.abc import Iterator
from enum import Enum
from mmap import mmap
from struct import Struct
from zlib import adler32

from muskox.errors import Corrupt, PeerError
from muskox.keeper.wire.transactions import Entry, decode_entry

MAGIC = b"ZKLG"
FILE_HEAD = Struct(">4siq")
FILE_VERSION = 2
FILE_HEAD_BYTES = FILE_HEAD.size
ENTRY_HEAD = Struct(">qi")
END_MARK = b"B"
OVERHEAD_BYTES = ENTRY_HEAD.size + len(END_MARK)
SYNCED_UP_TO = Struct(">q")
ENTRY_BYTES_MAX = 16 << 20  # no transaction is longer: a multi is one frame, and adds little to it
SCAN_STEP = 1 << 20
FOUR_ZEROS = bytes(4)

Bytes = bytes | mmap


class Verdict(Enum):
    """What stands at the end of what can be read."""

    END = "end"  # nothing more, or the zeros of preallocation
    TORN = "torn"  # the last write did not reach the disk whole


def file_head() -> bytes:
    return FILE_HEAD.pack(MAGIC, FILE_VERSION, 0)


def frame_entries(entries: list[bytes], synced_up_to: int) -> bytes:
    """Return log entries as file bytes; `synced_up_to` is the byte up to which the file is on disk."""
    parts: list[bytes] = []
    trailer = SYNCED_UP_TO.pack(synced_up_to)
    end = trailer + END_MARK
    pack = ENTRY_HEAD.pack
    for entry in entries:
        parts += (pack(adler32(trailer, adler32(entry)), len(entry) + len(trailer)), entry, end)
    return b"".join(parts)


def body_at(data: Bytes, at: int) -> tuple[bytes, int] | None:
    """Return the whole entry at byte `at` and where it ends, or None if there is none."""
    if at + ENTRY_HEAD.size > len(data):
        return None
    checksum, size = ENTRY_HEAD.unpack_from(data, at)
    start = at + ENTRY_HEAD.size
    end = start + size
    if not 0 < size <= ENTRY_BYTES_MAX or data[end : end + 1] != END_MARK:
        return None
    body = data[start:end]
    return (body, end + 1) if adler32(body) == checksum else None


class Scan:
    """The entries of one log file, in order; `end` and `verdict` tell, after the last, what stands behind it."""

    def __init__(self, name: str, data: Bytes) -> None:
        self.name = name
        self.data = data
        self.end = 0
        self.verdict = Verdict.TORN

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries.

        Raises
        ------
        Corrupt
            If it is no log, or if acknowledged transactions in it are damaged.
        """
        if not any_but_zeros(self.data, 0) or len(self.data) < FILE_HEAD_BYTES:
            return  # the server died while it created the file
        magic, version, _ = FILE_HEAD.unpack_from(self.data)
        if magic != MAGIC or version != FILE_VERSION:
            raise Corrupt(f"{self.name} is no transaction log: it starts with {magic!r}, version {version}")
        self.end = FILE_HEAD_BYTES
        zxid: int | None = None
        while found := body_at(self.data, self.end):
            entry = self.decode(found[0])
            zxid = entry.header.zxid
            yield entry
            self.end = found[1]
        if any_but_zeros(self.data, self.end):
            check_torn(self.name, self.data, self.end, zxid)
        else:
            self.verdict = Verdict.END

    def decode(self, body: bytes) -> Entry:
        try:
            return decode_entry(body)
        except PeerError as error:
            raise Corrupt(f"{self.name} holds, at byte {self.end}, what no transaction is: {error}") from error


def any_but_zeros(data: Bytes, at: int) -> bool:
    return any(data[start : start + SCAN_STEP].strip(b"\0") for start in range(at, len(data), SCAN_STEP))


def check_torn(name: str, data: Bytes, at: int, zxid: int | None) -> None:
    """Raise Corrupt if the unreadable bytes at `at` were acknowledged; return if they are the tail of an unfinished write."""
    later = find_later(data, at + 1, zxid)
    if later is None:
        return
    place, entry = later
    if len(entry.rest) == SYNCED_UP_TO.size and SYNCED_UP_TO.unpack(entry.rest)[0] <= at:
        return
    after = "its start" if zxid is None else f"zxid {zxid:#x}"
    raise Corrupt(
        f"{name} is damaged at byte {at}, after {after}: zxid {entry.header.zxid:#x} at byte {place} is whole again, "
        "so what lies between was acknowledged; restore the file from a copy"
    )


def find_later(data: Bytes, at: int, zxid: int | None) -> tuple[int, Entry] | None:
    """Return the last whole entry after byte `at` with a higher zxid than `zxid`, and its place."""
    found: tuple[int, Entry] | None = None
    mark = data.find(FOUR_ZEROS, at)  # the checksum is 32 bits in a long, so every entry starts with four zeros
    while mark != -1:
        here = body_at(data, mark)
        entry = decoded(here[0]) if here else None
        if here and entry and (zxid is None or entry.header.zxid > zxid):
            found = (mark, entry)
            mark = data.find(FOUR_ZEROS, here[1])
        else:
            if not data[mark : mark + SCAN_STEP].strip(b"\0"):
                mark += SCAN_STEP - len(FOUR_ZEROS)  # the zeros of preallocation
            mark = data.find(FOUR_ZEROS, mark + 1)
    return found


def decoded(body: bytes) -> Entry | None:
    try:
        return decode_entry(body)
    except PeerError:
        return None
