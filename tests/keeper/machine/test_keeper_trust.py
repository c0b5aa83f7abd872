"""Proofs of identity, told to the whole machine: what is answered, who is kept, and what a proof opens."""

import pytest
from raw import OPEN, Reply, request
from test_keeper_sasl import answer
from world import SETTINGS, World

from muskox.keeper.machine.events import FramesArrived
from muskox.keeper.machine.identities import IDENTITIES_MAX
from muskox.keeper.machine.settings import Settings
from muskox.keeper.wire.jute import LENGTH, codec
from muskox.keeper.wire.opcodes import ErrorCode, OpCode
from muskox.keeper.wire.records import Acl, AclReply, AuthPacket, CreateRequest, Id, PathOnly, SaslToken

USERS = SETTINGS._replace(users=(("bob", "bobpw"), ("super", "pw")), nonce_key=b"key")
SUPER = SETTINGS._replace(super_digest="super:D/InIHSb7yEEbrWz8b9l71RjZJU=")  # of super:test, by Apache's own tool


def prove(world: World, scheme: str | None, proof: bytes | None, number: int = 1) -> Reply:
    return world.ask(number, OpCode.AUTH, AuthPacket(0, scheme, proof))[-1]


def token(reply: Reply) -> bytes | None:
    return codec(SaslToken).decode(reply.body).token


def sasl(world: World, user: str, password: str, number: int = 1) -> Reply:
    """Go both steps; the first challenge of a world is that of test_keeper_sasl."""
    assert token(world.ask(number, OpCode.SASL, SaslToken(b""))[-1])
    return world.ask(number, OpCode.SASL, SaslToken(answer(user, password)))[-1]


def opened(settings: Settings = SETTINGS) -> World:
    world = World(settings=settings)
    world.open(1)
    return world


def create(world: World, path: str, identity: Id, number: int = 1) -> int:
    return world.ask(number, OpCode.CREATE, CreateRequest(path, b"", (Acl(31, identity),), 0))[-1].err


def test_sasl_proves_a_user_who_may_then_what_acls_say() -> None:
    world = opened(USERS)
    assert create(world, "/a", Id("sasl", "bob")) == 0
    assert world.get(1, "/a").err == ErrorCode.NO_AUTH
    proved = sasl(world, "bob", "bobpw")
    assert (proved.err, proved.zxid) == (0, 0)
    assert (token(proved) or b"").startswith(b"rspauth=")
    assert world.get(1, "/a").err == 0
    assert create(world, "/b", Id("auth", "")) == 0
    acl = codec(AclReply).decode(world.ask(1, OpCode.GET_ACL, PathOnly("/b"))[-1].body).acl
    assert acl == (Acl(31, Id("sasl", "bob")),)


def test_a_wrong_password_is_told_and_ends_the_connection_but_no_session() -> None:
    world = opened(USERS)
    refused = sasl(world, "bob", "wrong")
    assert (refused.err, refused.zxid, refused.body) == (ErrorCode.AUTH_FAILED, 0, LENGTH.pack(-1))
    assert world.closed == [1]
    assert not world.machine.connections.by_number
    assert world.machine.reception.sessions.is_alive(world.sessions[1].session_id)


def test_whoever_fails_may_be_kept_and_cannot_try_again() -> None:
    world = opened(USERS._replace(sasl_failures_allowed=True))
    assert sasl(world, "bob", "wrong").err == 0
    assert token(world.ask(1, OpCode.SASL, SaslToken(answer("bob", "bobpw")))[-1]) is None
    assert world.closed == []
    assert all(each.scheme == "ip" for each in world.machine.connections.by_number[1].identities)


def test_a_third_step_of_sasl_is_a_failure() -> None:
    world = opened(USERS)
    assert sasl(world, "bob", "bobpw").err == 0
    assert world.ask(1, OpCode.SASL, SaslToken(b""))[-1].err == ErrorCode.AUTH_FAILED


def test_each_connection_has_its_own_challenge_and_it_goes_with_it() -> None:
    world = opened(USERS)
    world.open(2)
    first, second = (token(world.ask(number, OpCode.SASL, SaslToken(b""))[-1]) for number in (1, 2))
    assert first != second
    assert world.ask(2, OpCode.SASL, SaslToken(answer("bob", "bobpw")))[-1].err == ErrorCode.AUTH_FAILED
    world.lose(1)
    world.lose(2)
    assert not world.machine.trust.nonces


def test_without_users_sasl_is_answered_with_nothing() -> None:
    world = opened()
    reply = world.ask(1, OpCode.SASL, SaslToken(b"x"))[-1]
    assert (reply.err, token(reply)) == (0, None)
    assert create(world, "/a", Id("sasl", "bob")) == ErrorCode.INVALID_ACL


@pytest.mark.parametrize("body", [b"", b"\0", LENGTH.pack(-1), LENGTH.pack(9)])
def test_a_malformed_step_of_sasl_ends_the_connection_without_a_word(body: bytes) -> None:
    world = opened(USERS)
    assert world.ask(1, OpCode.SASL, body) == []
    assert world.closed == [1]


def test_the_super_digest_opens_all() -> None:
    world = opened(SUPER)
    assert create(world, "/a", Id("digest", "somebody:else")) == 0
    assert world.get(1, "/a").err == ErrorCode.NO_AUTH
    assert prove(world, "digest", b"super:wrong").err == 0
    assert world.get(1, "/a").err == ErrorCode.NO_AUTH
    assert prove(world, "digest", b"super:test").err == 0
    assert world.get(1, "/a").err == 0
    acl = codec(AclReply).decode(world.ask(1, OpCode.GET_ACL, PathOnly("/a"))[-1].body).acl
    assert acl == (Acl(31, Id("digest", "somebody:else")),)  # not masked


def test_a_super_user_of_sasl_is_one_by_setting_and_by_name_only_where_acls_name_sasl() -> None:
    for super_users, err in ((("super",), 0), ((), ErrorCode.NO_AUTH)):
        world = opened(USERS._replace(sasl_super_users=super_users))
        assert create(world, "/digest", Id("digest", "a:b")) == create(world, "/sasl", Id("sasl", "bob")) == 0
        assert sasl(world, "super", "pw").err == 0
        assert world.get(1, "/digest").err == err
        assert world.get(1, "/sasl").err == 0


def test_a_client_certificate_proves_its_subject() -> None:
    world = World(settings=SETTINGS._replace(x509=True, x509_super_user="CN=root"))
    subject = Id("x509", "CN=bob")
    world.open(1, identities=(subject,))
    world.open(2)
    world.open(3, identities=(Id("x509", "CN=root"),))
    assert create(world, "/a", subject) == 0
    assert [world.get(number, "/a").err for number in (1, 2, 3)] == [0, ErrorCode.NO_AUTH, 0]
    assert [prove(world, "x509", b"", number).err for number in (1, 2, 3)] == [0, ErrorCode.AUTH_FAILED, 0]


@pytest.mark.parametrize(
    ("scheme", "proof", "code"),
    [
        ("ip", b"", 0),
        ("ip", None, 0),
        ("digest", b"", 0),
        ("digest", None, ErrorCode.AUTH_FAILED),
        ("sasl", b"bob:bobpw", ErrorCode.AUTH_FAILED),
        ("x509", b"", ErrorCode.AUTH_FAILED),
        ("world", b"anyone", ErrorCode.AUTH_FAILED),
        ("super", b"", ErrorCode.AUTH_FAILED),
        (None, b"", ErrorCode.AUTH_FAILED),
    ],
)
def test_other_proofs_are_judged_as_apache_was_seen_to(scheme: str | None, proof: bytes | None, code: int) -> None:
    world = opened(USERS)
    reply = prove(world, scheme, proof)
    assert (reply.err, reply.zxid, reply.body) == (code, 0, b"")
    assert world.closed == ([1] if code else [])


def test_who_proves_too_much_is_cut_off() -> None:
    world = opened()
    codes = [prove(world, "digest", b"u%d:p" % index).err for index in range(IDENTITIES_MAX)]
    assert codes == [0] * (IDENTITIES_MAX - 1) + [ErrorCode.AUTH_FAILED]
    assert world.closed == [1]


REQUIRED = USERS._replace(schemes_required=("sasl",))


@pytest.mark.parametrize("kind", [OpCode.PING, OpCode.GET_DATA, OpCode.CREATE, OpCode.CLOSE_SESSION, 999])
def test_where_sasl_is_required_nothing_else_is_answered_before(kind: int) -> None:
    world = opened(REQUIRED)
    zxid = world.machine.pipeline.zxid
    reply = world.ask(1, kind, b"")[-1]
    assert (reply.err, reply.zxid, reply.body) == (ErrorCode.SESSION_CLOSED_REQUIRE_SASL_AUTH, 0, b"")
    assert world.closed == [1]
    assert world.machine.pipeline.zxid == zxid


def test_where_sasl_is_required_a_failure_has_its_own_code_and_a_proof_opens_the_rest() -> None:
    world = opened(REQUIRED)
    assert sasl(world, "bob", "wrong").err == ErrorCode.SESSION_CLOSED_REQUIRE_SASL_AUTH
    world = opened(REQUIRED)
    assert prove(world, "digest", b"a:b").err == 0
    assert sasl(world, "bob", "bobpw").err == 0
    assert world.create(1, "/a") == 0


def test_where_sasl_is_required_what_is_pipelined_behind_the_proof_is_answered() -> None:
    world = opened(REQUIRED)
    world.ask(1, OpCode.SASL, SaslToken(b""))
    create_it = request(8, OpCode.CREATE, CreateRequest("/a", b"", OPEN, 0))[4:]
    proof = request(7, OpCode.SASL, SaslToken(answer("bob", "bobpw")))[4:]
    world.tell(FramesArrived(1, [proof, create_it]))
    assert [(reply.xid, reply.err) for reply in world.take(1)] == [(7, 0), (8, 0)]
    world.open(2)
    world.tell(FramesArrived(2, [create_it, create_it]))
    assert [reply.err for reply in world.take(2)] == [ErrorCode.SESSION_CLOSED_REQUIRE_SASL_AUTH]
    world.open(3)
    world.tell(FramesArrived(3, [b"short"]))
    assert world.take(3) == []
    assert world.closed == [2, 3]


def test_what_is_required_may_be_proved_by_a_certificate() -> None:
    world = World(settings=SETTINGS._replace(x509=True, schemes_required=("x509",)))
    world.open(1, identities=(Id("x509", "CN=bob"),))
    assert world.create(1, "/a") == 0
