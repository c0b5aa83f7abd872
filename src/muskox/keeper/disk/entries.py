"""Log entries as they lie in a file: checksum, length, transaction, end mark; and how a damaged file is judged.

A torn tail, whose loss nobody was promised anything about, must be told from damage in what was acknowledged. Three things
say that a place was on disk, so that whatever is wrong there has changed since:

- Entries of ours carry, after all that Apache reads, the byte up to which the file was on disk when they were written.
- After a sync that nothing follows, a mark is left behind the last entry, after zeros that are the end for Apache.
- A file of ours in use ends in a zero; one that was closed in good order, all of it on disk, ends with its last entry.

What none of them can say: the last sync before a power cut, if its mark was lost or written over by a torn write. There a
flipped bit looks like a tear, and is cut off.
"""

from collections.abc import Iterator
from enum import Enum
from errno import EFBIG
from mmap import mmap
from struct import Struct, error
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
ENTRY_BYTES_MAX = (1 << 31) - 1 - SYNCED_UP_TO.size  # what a Java int can tell
MARK_GAP = bytes(ENTRY_HEAD.size)  # an entry of length zero ends a log for Apache
MARK = Struct(">8sq")
MARK_CHECKSUM_BYTES = 4
MARK_NAME = b"\x89SYNCED\n"
SYNC_MARK_BYTES = len(MARK_GAP) + MARK.size + MARK_CHECKSUM_BYTES
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
    """Return log entries as file bytes; `synced_up_to` is the byte up to which the file is on disk.

    Raises
    ------
    OSError
        If an entry is longer than can be read again.
    """
    trailer = SYNCED_UP_TO.pack(synced_up_to)
    pack, size = ENTRY_HEAD.pack, len(trailer)
    parts = [trailer + END_MARK] * (3 * len(entries))  # slices: a loop that adds three parts takes a fifth longer
    parts[1::3] = entries
    try:
        parts[0::3] = [pack(adler32(trailer, adler32(entry)), len(entry) + size) for entry in entries]
    except error as too_long:
        longest = max(map(len, entries))
        raise OSError(EFBIG, f"a transaction of {longest} bytes; a log's may have {ENTRY_BYTES_MAX}") from too_long
    return b"".join(parts)


def sync_mark(end: int) -> bytes:
    """Return what stands behind the last entry, which ends at byte `end`, once it is on disk."""
    body = MARK.pack(MARK_NAME, end)
    return MARK_GAP + body + adler32(body).to_bytes(MARK_CHECKSUM_BYTES)


def marked_up_to(data: Bytes, at: int) -> int:
    """Return the byte up to which a mark behind byte `at` says that the file was on disk, 0 if there is none."""
    place = data.rfind(MARK_NAME)
    while place >= at:
        end = place - len(MARK_GAP)
        if data[end : end + SYNC_MARK_BYTES] == sync_mark(end):
            return end
        place = data.rfind(MARK_NAME, 0, place)
    return 0


def body_at(data: Bytes, at: int) -> tuple[bytes, int] | None:
    """Return the whole entry at byte `at` and where it ends, or None if there is none."""
    if at + ENTRY_HEAD.size > len(data):
        return None
    checksum, size = ENTRY_HEAD.unpack_from(data, at)
    start = at + ENTRY_HEAD.size
    end = start + size
    if size <= 0 or data[end : end + 1] != END_MARK:
        return None
    body = data[start:end]
    return (body, end + 1) if adler32(body) == checksum else None


class Scan:
    """The entries of one log file, in order; `end` and `verdict` tell, after the last, what stands behind it."""

    def __init__(self, name: str, data: Bytes) -> None:
        self.name = name
        self.data = data
        self.end = 0
        self.zxid: int | None = None  # of the last entry before `end`
        self.body = b""  # of the entry at `end`, while it is looked at
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
        is_ours = False
        while found := body_at(self.data, self.end):
            self.body = found[0]
            entry = self.decode(self.body)
            yield entry
            is_ours = len(entry.rest) == SYNCED_UP_TO.size
            self.zxid = entry.header.zxid
            self.end = found[1]
        if any_but_zeros(self.data, self.end + SYNC_MARK_BYTES if self.is_marked() else self.end):
            check_torn(self, is_ours)
        else:
            self.verdict = Verdict.END

    def is_marked(self) -> bool:
        return self.data[self.end : self.end + SYNC_MARK_BYTES] == sync_mark(self.end)

    def decode(self, body: bytes) -> Entry:
        try:
            return decode_entry(body)
        except PeerError as error:
            raise Corrupt(f"{self.name} holds, at byte {self.end}, what no transaction is: {error}") from error


def any_but_zeros(data: Bytes, at: int) -> bool:
    return any(data[start : start + SCAN_STEP].strip(b"\0") for start in range(at, len(data), SCAN_STEP))


def check_torn(scan: Scan, is_ours: bool) -> None:
    """Raise Corrupt if the unreadable bytes at the end of `scan` were on disk; return if they are an unfinished write."""
    data, at = scan.data, scan.end
    later = find_later(data, at + 1, scan.zxid)
    if later is not None and told_synced(later[1], at):
        reason = f"zxid {later[1].header.zxid:#x} at byte {later[0]} is whole again"
    elif (end := marked_up_to(data, at)) > at:
        reason = f"all up to byte {end} was on disk, as a mark there says"
    elif ends_as_ours(data) or (is_ours and fits(data, at)):
        reason = "the file was closed in good order"
    else:
        return
    after = "its start" if scan.zxid is None else f"zxid {scan.zxid:#x}"
    raise Corrupt(
        f"{scan.name} is damaged at byte {at}, after {after}: {reason}, so what lies there was acknowledged; "
        "restore the file from a copy, or see what `muskox keeper check` says"
    )


def told_synced(entry: Entry, at: int) -> bool:
    """Return whether an entry says that byte `at` before it was on disk; Apache's say nothing, and are taken to."""
    return len(entry.rest) != SYNCED_UP_TO.size or bool(SYNCED_UP_TO.unpack(entry.rest)[0] > at)


def ends_as_ours(data: Bytes) -> bool:
    """Return whether the last bytes are the end of an entry of ours."""
    (synced_up_to,) = SYNCED_UP_TO.unpack(data[-1 - SYNCED_UP_TO.size : -1])
    return data[-1:] == END_MARK and FILE_HEAD_BYTES <= synced_up_to < len(data)


def fits(data: Bytes, at: int) -> bool:
    """Return whether the file ends just where the entry at byte `at` says that it ends."""
    return at + OVERHEAD_BYTES < len(data) and bool(len(data) == at + OVERHEAD_BYTES + ENTRY_HEAD.unpack_from(data, at)[1])


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
