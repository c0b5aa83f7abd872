"""SASL DIGEST-MD5, the server's side (RFC 2831), as Java's does it for ZooKeeper: two steps, authentication alone.

It owns what a challenge and a right answer look like. Nothing here is remembered: whoever asks keeps the nonce, and says what
passwords there are. DIGEST-MD5 is weak by today's measure and is here because clients speak it; over TLS it does no harm.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import md5, sha256
from hmac import compare_digest, digest
from typing import NamedTuple

REALM = "zk-sasl-md5"  # Apache's name for every server of ZooKeeper: realm and host in one
URI = f"zookeeper/{REALM}"
NONCE_BYTES = 30
RESPONSE_BYTES_MAX = 4096  # RFC 2831's bound, and Java's
COUNT = b"00000001"  # each challenge is answered once; like Java, we do not look at what a client says of it
DIRECTIVE = re.compile(rb'[\s,]*([^\s,="]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?=,|$)', re.DOTALL)
ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
NEEDED = (b"username", b"realm", b"nonce", b"cnonce", b"digest-uri", b"response")


class Known(NamedTuple):
    """What both sides know."""

    user: str
    realm: str
    password: str


def nonce_of(key: bytes, number: int) -> bytes:
    """Return the nonce of challenge `number`: nobody without `key` can tell it beforehand."""
    return b64encode(digest(key, number.to_bytes(8, "big"), sha256)[:NONCE_BYTES])


def challenge(nonce: bytes) -> bytes:
    return b'realm="%b",nonce="%b",charset=utf-8,algorithm=md5-sess' % (REALM.encode(), nonce)


def verify(response: bytes, nonce: bytes, passwords: Mapping[str, str]) -> tuple[str, bytes] | None:
    """Return the user that `response` proves, and the server's own proof; None if it proves nothing.

    Parameters
    ----------
    response : what the client said to the challenge
    nonce : the challenge's
    passwords : of every user
    """
    said = read_directives(response)
    if said is None or any(name not in said for name in NEEDED):
        return None
    uri = said[b"digest-uri"]
    is_ours = (
        said[b"realm"] == REALM.encode()
        and said[b"nonce"] == nonce
        and uri.lower() == URI.encode()
        and said.get(b"qop", b"auth") == b"auth"
        and said.get(b"charset", b"utf-8") == b"utf-8"
        and re.fullmatch(rb"[+-]?[0-9]{1,10}", said.get(b"maxbuf", b"0")) is not None
    )
    if not is_ours:
        return None
    user = said[b"username"].decode("utf-8", "replace")
    known = Known(user, REALM, passwords.get(user, ""))
    secret = secret_of(known, nonce, said[b"cnonce"], said.get(b"authzid"))
    is_right = compare_digest(proof(secret, nonce, said[b"cnonce"], b"AUTHENTICATE:" + uri), said[b"response"])
    # A user who does not exist takes as long as a wrong password. Apache tries the password of the last user that it met.
    if not is_right or user not in passwords:
        return None
    return user, b"rspauth=" + proof(secret, nonce, said[b"cnonce"], b":" + uri)


def read_directives(response: bytes) -> dict[bytes, bytes] | None:
    """Return what a response says, by name; None if it is malformed or says a thing twice."""
    if len(response) > RESPONSE_BYTES_MAX:
        return None
    said: dict[bytes, bytes] = {}
    at = 0
    while match := DIRECTIVE.match(response, at):
        name, quoted, plain = match.groups()
        name = name.lower()
        if name in said:
            return None
        said[name] = plain if quoted is None else ESCAPED.sub(rb"\1", quoted)
        at = match.end()
    return None if response[at:].strip(b" \t\r\n,") else said


def secret_of(known: Known, nonce: bytes, cnonce: bytes, authzid: bytes | None) -> bytes:
    """Return H(A1) of RFC 2831, in hexadecimal."""
    named = hashed(b":".join(latin(text) for text in known))
    return hashed(b":".join((named, nonce, cnonce, *(() if authzid is None else (authzid,))))).hex().encode()


def proof(secret: bytes, nonce: bytes, cnonce: bytes, what: bytes) -> bytes:
    """Return the response value for `what`, which is A2 of RFC 2831."""
    last = hashed(what).hex().encode()
    return hashed(b":".join((secret, nonce, COUNT, cnonce, b"auth", last))).hex().encode()


def latin(text: str) -> bytes:
    """Return `text` as RFC 2831 hashes it: in ISO 8859-1 where that can say it, else in UTF-8."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def hashed(data: bytes) -> bytes:
    return md5(data, usedforsecurity=False).digest()
