"""The subject of a certificate: the text that Java 17's X500Principal.getName() was seen to give for the same bytes."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.errors import PeerError
from muskox.keeper.wire.certificate import subject_of

UTF8, PRINTABLE, IA5, BMP, BITS = 0x0C, 0x13, 0x16, 0x1E, 0x03
CN, SURNAME, SERIAL, COUNTRY, LOCALITY, STATE, STREET, ORG, UNIT = (bytes((0x55, 4, last)) for last in range(3, 12))
TITLE, GIVEN = b"\x55\x04\x0c", b"\x55\x04\x2a"
EMAIL = bytes.fromhex("2a864886f70d010901")
DC, UID = bytes.fromhex("0992268993f22c640119"), bytes.fromhex("0992268993f22c640101")

Attribute = tuple[bytes, int, str | bytes]


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    return bytes((tag, 0x82)) + size.to_bytes(2, "big") + content


def certificate(*relatives: list[Attribute], has_version: bool = True) -> bytes:
    """Return as much of a certificate as is looked at, with such a subject."""
    subject = b""
    for relative in relatives:
        attributes = b""
        for oid, tag, value in relative:
            content = value if isinstance(value, bytes) else value.encode()
            attributes += der(0x30, der(6, oid) + der(tag, content))
        subject += der(0x31, attributes)
    fields = [der(0xA0, der(2, b"\2"))] if has_version else []
    fields += [der(2, b"\1"), der(0x30, b""), der(0x30, b"issuer"), der(0x30, b""), der(0x30, subject), der(0x30, bytes(300))]
    return der(0x30, der(0x30, b"".join(fields)) + der(0x30, b""))


@pytest.mark.parametrize(
    ("relatives", "text"),
    [
        ([], ""),
        ([[(CN, UTF8, "bob")]], "CN=bob"),
        (
            [
                [(COUNTRY, PRINTABLE, "DE")],
                [(ORG, UTF8, "Big Org, Inc.")],
                [(UNIT, UTF8, "people"), (UID, UTF8, "77")],
                [(CN, UTF8, "bob")],
            ],
            "CN=bob,OU=people+UID=77,O=Big Org\\, Inc.,C=DE",
        ),
        (
            [[(CN, UTF8, "bob")], [(EMAIL, IA5, "bob@example.org")]],
            "1.2.840.113549.1.9.1=#160f626f62406578616d706c652e6f7267,CN=bob",
        ),
        (
            [[(DC, IA5, "org")], [(DC, IA5, "example")], [(CN, UTF8, 'we"ird<>;=#x\\y')]],
            'CN=we\\"ird\\<\\>\\;\\=\\#x\\\\y,DC=example,DC=org',
        ),
        ([[(CN, UTF8, " lead and trail ")]], "CN=\\ lead and trail\\ "),
        ([[(CN, UTF8, "#hash")]], "CN=\\#hash"),
        (
            [
                [(CN, UTF8, "Jörg 李")],
                [(SERIAL, PRINTABLE, "42")],
                [(TITLE, UTF8, "Dr")],
                [(STREET, UTF8, "Main")],
                [(STATE, UTF8, "BY")],
                [(LOCALITY, UTF8, "M")],
            ],
            "L=M,ST=BY,STREET=Main,2.5.4.12=#0c024472,2.5.4.5=#13023432,CN=Jörg 李",
        ),
        ([[(CN, UTF8, "a"), (SURNAME, UTF8, "b"), (GIVEN, UTF8, "c")]], "CN=a+2.5.4.4=#0c0162+2.5.4.42=#0c0163"),
        (
            [[(ORG, BMP, "Örg".encode("utf-16-be"))], [(CN, BMP, "bmp".encode("utf-16-be"))]],
            "CN=\\00b\\00m\\00p,O=\\00\ufffd\\00r\\00g",
        ),
        ([[(CN, BITS, b"\0\1")]], "CN=#03020001"),
    ],
)
def test_a_subject_reads_as_java_writes_it(relatives: list[list[Attribute]], text: str) -> None:
    assert subject_of(certificate(*relatives)) == text
    assert subject_of(certificate(*relatives, has_version=False)) == text


def test_a_certificate_cut_anywhere_is_none() -> None:
    whole = certificate([(CN, UTF8, "bob")])
    for end in range(len(whole)):
        with pytest.raises(PeerError):
            subject_of(whole[:end])


@given(st.binary(max_size=40), st.integers(0, 400))
def test_of_garbage_only_a_peer_error_comes(garbage: bytes, at: int) -> None:
    whole = certificate([(COUNTRY, PRINTABLE, "DE")], [(CN, UTF8, "bob"), (EMAIL, IA5, "b@c")])
    for data in (garbage, whole[:at] + garbage + whole[at + len(garbage) :]):
        with suppress(PeerError):
            assert isinstance(subject_of(data), str)
