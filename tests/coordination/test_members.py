"""Membership: a name belongs to a folder, and is free again when its session ends."""

import threading
from collections.abc import Callable

import msgspec
import pytest

from muskox.coordination import Session, found_cluster, layout, live_members, read_cluster, register
from muskox.errors import CallerError

BOUND_S = 20.0
Connect = Callable[..., Session]


def record(name: str = "ann", folder: str = "folder-1", address: str = "h:1") -> layout.MemberRecord:
    return layout.MemberRecord(name=name, folder_id=folder, incarnation="i", address=address, pid=1, cores=2, fingerprint="x")


def test_a_member_is_seen_until_its_session_ends(session: Session, connect: Connect) -> None:
    node, changed = connect(), threading.Event()
    assert live_members(session, lambda _: changed.set()) == {}
    register(node, record())
    assert changed.wait(BOUND_S)
    changed.clear()
    assert live_members(session, lambda _: changed.set()) == {"ann": record()}
    node.close()
    assert changed.wait(BOUND_S)
    assert live_members(session) == {}


def test_registering_again_changes_nothing(session: Session) -> None:
    register(session, record())
    first = session.kazoo.exists(layout.member("ann")).czxid
    register(session, record())
    assert session.kazoo.exists(layout.member("ann")).czxid == first


def test_a_name_that_a_live_node_of_another_folder_has_is_refused(session: Session, connect: Connect) -> None:
    register(connect(), record())
    with pytest.raises(CallerError, match="a node called 'ann' is a member already, at h:1: choose another name"):
        register(session, record(folder="folder-2"))
    assert live_members(session) == {"ann": record()}


def test_what_a_node_says_anew_is_written_over_what_it_said(session: Session) -> None:
    register(session, record())
    register(session, record(address="h:3"))
    assert live_members(session) == {"ann": record(address="h:3")}
    assert session.version(layout.member("ann")) == 1, "it was never away"


def test_what_a_former_process_of_the_same_folder_left_is_replaced(session: Session, connect: Connect) -> None:
    before = connect()
    register(before, record())
    register(session, record(address="h:2"))
    assert session.owner(layout.member("ann")) == session.id
    before.close()
    assert live_members(session) == {"ann": record(address="h:2")}


def test_the_same_record_of_another_session_is_made_our_own(session: Session, connect: Connect) -> None:
    register(connect(), record())
    register(session, record())
    assert session.owner(layout.member("ann")) == session.id


def test_a_cluster_is_founded_once(session: Session, connect: Connect) -> None:
    with pytest.raises(CallerError, match=r"there is no muskox cluster at zk://.*: start a node there"):
        read_cluster(session)
    ids = {found_cluster(one).id for one in (session, connect(), session)}
    assert ids == {read_cluster(session).id}


def test_a_cluster_of_another_layout_is_refused(session: Session) -> None:
    found_cluster(session)
    session.set(layout.CLUSTER, msgspec.structs.replace(read_cluster(session), format=99))
    with pytest.raises(CallerError, match="has layout 99; this muskox knows 3"):
        found_cluster(session)
