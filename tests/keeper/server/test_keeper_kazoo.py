"""The keeper through kazoo, as everybody else will use it."""

from threading import Event, Thread
from typing import Any

import pytest
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    BadVersionError,
    InvalidACLError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.recipe.lock import Lock
from kazoo.security import make_acl, make_digest_acl

from muskox.keeper import Keeper

SECONDS_MAX = 20.0


@pytest.fixture
def client(shared_keeper: Keeper) -> Any:
    with_root = KazooClient(shared_keeper.hosts)
    with_root.start(SECONDS_MAX)
    path = with_root.create("/test-", sequence=True)
    client = KazooClient(shared_keeper.hosts + path)
    client.start(SECONDS_MAX)
    yield client
    for each in (client, with_root):
        each.stop()
        each.close()


def other(client: Any, keeper: Keeper) -> Any:
    second = KazooClient(keeper.hosts + client.chroot)
    second.start(SECONDS_MAX)
    return second


def test_nodes_are_made_read_changed_and_deleted(client: Any) -> None:
    assert client.create("/a", b"1") == "/a"
    assert client.create("/a/b", b"2", include_data=True)[1].dataLength == 1
    assert client.get("/a")[0] == b"1"
    assert client.set("/a", b"22").version == 1
    assert client.exists("/a").numChildren == 1
    assert client.get_children("/a") == ["b"]
    assert client.get_children("/a", include_data=True)[1].cversion == 1
    assert client.sync("/a") == "/a"
    client.delete("/a", recursive=True)
    assert client.exists("/a") is None


def test_refusals_have_the_errors_that_clients_expect(client: Any) -> None:
    client.create("/a/b", makepath=True)
    client.create("/e", ephemeral=True)
    for error, call in [
        (NodeExistsError, lambda: client.create("/a")),
        (NoNodeError, lambda: client.create("/x/y")),
        (NoNodeError, lambda: client.get("/x")),
        (NotEmptyError, lambda: client.delete("/a")),
        (BadVersionError, lambda: client.set("/a", b"", version=7)),
        (NoChildrenForEphemeralsError, lambda: client.create("/e/child")),
        (InvalidACLError, lambda: client.create("/acl", acl=[make_acl("odd", "x", all=True)])),
    ]:
        with pytest.raises(error):
            call()


def test_sequences_never_repeat(client: Any) -> None:
    first = client.create("/s-", sequence=True)
    client.delete(first)
    assert client.create("/s-", sequence=True) > first


def test_an_ephemeral_node_goes_with_its_session(client: Any, shared_keeper: Keeper) -> None:
    second = other(client, shared_keeper)
    second.create("/e", ephemeral=True)
    gone = Event()
    assert client.exists("/e", watch=lambda _: gone.set()) is not None
    second.stop()
    second.close()
    assert gone.wait(SECONDS_MAX)
    assert client.exists("/e") is None


def test_a_transaction_is_all_or_nothing(client: Any) -> None:
    transaction = client.transaction()
    transaction.create("/a", b"1")
    transaction.create("/a/b")
    transaction.check("/a", 0)
    transaction.set_data("/a", b"2")
    assert transaction.commit()[:2] == ["/a", "/a/b"]
    transaction = client.transaction()
    transaction.create("/never")
    transaction.check("/a", 5)
    transaction.delete("/a/b")
    assert [type(result) for result in transaction.commit()] == [RolledBackError, BadVersionError, RuntimeInconsistency]
    assert client.exists("/never") is None


def test_acls_keep_strangers_out(client: Any, shared_keeper: Keeper) -> None:
    client.add_auth("digest", "u:p")
    client.create("/locked", b"x", acl=[make_digest_acl("u", "p", all=True)])
    second = other(client, shared_keeper)
    for call in (lambda: second.get("/locked"), lambda: second.set("/locked", b""), lambda: second.get_acls("/locked")):
        with pytest.raises(NoAuthError):
            call()
    second.add_auth("digest", "u:p")
    assert second.get("/locked")[0] == b"x"
    assert second.get_acls("/locked")[0][0].id.id.startswith("u:")
    second.stop()
    second.close()


def test_watches_survive_a_kill_of_the_server(own_keeper: Keeper) -> None:
    client = KazooClient(own_keeper.hosts, timeout=10)
    client.start(SECONDS_MAX)
    session = client.client_id
    client.create("/a")
    client.create("/mine", ephemeral=True)
    seen: list[bytes] = []
    changed = Event()

    @client.DataWatch("/a")
    def on_data(data: bytes, _: Any) -> None:
        seen.append(data)
        if data == b"1":
            changed.set()

    states: list[str] = []
    back = Event()

    def on_state(state: str) -> None:
        states.append(state)
        if state == KazooState.CONNECTED:
            back.set()

    client.add_listener(on_state)
    own_keeper.kill()
    own_keeper.start()
    assert back.wait(SECONDS_MAX)
    assert client.client_id == session
    assert KazooState.LOST not in states
    assert client.exists("/mine").ephemeralOwner == session[0]
    client.set("/a", b"1")
    assert changed.wait(SECONDS_MAX)
    assert set(seen) == {b"", b"1"}
    client.stop()
    client.close()


def test_a_lock_passes_from_a_dead_session_to_the_next(client: Any, shared_keeper: Keeper) -> None:
    second = other(client, shared_keeper)
    lock = Lock(second, "/lock")
    assert lock.acquire(timeout=SECONDS_MAX)
    taken = Event()
    waiter = Thread(target=lambda: Lock(client, "/lock").acquire(timeout=SECONDS_MAX) and taken.set())
    waiter.start()
    second.stop()
    second.close()
    assert taken.wait(SECONDS_MAX)
    waiter.join()


def test_a_thousand_watches_all_fire(client: Any, shared_keeper: Keeper) -> None:
    client.create("/w")
    count = 1_000
    left = [count]
    done = Event()

    def on_event(_: Any) -> None:
        left[0] -= 1
        if not left[0]:
            done.set()

    for _ in range(count):
        client.get_async("/w", watch=lambda event, on=on_event: on(event))
    client.sync("/")
    client.set("/w", b"1")
    assert done.wait(SECONDS_MAX)


def test_the_server_says_which_zookeeper_it_is(client: Any) -> None:
    assert client.server_version() == (3, 8, 0)
    assert client.command(b"ruok") == "imok"
    assert "Mode: standalone" in client.command(b"srvr")
    assert "zk_znode_count" in client.command(b"mntr")
    assert client.command(b"isro") == "rw"
