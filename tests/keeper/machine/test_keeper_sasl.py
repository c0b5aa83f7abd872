"""SASL DIGEST-MD5: RFC 2831's own example, and what Java's server takes and refuses."""

from hashlib import md5

import pytest

from muskox.keeper.machine.sasl import REALM, URI, Known, challenge, nonce_of, proof, read_directives, secret_of, verify

NONCE = nonce_of(b"key", 1)
PASSWORDS = {"bob": "bobpw", "alice": 'al"i\\ce', "märz": "straße", "李": "密码"}


def test_the_example_of_rfc_2831() -> None:
    nonce, cnonce = b"OA6MG9tEQGm2hh", b"OA6MHXh6VqTrRk"
    secret = secret_of(Known("chris", "elwood.innosoft.com", "secret"), nonce, cnonce, None)
    uri = b"imap/elwood.innosoft.com"
    assert proof(secret, nonce, cnonce, b"AUTHENTICATE:" + uri) == b"d388dad90d4bbd760a152321f2143af7"
    assert proof(secret, nonce, cnonce, b":" + uri) == b"ea40f60335c427b5527b84dbabcdfffd"


def answer(user: str, password: str, uri: str = URI, encoding: str = "latin-1", **changes: str | None) -> bytes:
    """Return a client's response, computed apart from the code under test; a change of None leaves a directive out."""
    cnonce = "abcdef"
    first = md5(b":".join(each.encode(encoding) for each in (user, REALM, password))).digest()
    first += b":" + NONCE + b":" + cnonce.encode()
    last = md5(f"AUTHENTICATE:{uri}".encode()).hexdigest()
    response = md5(f"{md5(first).hexdigest()}:{NONCE.decode()}:00000001:{cnonce}:auth:{last}".encode()).hexdigest()
    quoted = user.replace("\\", "\\\\").replace('"', '\\"')
    said: dict[str, str | None] = {
        "charset": "utf-8",
        "username": f'"{quoted}"',
        "realm": f'"{REALM}"',
        "nonce": f'"{NONCE.decode()}"',
        "nc": "00000001",
        "cnonce": f'"{cnonce}"',
        "digest-uri": f'"{uri}"',
        "maxbuf": "65536",
        "response": response,
        "qop": "auth",
    }
    said |= {key.replace("_", "-"): value for key, value in changes.items()}
    return ",".join(f"{key}={value}" for key, value in said.items() if value is not None).encode()


@pytest.mark.parametrize(
    "response",
    [
        answer("bob", "bobpw"),
        answer("alice", 'al"i\\ce'),
        answer("märz", "straße"),
        answer("李", "密码", encoding="utf-8"),
        answer("bob", "bobpw", qop=None),
        answer("bob", "bobpw", qop='"auth"'),
        answer("bob", "bobpw", charset=None),
        answer("bob", "bobpw", nc=None, maxbuf=None),
        answer("bob", "bobpw", nc="00000002", maxbuf="-1"),
        answer("bob", "bobpw", uri="ZooKeeper/ZK-sasl-md5"),
        answer("bob", "bobpw", unheard_of="x"),
        answer("bob", "bobpw").replace(b",", b" ,\t"),
    ],
)
def test_a_right_response_proves_its_user_and_is_proved_in_turn(response: bytes) -> None:
    proved = verify(response, NONCE, PASSWORDS)
    assert proved is not None
    assert proved[0] in PASSWORDS
    assert len(proved[1]) == len("rspauth=") + 32


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"garbage",
        b"a=",
        b"=b",
        b",,,",
        b'username="bob',
        answer("bob", "bobpx"),
        answer("mallory", ""),
        answer("mallory", "bobpw"),
        answer("bob", "bobpw", realm='""'),
        answer("bob", "bobpw", realm=None),
        answer("bob", "bobpw", nonce='"another"'),
        answer("bob", "bobpw", qop="auth-int"),
        answer("bob", "bobpw", qop="auth,qop=auth"),
        answer("bob", "bobpw", maxbuf="many"),
        answer("bob", "bobpw", authzid='"super"'),
        answer("bob", "bobpw", uri="zookeeper/elsewhere"),
        answer("bob", "bobpw", cnonce=None),
        answer("bob", "bobpw", response='""'),
        answer("bob", "bobpw", response="ü"),
        answer("bob", "bobpw", unheard_of="x" * 4096),
    ],
)
def test_any_other_response_proves_nobody(response: bytes) -> None:
    assert verify(response, NONCE, PASSWORDS) is None


def test_a_response_to_another_challenge_proves_nobody() -> None:
    assert verify(answer("bob", "bobpw"), nonce_of(b"key", 2), PASSWORDS) is None


def test_challenges_differ_by_number_and_key() -> None:
    nonces = {nonce_of(key, number) for key in (b"", b"key") for number in range(100)}
    assert len(nonces) == 200
    assert challenge(NONCE) == b'realm="zk-sasl-md5",nonce="' + NONCE + b'",charset=utf-8,algorithm=md5-sess'
    assert len(NONCE) == 40


def test_directives_are_read_in_any_dress() -> None:
    assert read_directives(b' A=b , c="d,\\"e\\\\" ,, f=g ') == {b"a": b"b", b"c": b'd,"e\\', b"f": b"g"}
    assert read_directives(b"a=b,a=c") is None
    assert read_directives(b"a=b c=d") is None
