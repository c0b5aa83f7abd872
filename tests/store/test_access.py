"""Who may read a dataset without the secret: a list that outlives versions and not the dataset."""

import base64
import hashlib

import pyarrow as pa
import pytest
from kazoo.security import make_digest_acl_credential
from store_cluster import StoreCluster

from muskox.coordination import Operation, Session, layout, stored
from muskox.errors import CallerError, Unavailable
from muskox.store import acl, grant, remove_dataset, revoke
from muskox.store.service import access as access_module
from muskox.store.service.access import READERS_MAX, digest_id, may_read, user_of

TABLE = pa.table({"i": range(10)})


@pytest.fixture
def shared(cluster: StoreCluster) -> StoreCluster:
    cluster.put("d", TABLE, shards=1, replicas=1)
    return cluster


@pytest.mark.parametrize(("user", "password"), [("ann", "secret"), ("ünïcode", "päss:wörd"), ("a", ":")])
def test_a_user_is_written_as_zookeeper_writes_it(user: str, password: str) -> None:
    by_hand = base64.b64encode(hashlib.sha1(f"{user}:{password}".encode()).digest()).decode()
    assert digest_id(user, password) == f"{user}:{by_hand}" == make_digest_acl_credential(user, password)
    assert user_of(digest_id(user, password)) == user


def test_a_list_grows_and_shrinks_and_a_new_password_replaces_the_old(shared: StoreCluster) -> None:
    session = shared.session
    assert acl(session, "d") == [] and not may_read(session, "d", digest_id("ann", "one"))
    revoke(session, "d", "ann")  # nobody to take off
    grant(session, "d", "bob", "two")
    grant(session, "d", "ann", "one")
    assert acl(session, "d") == [digest_id("ann", "one"), digest_id("bob", "two")]
    grant(session, "d", "ann", "three")
    assert not may_read(session, "d", digest_id("ann", "one")) and may_read(session, "d", digest_id("ann", "three"))
    revoke(session, "d", "ann")
    assert acl(session, "d") == [digest_id("bob", "two")]


def test_a_list_holds_for_versions_to_come_and_goes_with_the_dataset(shared: StoreCluster) -> None:
    session = shared.session
    grant(session, "d", "ann", "one")
    shared.put("d", TABLE, shards=1, replicas=1, overwrite=True)
    shared.put("d", TABLE, append=True)
    assert acl(session, "d") == [digest_id("ann", "one")]
    remove_dataset(session, "d")
    assert acl(session, "d") == []
    with pytest.raises(CallerError, match="no dataset 'd' to share"):
        grant(session, "d", "ann", "one")
    shared.put("d", TABLE, shards=1, replicas=1)  # other rows under the same name
    assert acl(session, "d") == [] and session.version(layout.acl("d")) is None


def test_a_grant_that_meets_a_removal_leaves_nothing_behind(shared: StoreCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dataset is removed, and put again, between the look and the write of a grant."""
    plain = Session.commit
    monkeypatch.setattr(Session, "commit", _first(lambda: remove_dataset(shared.session, "d"), plain, monkeypatch))
    with pytest.raises(CallerError, match="no dataset 'd' to share"):
        grant(shared.session, "d", "ann", "one")
    assert shared.session.version(layout.acl("d")) is None


def test_a_removal_that_meets_a_first_grant_takes_it_along(shared: StoreCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Session.commit
    monkeypatch.setattr(Session, "commit", _first(lambda: grant(shared.session, "d", "ann", "one"), plain, monkeypatch))
    remove_dataset(shared.session, "d")
    assert shared.session.version(layout.acl("d")) is None


def _first(act, plain, monkeypatch):  # type: ignore[no-untyped-def]
    """Return a commit before which `act` happens, once."""

    def commit(session: Session, operations: list[Operation], was_done: object) -> None:
        monkeypatch.setattr(Session, "commit", plain)
        act()
        plain(session, operations, was_done)  # type: ignore[arg-type]

    return commit


def test_two_who_share_at_once_both_count(shared: StoreCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Session.commit
    monkeypatch.setattr(Session, "commit", _first(lambda: grant(shared.session, "d", "bob", "two"), plain, monkeypatch))
    grant(shared.session, "d", "ann", "one")
    assert acl(shared.session, "d") == [digest_id("ann", "one"), digest_id("bob", "two")]


@pytest.mark.parametrize("user", ["", "a:b", "a\nb", "x" * 65])
def test_what_is_no_user_is_refused(shared: StoreCluster, user: str) -> None:
    with pytest.raises(CallerError, match="is not valid: 1 to 64 printable characters, none of them a colon"):
        grant(shared.session, "d", user, "password")
    with pytest.raises(CallerError, match="needs a password"):
        grant(shared.session, "d", "ann", "")


def test_names_and_numbers_are_bounded(shared: StoreCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for call in (lambda: grant(shared.session, "nope", "a", "b"), lambda: revoke(shared.session, "nope", "a")):
        with pytest.raises(CallerError, match="no dataset 'nope'"):
            call()
    with pytest.raises(CallerError, match=r"dataset name '\.\./x' is not valid"):
        acl(shared.session, "../x")
    full = stored.AclRecord(readers=[digest_id(f"user-{i:058}", "p") for i in range(READERS_MAX)])
    assert len(layout.encode(full)) < 100_000
    shared.session.create(layout.acl("d"), full)
    with pytest.raises(CallerError, match="500 users already"):
        grant(shared.session, "d", "one-more", "p")
    monkeypatch.setattr(access_module, "_change_once", _refuse)
    with pytest.raises(Unavailable, match="without a pause"):
        grant(shared.session, "d", "ann", "p")


def _refuse(*_: object) -> None:
    raise access_module.Refused("somebody was first")
