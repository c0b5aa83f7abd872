"""ACLs: who is let in."""

import pytest

from muskox.keeper.machine.acl import Refusal, check_acl, digest_identity, fix_acl, is_in_network, is_valid_id, mask_digests
from muskox.keeper.wire.opcodes import ErrorCode, Permission
from muskox.keeper.wire.records import OPEN_ACL, Acl, Id

USER = digest_identity(b"u:p")
HOME = Id("ip", "127.0.0.1")


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


@pytest.mark.parametrize("text", ["", "u", "u:", "a:b:c"])
def test_a_digest_without_two_parts_is_no_id(text: str) -> None:
    assert not is_valid_id(Id("digest", text))


def test_auth_stands_for_the_users_that_are_proved() -> None:
    fixed = fix_acl("/a", (Acl(7, Id("auth", "")), *OPEN_ACL), (HOME, USER))
    assert fixed == (Acl(7, USER), *OPEN_ACL)
    refused = fix_acl("/a", (Acl(7, Id("auth", "")),), (HOME,))
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


def test_who_may_not_administer_sees_no_digest() -> None:
    assert mask_digests((Acl(1, USER), *OPEN_ACL)) == (Acl(1, Id("digest", "u:x")), *OPEN_ACL)
