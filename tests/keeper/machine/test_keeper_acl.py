"""ACLs: who is let in."""

import pytest

from muskox.keeper.machine.acl import (
    ACL_ENTRIES_MAX,
    ALWAYS_KNOWN,
    SCHEMES,
    Refusal,
    check_acl,
    digest_identity,
    fix_acl,
    is_in_network,
    mask_digests,
)
from muskox.keeper.wire.opcodes import ErrorCode, Permission
from muskox.keeper.wire.records import OPEN_ACL, Acl, Id

USER = digest_identity(b"u:p")
HOME = Id("ip", "127.0.0.1")
SASL = Id("sasl", "bob")
SUBJECT = Id("x509", "CN=bob")
SUPER_ID = Id("super", "")


def test_a_digest_identity_is_user_and_sha1_of_both() -> None:
    assert Id("digest", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=") == USER


@pytest.mark.parametrize(
    ("address", "network", "is_in"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2/31", False),
        ("127.0.0.3", "127.0.0.2/31", True),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("1.2.3.4", "9.9.9.9/0", True),
        ("::1", "127.0.0.1", False),
        ("127.0.0.1", "nonsense", False),
    ],
)
def test_an_address_matches_its_network(address: str, network: str, is_in: bool) -> None:
    assert is_in_network(address, network) is is_in


ALL = frozenset(SCHEMES)


def verdict(scheme: str | None, text: str | None, known: frozenset[str] = ALL) -> int:
    """Return the code with which an ACL of this one id is refused, 0 if it is not."""
    fixed = fix_acl("/a", (Acl(31, Id(scheme, text)),), (), known)
    return fixed.code if isinstance(fixed, Refusal) else 0


# What Apache 3.8.0 said to each of these, with its providers for SASL and x509.
@pytest.mark.parametrize(
    ("scheme", "texts", "code"),
    [
        ("world", ["anyone"], 0),
        ("world", ["x", ""], ErrorCode.INVALID_ACL),
        ("digest", ["a:b", ":b", "a:b:"], 0),
        ("digest", ["", "u", "u:", "a:b:c"], ErrorCode.INVALID_ACL),
        ("ip", ["1.2.3.4", "1.2.3.4/0", "+1.2.3.4/32"], 0),
        ("ip", ["1.2.3.4/-1", "1.2.3.4/33", "1.2.3.4/", "::1", "1.2.3", "1.2.3.256"], ErrorCode.INVALID_ACL),
        ("sasl", ["x", "", "a/b@c", "a/b/c", "@"], 0),
        ("sasl", ["a@b@c", "a/b/c@d"], ErrorCode.INVALID_ACL),
        (
            "x509",
            [
                "CN=x",
                "",
                "CN=",
                "CN=\\41",
                "CN=a=b",
                "CN=a#b",
                " CN = a ",
                "OID.1.2.3=x",
                "T=x",
                "CN=a b,O=c\\,d,1.2.3=#0c01",
                'cn="a, b"+OU=x; C=de',
            ],
            0,
        ),
        ("x509", ["x", "CN", "=x", "CN=a,", "CN=a,b", "FOO=x", "CN=\\zz", "E=x", "CN=a,,O=b", "CN=a<b"], ErrorCode.INVALID_ACL),
        ("super", [""], ErrorCode.INVALID_ACL),
        ("bogus", ["q"], ErrorCode.INVALID_ACL),
        (None, ["x"], ErrorCode.INVALID_ACL),
    ],
)
def test_each_scheme_takes_the_ids_that_apache_takes(scheme: str | None, texts: list[str], code: int) -> None:
    assert {text: verdict(scheme, text) for text in texts} == dict.fromkeys(texts, code)


def test_no_id_takes_long_to_look_at() -> None:
    spaces = " " * 300_000
    for text in (f"CN={spaces}<", "CN=a," * 100_000 + "<", spaces, "1.1" * 100_000 + "<", "/@" * 150_000):
        for scheme in SCHEMES:
            verdict(scheme, text)  # a pattern that tries twice would take hours


def test_a_null_id_is_a_malformed_one_where_its_scheme_is_known() -> None:
    for scheme in ("world", *SCHEMES):
        assert verdict(scheme, None) == ErrorCode.MARSHALLING
    assert verdict("auth", None) == ErrorCode.INVALID_ACL
    assert verdict("bogus", None) == ErrorCode.INVALID_ACL


def test_what_is_not_set_up_is_no_scheme() -> None:
    assert verdict("sasl", "x", ALWAYS_KNOWN) == verdict("x509", "CN=x", ALWAYS_KNOWN) == ErrorCode.INVALID_ACL
    assert verdict("digest", "a:b", ALWAYS_KNOWN) == verdict("ip", "1.2.3.4", ALWAYS_KNOWN) == 0


def test_an_acl_that_grows_too_long_by_auth_is_refused() -> None:
    many = tuple(Id("digest", f"{index}:{'x' * 1000}") for index in range(64))
    acl = tuple(Acl(1 + perms, Id("auth", "")) for perms in range(31))
    refused = fix_acl("/a", acl, many, ALL)
    assert isinstance(refused, Refusal)
    assert "longer than" in refused.reason


def test_an_acl_of_too_many_entries_is_refused() -> None:
    """Each request for its znode would cost a look at all of them."""
    acl = tuple(Acl(1, Id("ip", f"9.9.{index >> 8}.{index & 255}")) for index in range(ACL_ENTRIES_MAX + 1))
    assert fix_acl("/a", acl[1:], (), ALL) == acl[1:]
    refused = fix_acl("/a", acl, (), ALL)
    assert isinstance(refused, Refusal)
    assert (refused.code, "entries" in refused.reason) == (ErrorCode.INVALID_ACL, True)


def test_auth_stands_for_the_users_that_are_proved() -> None:
    fixed = fix_acl("/a", (Acl(7, Id("auth", "")), *OPEN_ACL), (HOME, USER, SUPER_ID, SASL, SUBJECT), ALL)
    assert fixed == (Acl(7, USER), Acl(7, SASL), Acl(7, SUBJECT), *OPEN_ACL)
    fixed = fix_acl("/a", (Acl(7, Id("auth", "")),), (USER, SASL), ALWAYS_KNOWN)
    assert fixed == (Acl(7, USER),)
    refused = fix_acl("/a", (Acl(7, Id("auth", "")),), (HOME, SUPER_ID), ALL)
    assert isinstance(refused, Refusal)
    assert refused.code is ErrorCode.INVALID_ACL
    assert "/a" in refused.reason


def test_only_the_granted_permission_is_given() -> None:
    acl = (Acl(Permission.READ, USER),)
    assert check_acl("/a", acl, Permission.READ, (HOME, USER)) is None
    refused = check_acl("/a", acl, Permission.WRITE, (HOME, USER))
    assert refused == (ErrorCode.NO_AUTH, "/a gives no WRITE permission to this connection")
    assert check_acl("/a", acl, Permission.READ, (HOME,)) is not None
    assert check_acl("/a", acl, Permission.WRITE, (Id("super", ""),)) is None


@pytest.mark.parametrize(
    ("proved", "granted", "is_let_in"),
    [
        (SASL, SASL, True),
        (SASL, Id("sasl", "alice"), False),
        (Id("sasl", "super"), SASL, True),
        (SASL, Id("x509", "bob"), False),
        (SUBJECT, SUBJECT, True),
        (SUBJECT, Id("x509", "CN=bob,O=x"), False),
        (SUPER_ID, SASL, True),
        (Id("digest", "super"), SASL, False),
        (Id("sasl", "super"), SUBJECT, False),
        (HOME, Id("ip", "127.0.0.0/8"), True),
        (HOME, Id("sasl", "127.0.0.1"), False),
        (HOME, Id("world", "anyone"), True),
        (HOME, Id("world", "x"), False),
    ],
)
def test_an_identity_is_let_in_by_its_own_scheme(proved: Id, granted: Id, is_let_in: bool) -> None:
    assert (check_acl("/a", (Acl(1, granted),), 1, (HOME, proved)) is None) is is_let_in


def test_who_may_not_administer_sees_no_digest() -> None:
    assert mask_digests((Acl(1, USER), *OPEN_ACL)) == (Acl(1, Id("digest", "u:x")), *OPEN_ACL)
