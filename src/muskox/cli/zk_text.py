"""How the shell writes what ZooKeeper keeps: data that may be anything, Stats, ACLs. Nothing written can steer a terminal."""

import base64
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from kazoo.protocol.states import ZnodeStat
from kazoo.security import ACL, Id, Permissions

from muskox.cli.keeper import printable
from muskox.errors import CallerError

HEX_BYTES_MAX = 4_096  # of binary data are shown; `get --raw` gives all
HEX_ROW = 16
SHORT_BYTES = 60
LETTERS = (
    ("c", Permissions.CREATE),
    ("d", Permissions.DELETE),
    ("r", Permissions.READ),
    ("w", Permissions.WRITE),
    ("a", Permissions.ADMIN),
)


def as_text(data: bytes) -> str | None:
    """Return data as text if it is that: UTF-8 whose every letter can be shown."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(letter.isprintable() or letter in "\n\t" for letter in text) else None


def data_lines(data: bytes | None) -> Iterator[str]:
    """Yield data as lines: text as it is, anything else as a hex dump."""
    if data is None:
        yield "null"
        return
    text = as_text(data)
    if text is not None:
        yield from text.split("\n") if text else [""]
        return
    shown = data[:HEX_BYTES_MAX]
    for at in range(0, len(shown), HEX_ROW):
        row = shown[at : at + HEX_ROW]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{at:08x}  {row[:8].hex(' '):23}  {row[8:].hex(' '):23}  |{letters}|"
    if len(data) > len(shown):
        yield f"... and {len(data) - len(shown):,} bytes more: --raw gives all {len(data):,}"


def short_data(data: bytes | None) -> str:
    """Return data on one line."""
    if data is None:
        return "null"
    text = as_text(data)
    if text is None or "\n" in text:
        return repr(data[:SHORT_BYTES]) + ("..." if len(data) > SHORT_BYTES else "")
    return text[:SHORT_BYTES] + ("..." if len(text) > SHORT_BYTES else "")


def plain_data(data: bytes | None) -> dict[str, Any]:
    """Return data for JSON: text under "data", or what is no UTF-8 under "base64"."""
    if data is None:
        return {"data": None}
    try:
        return {"data": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def hexadecimal(number: int) -> str:
    return f"{number & 0xFFFFFFFFFFFFFFFF:#x}"


def when(time_ms: int) -> str:
    try:
        return datetime.fromtimestamp(time_ms / 1000).astimezone().isoformat(sep=" ", timespec="milliseconds")
    except (ValueError, OverflowError, OSError):  # whoever wrote the Stat need not have had a clock
        return f"{time_ms} ms"


def stat_facts(stat: ZnodeStat) -> list[tuple[str, str]]:
    """Return the fields of a Stat under ZooKeeper's names. Containers and times to live no server tells of."""
    return [
        ("version", str(stat.version)),
        ("cversion", str(stat.cversion)),
        ("aversion", str(stat.aversion)),
        ("dataLength", f"{stat.dataLength:,}"),
        ("numChildren", f"{stat.numChildren:,}"),
        ("ctime", when(stat.ctime)),
        ("mtime", when(stat.mtime)),
        ("czxid", hexadecimal(stat.czxid)),
        ("mzxid", hexadecimal(stat.mzxid)),
        ("pzxid", hexadecimal(stat.pzxid)),
        ("ephemeralOwner", hexadecimal(stat.ephemeralOwner)),
    ]


def plain_stat(stat: ZnodeStat) -> dict[str, Any]:
    """Return a Stat for JSON: zxids and the owner as ZooKeeper writes them, the rest as numbers."""
    fields = stat._asdict()
    shown = {name: hexadecimal(value) if name.endswith("zxid") else value for name, value in fields.items()}
    return {**shown, "ephemeralOwner": hexadecimal(stat.ephemeralOwner)}


def acl_text(entry: ACL) -> str:
    """Return an entry as ``scheme:id:cdrwa``."""
    return f"{entry.id.scheme}:{entry.id.id or ''}:{''.join(letter for letter, bit in LETTERS if entry.perms & bit)}"


def parse_acl(text: str) -> list[ACL]:
    """Return the entries in "scheme:id:cdrwa,...".

    Raises
    ------
    CallerError
        If it is not that.
    """
    return [parse_entry(part.strip()) for part in text.split(",")]


def parse_entry(text: str) -> ACL:
    scheme, _, rest = text.partition(":")
    id_, colon, letters = rest.rpartition(":")
    bits = dict(LETTERS)
    if not scheme or not colon or not letters or not set(letters) <= set(bits):
        raise CallerError(
            f"{text!r} is no ACL entry: write scheme:id:permissions with letters of cdrwa, as in world:anyone:r or auth::cdrwa"
        )
    return ACL(sum(bits[letter] for letter in set(letters)), Id(scheme, id_))


def joined(entries: Sequence[ACL]) -> str:
    return ",".join(printable(acl_text(entry)) for entry in entries)
