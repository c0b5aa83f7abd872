"""Whom an X.509 certificate names: its subject, as Java's X500Principal writes it (RFC 2253), because ACLs hold such text.

It reads just as much of the certificate (DER, RFC 5280) as leads to the subject, and checks nothing: TLS has verified it.
"""

from collections.abc import Iterator

from muskox.errors import PeerError

KEYWORDS = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
ESCAPED = ',=+<>#;"\\'
SEQUENCE, VERSION = 0x30, 0xA0
# UTF8, Printable, T61, IA5, General, Universal and BMP; others are shown as bytes.
STRINGS = frozenset((0x0C, 0x13, 0x14, 0x16, 0x1B, 0x1C, 0x1E))
FIELDS_BEFORE_SUBJECT = 4  # serial number, algorithm, issuer, validity


def subject_of(certificate: bytes) -> str:
    """Return the subject of a certificate in DER, its last part first: "CN=bob,OU=people,O=example".

    Raises
    ------
    PeerError
        If the bytes are no certificate.
    """
    try:
        fields = list(parts_of(content_of(content_of(certificate))))
        _, subject, _ = fields[FIELDS_BEFORE_SUBJECT + (fields[0][0] == VERSION)]
        names = [
            "+".join(attribute_text(attribute) for _, attribute, _ in parts_of(relative))
            for _, relative, _ in parts_of(subject)
        ]
    except (IndexError, ValueError) as error:
        raise PeerError(f"{len(certificate)} bytes are no certificate: {error}") from error
    return ",".join(reversed(names))


def content_of(data: bytes) -> bytes:
    """Return the content of the sequence that `data` starts with."""
    if data[0] != SEQUENCE:
        raise ValueError(f"tag {data[0]:#x} where a sequence is needed")
    start, end = bounds_of(data, 0)
    return data[start:end]


def bounds_of(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the value at byte `at` starts and ends."""
    size, start = data[at + 1], at + 2
    if size & 0x80:
        length_bytes = size & 0x7F
        size, start = int.from_bytes(data[start : start + length_bytes], "big"), start + length_bytes
    if start + size > len(data):
        raise ValueError(f"{size} bytes are announced at byte {at} of {len(data)}")
    return start, start + size


def parts_of(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield tag and content of each value in `data`, and all of its bytes."""
    at = 0
    while at < len(data):
        start, end = bounds_of(data, at)
        yield data[at], data[start:end], data[at:end]
        at = end


def attribute_text(attribute: bytes) -> str:
    (_, oid_bytes, _), (tag, content, value) = list(parts_of(attribute))[:2]
    oid = oid_text(oid_bytes)
    if oid not in KEYWORDS or tag not in STRINGS:
        return f"{KEYWORDS.get(oid, oid)}=#{value.hex()}"
    # Java takes the bytes of any string for UTF-8, also those of 16 and 32 bits.
    return f"{KEYWORDS[oid]}={escaped(content.decode('utf-8', 'replace'))}"


def oid_text(data: bytes) -> str:
    numbers: list[int] = []
    number = 0
    for byte in data:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def escaped(text: str) -> str:
    """Return `text` with a backslash before what is special, and before white space at its ends."""
    marked = [f"\\{each}" if each in ESCAPED else "\\00" if each == "\0" else each for each in text]
    lead = len(text) - len(text.lstrip(" \r"))
    trail = len(text.rstrip(" \r"))
    return "".join(each if lead <= at < trail else f"\\{each}" for at, each in enumerate(marked))
