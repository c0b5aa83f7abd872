"""The mirror: what has not changed is not read again, what has is seen; a lost connection makes all doubtful."""

import threading
from collections.abc import Callable
from typing import Any

from muskox.coordination import Mirror, Session, layout

BOUND_S = 20.0
Connect = Callable[..., Session]


class Counting:
    """A session that counts what is asked of it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        self.reads += name in ("find", "children")
        return getattr(self._session, name)


def make(session: Session) -> tuple[Mirror, Counting, threading.Event]:
    counting, woken = Counting(session), threading.Event()
    return Mirror(counting, woken.set), counting, woken  # type: ignore[arg-type]


def named(name: str) -> layout.FenceRecord:
    return layout.FenceRecord(coordinator=name)


def test_what_did_not_change_is_read_once(session: Session) -> None:
    mirror, counting, _ = make(session)
    session.create(layout.job("a"), named("ann"))
    for _ in range(5):
        assert mirror.find(layout.job("a"), layout.FenceRecord) == named("ann")
        assert mirror.find(layout.job("none"), layout.FenceRecord) is None
        assert mirror.children(layout.JOBS) == ["a"]
    assert counting.reads == 3


def test_a_change_by_another_wakes_and_is_seen(connect: Connect) -> None:
    mirror, counting, woken = make(connect())
    other = connect()
    other.create(layout.job("a"), named("ann"))
    assert mirror.children(layout.JOBS) == ["a"] and mirror.find(layout.job("a"), layout.FenceRecord) == named("ann")
    other.set(layout.job("a"), named("bob"))
    assert woken.wait(BOUND_S)
    assert mirror.find(layout.job("a"), layout.FenceRecord) == named("bob")
    woken.clear()
    other.create(layout.job("b"))
    assert woken.wait(BOUND_S)
    assert mirror.children(layout.JOBS) == ["a", "b"]
    woken.clear()
    reads = counting.reads
    other.delete(layout.job("a"))
    assert woken.wait(BOUND_S)
    while mirror.children(layout.JOBS) != ["b"] or mirror.find(layout.job("a"), layout.FenceRecord) is not None:
        assert woken.wait(BOUND_S)
    assert counting.reads > reads


def test_what_came_into_being_is_seen_though_it_was_not_there_before(connect: Connect) -> None:
    mirror, _, woken = make(connect())
    other = connect()
    assert mirror.find(layout.job("a"), layout.FenceRecord) is None
    other.create(layout.job("a"), named("ann"))
    assert woken.wait(BOUND_S)
    assert mirror.find(layout.job("a"), layout.FenceRecord) == named("ann")


def test_what_we_wrote_ourselves_is_read_again_at_once(session: Session) -> None:
    mirror, _, _ = make(session)
    session.create(layout.job("a"), named("ann"))
    assert mirror.find(layout.job("a"), layout.FenceRecord) == named("ann")
    assert mirror.children(layout.JOBS) == ["a"]
    session.set(layout.job("a"), named("bob"))
    session.create(layout.job("b"))
    mirror.doubt(layout.job("a"), layout.job("b"))
    assert mirror.find(layout.job("a"), layout.FenceRecord) == named("bob")
    assert mirror.children(layout.JOBS) == ["a", "b"]


def test_a_lost_connection_makes_everything_doubtful(session: Session) -> None:
    mirror, counting, woken = make(session)
    session.create(layout.job("a"), named("ann"))
    mirror.find(layout.job("a"), layout.FenceRecord)
    mirror.children(layout.JOBS)
    session.kazoo._connection._socket.shutdown(2)  # as if the network had cut it
    assert woken.wait(BOUND_S) and session.wait_connected(BOUND_S)
    reads = counting.reads
    assert mirror.find(layout.job("a"), layout.FenceRecord) == named("ann") and mirror.children(layout.JOBS) == ["a"]
    assert counting.reads == reads + 2


def test_what_is_forgotten_is_read_anew(session: Session) -> None:
    mirror, counting, _ = make(session)
    session.create(layout.job("a"), named("ann"))
    session.create(layout.job("ab"), named("bob"))
    for name in ("a", "ab"):
        mirror.find(layout.job(name), layout.FenceRecord)
    mirror.forget(layout.job("a"))
    for name in ("a", "ab"):
        mirror.find(layout.job(name), layout.FenceRecord)
    assert counting.reads == 3
