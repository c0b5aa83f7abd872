"""Proofs of identity, told to the keeper and to Apache ZooKeeper alike: every answer must be the same, byte for byte."""

import re
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from apache import REASON, Apache, is_installed
from raw import RawClient, Reply

from muskox.keeper import Keeper
from muskox.keeper.wire.jute import LENGTH, codec, encode
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import (
    OPEN_ACL,
    Acl,
    AclReply,
    AuthPacket,
    CreateRequest,
    Id,
    PathOnly,
    PathVersion,
    SaslToken,
    SetAclRequest,
)

pytestmark = pytest.mark.skipif(not is_installed(), reason=REASON)

SUPER_DIGEST = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="  # of super:test, by Apache's own tool
NONCE = re.compile(rb'nonce="([^"]*)"')
STAT_BYTES = 68
CNONCE = "abcdef"
JAAS = r"""
Server { org.apache.zookeeper.server.auth.DigestLoginModule required
    user_bob="bobpw" user_alice="al\"i\\ce" user_root="r"; };
"""
Ports = tuple[int, int]


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    users = tmp_path_factory.mktemp("users") / "jaas.conf"
    users.write_text(JAAS, encoding="utf-8")
    users.chmod(0o600)
    properties = {
        "java.security.auth.login.config": str(users),
        "zookeeper.authProvider.1": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        "zookeeper.DigestAuthenticationProvider.superDigest": SUPER_DIGEST,
        "zookeeper.superUser": "root",
        "zookeeper.maxClientCnxns": "0",
    }
    own = {"users_file": users, "super_digest": SUPER_DIGEST, "sasl_super_users": "root", "max_client_connections": 0}
    with Apache(properties=properties, settings={"maxClientCnxns": 0}) as apache, Keeper(**own) as keeper:
        yield keeper.port, apache.port


def answer(challenge: bytes, user: str, password: str, **changes: str | None) -> bytes:
    """Return a client's response; a change of None leaves a directive out."""
    found = NONCE.search(challenge)
    assert found is not None
    nonce, uri = found[1].decode(), changes.pop("uri", None) or "zookeeper/zk-sasl-md5"
    first = md5(f"{user}:zk-sasl-md5:{password}".encode()).digest() + f":{nonce}:{CNONCE}".encode()
    last = md5(f"AUTHENTICATE:{uri}".encode()).hexdigest()
    response = md5(f"{md5(first).hexdigest()}:{nonce}:00000001:{CNONCE}:auth:{last}".encode()).hexdigest()
    said: dict[str, str | None] = {
        "charset": "utf-8",
        "username": f'"{user}"',
        "realm": '"zk-sasl-md5"',
        "nonce": f'"{nonce}"',
        "nc": "00000001",
        "cnonce": f'"{CNONCE}"',
        "digest-uri": f'"{uri}"',
        "response": response,
        "qop": "auth",
        **changes,
    }
    return ",".join(f"{key}={value}" for key, value in said.items() if value is not None).encode()


def plain(replies: list[Reply]) -> list[Reply]:
    """Return replies without what differs from one time to the next: nonces, and the proofs that follow from them."""
    return [
        reply._replace(body=re.sub(rb"rspauth=\w{32}", b"rspauth", NONCE.sub(b"nonce", reply.body)), zxid=min(reply.zxid, 0))
        for reply in replies
    ]


def heard(client: RawClient, kind: int, record: tuple[Any, ...] | bytes = b"") -> list[Reply]:
    """Return what is said to a request; nothing stands for the end of the connection."""
    try:
        return plain(client.ask(kind, record))
    except ConnectionError:
        return []


def login(port: int, user: str, password: str, **changes: str | None) -> list[list[Reply]]:
    """Go both steps and return what was said, then who one is."""
    with RawClient(port) as client:
        client.connect()
        challenge = client.ask(OpCode.SASL, SaslToken(b""))
        response = answer(challenge[0].body, user, password, **changes)
        return [plain(challenge), heard(client, OpCode.SASL, SaslToken(response)), heard(client, OpCode.WHO_AM_I)]


LOGINS: list[tuple[str, str, dict[str, str | None]]] = [
    ("bob", "bobpw", {}),
    ("root", "r", {}),
    ("bob", "wrong", {}),
    ("mallory", "nothing", {}),
    ("bob", "bobpw", {"qop": None}),
    ("bob", "bobpw", {"qop": '"auth"'}),
    ("bob", "bobpw", {"qop": "auth-int"}),
    ("bob", "bobpw", {"qop": "auth,qop=auth"}),
    ("bob", "bobpw", {"charset": None}),
    ("bob", "bobpw", {"charset": "latin-1"}),
    ("bob", "bobpw", {"realm": '""'}),
    ("bob", "bobpw", {"realm": None}),
    ("bob", "bobpw", {"nonce": '"another"'}),
    ("bob", "bobpw", {"nc": None}),
    ("bob", "bobpw", {"nc": "1"}),
    ("bob", "bobpw", {"nc": "00000002"}),
    ("bob", "bobpw", {"nc": "x"}),
    ("bob", "bobpw", {"maxbuf": "65536"}),
    ("bob", "bobpw", {"maxbuf": "-1"}),
    ("bob", "bobpw", {"authzid": '"root"'}),
    ("bob", "bobpw", {"unheard-of": "x"}),
    ("bob", "bobpw", {"cnonce": None}),
    ("bob", "bobpw", {"username": "bob"}),
    ("bob", "bobpw", {"username": '"b\\ob"'}),
    ("bob", "bobpw", {"response": "0"}),
    ("bob", "bobpw", {"response": None}),
    ("bob", "bobpw", {"uri": "ZooKeeper/ZK-sasl-md5"}),
    ("bob", "bobpw", {"uri": "zookeeper/elsewhere"}),
    ("alice", 'al"i\\ce', {}),
]


@pytest.mark.parametrize("case", LOGINS, ids=lambda case: f"{case[0]} {case[2]}")
def test_a_login_ends_the_same_way(ports: Ports, case: tuple[str, str, dict[str, str | None]]) -> None:
    user, password, changes = case
    ours, theirs = (login(port, user, password, **dict(changes)) for port in ports)
    assert ours == theirs


@pytest.mark.parametrize(
    "bodies",
    [
        [b""],
        [b"\0"],
        [LENGTH.pack(-1)],
        [LENGTH.pack(9)],
        [encode(SaslToken(b"x"))],
        [encode(SaslToken(b"")) + b"more"],
        [encode(SaslToken(b"")), encode(SaslToken(b""))],
        [encode(SaslToken(b"")), encode(SaslToken(b"garbage"))],
        [encode(SaslToken(b"")), encode(SaslToken(b"a=b,c")), encode(SaslToken(b""))],
        [encode(SaslToken(b"")), encode(SaslToken(b"=" * 5000))],
    ],
)
def test_steps_out_of_order_and_malformed_ones_are_answered_alike(ports: Ports, bodies: list[bytes]) -> None:
    def tell(port: int) -> list[list[Reply]]:
        with RawClient(port) as client:
            client.connect()
            return [heard(client, OpCode.SASL, body) for body in bodies] + [heard(client, OpCode.PING)]

    ours, theirs = map(tell, ports)
    assert ours == theirs


@pytest.mark.parametrize(
    "proofs",
    [
        [("digest", b"super:test")],
        [("digest", b"super:wrong"), ("digest", b"super:test")],
        *([("digest", b"u%d:p" % index) for index in range(count)] for count in (11, 12, 13, 23, 24, 30, 47, 60)),
        [("digest", "ü:x".encode()), ("digest", b""), ("digest", b":"), ("digest", b"a:b:c"), ("ip", b""), ("ip", None)],
        [("digest", None)],
        [("sasl", b"bob:bobpw")],
        [("world", b"anyone")],
        [("auth", b"")],
        [(None, b"")],
    ],
    ids=lambda proofs: f"{len(proofs)} {proofs[0]}",
)
def test_auth_packets_make_the_same_identities_in_the_same_order(ports: Ports, proofs: list[tuple[str | None, bytes]]) -> None:
    def tell(port: int) -> list[list[Reply]]:
        with RawClient(port) as client:
            client.connect()
            said = [heard(client, OpCode.AUTH, AuthPacket(0, scheme, proof)) for scheme, proof in proofs]
            path = f"/auth{len(proofs)}"
            said.append(heard(client, OpCode.CREATE, CreateRequest(path, b"", (Acl(31, Id("auth", "")),), 0)))
            read = heard(client, OpCode.GET_ACL, PathOnly(path))
            said.append([reply._replace(body=reply.body[:-STAT_BYTES]) for reply in read])
            heard(client, OpCode.DELETE, PathVersion(path, -1))
            return [*said, heard(client, OpCode.WHO_AM_I)]

    ours, theirs = map(tell, ports)
    assert ours == theirs


ACLS: list[tuple[tuple[str | None, str | None], ...] | None] = [
    None,
    (),
    *(((scheme, None),) for scheme in ("world", "digest", "ip", "auth", "sasl", "x509", "bogus", None)),
    *((("world", text),) for text in ("anyone", "x", "")),
    *((("digest", text),) for text in ("a:b", ":b", "a:b:", "a:", "a", "", "a:b:c")),
    *((("ip", text),) for text in ("1.2.3.4", "1.2.3.4/0", "+1.2.3.4/32", "1.2.3.4/33", "1.2.3.4/", "::1", "1.2.3.-0")),
    *((("sasl", text),) for text in ("x", "", "a/b@c", "a/b/c", "@", "a@b@c", "a/b/c@d", "/", "/@")),
    *((("x509", text),) for text in ("CN=x", "", "x")),
    (("auth", "x"),),
    (("super", ""),),
    (("world", "anyone"), ("auth", "")),
    (("world", "anyone"), ("world", "anyone"), ("digest", "a:b")),
    (("world", "anyone"), ("bogus", "x")),
]


def test_acls_are_taken_and_refused_alike(ports: Ports) -> None:
    def tell(port: int) -> list[tuple[object, ...]]:
        said: list[tuple[object, ...]] = []
        with RawClient(port) as client:
            client.connect()
            client.ask(OpCode.AUTH, AuthPacket(0, "digest", b"super:test"))
            for index, case in enumerate(ACLS):
                acl = None if case is None else tuple(Acl(31, Id(*each)) for each in case)
                made = client.ask(OpCode.CREATE, CreateRequest(f"/acl{index}", b"", acl, 0))[-1]
                path = "/acl" if made.err else f"/acl{index}"
                if index == 0:
                    assert client.ask(OpCode.CREATE, CreateRequest("/acl", b"", OPEN_ACL, 0))[-1].err == 0
                changed = client.ask(OpCode.SET_ACL, SetAclRequest(path, acl, -1))[-1]
                read = client.ask(OpCode.GET_ACL, PathOnly(path))[-1]
                said.append((case, made.err, changed.err, codec(AclReply).decode(read.body).acl))
        return said

    ours, theirs = map(tell, ports)
    assert ours == theirs


def test_sasl_super_users_and_others_are_let_in_alike(ports: Ports, tmp_path: Path) -> None:
    acls = [Id("sasl", "bob"), Id("sasl", "x"), Id("digest", "a:b"), Id("ip", "127.0.0.1"), Id("ip", "127.0.0.2/31")]

    def tell(port: int) -> list[int]:
        codes: list[int] = []
        for user, password in (("bob", "bobpw"), ("root", "r")):
            with RawClient(port) as client:
                client.connect()
                for index, identity in enumerate(acls):
                    client.ask(OpCode.CREATE, CreateRequest(f"/in{index}", b"", (Acl(31, identity),), 0))
                challenge = client.ask(OpCode.SASL, SaslToken(b""))[-1].body
                client.ask(OpCode.SASL, SaslToken(answer(challenge, user, password)))
                codes += [client.get(f"/in{index}").err for index in range(len(acls))]
        return codes

    ours, theirs = map(tell, ports)
    assert ours == theirs
    assert 0 in ours
    assert -102 in ours
