"""What a connection has proved: each once, in the order in which Apache 3.8.0 was seen to list it, not without end."""

import pytest

from muskox.keeper.machine.acl import digest_identity
from muskox.keeper.machine.connection import Connection
from muskox.keeper.machine.identities import HASHED_MAX, IDENTITIES_MAX, place_of, with_identity
from muskox.keeper.wire.records import Id

HOME = Id("ip", "127.0.0.1")


def users_in_order(names: list[str], password: str) -> list[str]:
    identities: tuple[Id, ...] = (HOME,)
    for name in names:
        more = with_identity(identities, digest_identity(f"{name}:{password}".encode()))
        assert more is not None
        identities = more
    return [(each.id or "").split(":")[0] for each in identities if each != HOME]


@pytest.mark.parametrize(
    ("count", "order"),
    [
        (5, "2 3 0 1 4"),
        (12, "3 5 7 11 9 2 8 0 1 6 4 10"),
        (24, "3 20 5 14 8 0 1 23 4 10 18 17 7 11 19 9 15 2 12 13 6 21 16 22"),
        (30, "3 20 5 28 14 8 26 0 1 23 25 29 4 10 27 18 17 7 11 19 9 15 2 12 13 6 21 24 16 22"),
    ],
)
def test_many_users_stand_in_the_order_of_apaches_hash_set(count: int, order: str) -> None:
    assert users_in_order([f"u{index}" for index in range(count)], "p") == [f"u{number}" for number in order.split()]


def test_who_stood_first_in_a_bin_is_turned_around_when_the_table_grows() -> None:
    identities: tuple[Id, ...] = (HOME,)
    for index in range(30):
        identities = with_identity(identities, digest_identity(f"u{index}:p".encode())) or ()
    names = [(each.id or "").split(":")[0] for each in identities]
    assert names[4:7] == ["u14", "127.0.0.1", "u8"]


def test_few_of_several_schemes_too() -> None:
    assert with_identity((HOME,), Id("sasl", "bob")) == (Id("sasl", "bob"), HOME)
    assert with_identity((HOME,), digest_identity(b"")) == (digest_identity(b""), HOME)


def test_an_identity_is_there_once_and_not_more_than_the_bound() -> None:
    connection = Connection(1, "127.0.0.1", (Id("x509", "CN=a"),))
    for index in range(IDENTITIES_MAX - 2):
        assert connection.prove(Id("digest", f"{index}:x"))
    assert connection.prove(Id("digest", "0:x"))
    assert len(set(connection.identities)) == len(connection.identities) == IDENTITIES_MAX
    assert not connection.prove(Id("digest", "one:more"))
    assert len(connection.identities) == IDENTITIES_MAX


def test_of_a_name_that_is_long_only_the_head_is_hashed() -> None:
    """Else each proof of a user with a name of a megabyte would hold up the server for seconds."""
    head = "u" * HASHED_MAX
    assert place_of(Id("digest", head + "a")) == place_of(Id("digest", head + "b"))
    assert place_of(Id("digest", head[1:] + "a")) != place_of(Id("digest", head[1:] + "b"))
