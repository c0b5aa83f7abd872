"""What is wanted comes again in the next session, what is let go does not stay, whatever is lost on the way."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kazoo.exceptions import ConnectionLoss, NodeExistsError, NoNodeError

from muskox.coordination import Session, layout, stored
from muskox.coordination.ephemerals import Ephemerals
from muskox.errors import Unavailable

BOUND_S = 20.0
PATH = layout.hold("d@1-a")
RECORD = stored.HoldRecord(dataset="d", version=1)

Connect = Callable[..., Session]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Answer:
    """What kazoo gives for a request under way."""

    def __init__(self) -> None:
        self.exception: Exception | None = None
        self._told: list[Callable[[Any], None]] = []

    def rawlink(self, told: Callable[[Any], None]) -> None:
        self._told.append(told)

    def end(self, exception: Exception | None) -> None:
        self.exception = exception
        for told in self._told:
            told(self)


class FakeClient:
    """A ZooKeeper that answers when the test says so: the requests under way, and the znodes that there are."""

    def __init__(self) -> None:
        self.znodes: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, bytes, Answer]] = []

    def create_async(self, path: str, data: bytes, *, ephemeral: bool) -> Answer:
        assert ephemeral
        return self._asked("create", path, data)

    def delete_async(self, path: str) -> Answer:
        return self._asked("delete", path, b"")

    def _asked(self, what: str, path: str, data: bytes) -> Answer:
        self.requests.append((what, path, data, Answer()))
        return self.requests[-1][3]

    def answer(self) -> None:
        """Perform what was asked for, in order."""
        while self.requests:
            what, path, data, answer = self.requests.pop(0)
            if what == "create":
                answer.end(NodeExistsError() if path in self.znodes else None)
                self.znodes.setdefault(path, data)
            else:
                answer.end(None if self.znodes.pop(path, None) is not None else NoNodeError())

    def lose(self) -> list[Callable[[], None]]:
        """Lose what is under way; return how to tell, later."""
        lost, self.requests = self.requests, []
        return [lambda answer=answer: answer.end(ConnectionLoss()) for _, _, _, answer in lost]  # type: ignore[misc]


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def ephemerals(client: FakeClient) -> Iterator[Ephemerals]:
    yield Ephemerals(client)


def test_what_is_wanted_comes_again_in_every_later_session(client: FakeClient, ephemerals: Ephemerals) -> None:
    ephemerals.want("/a", b"1")
    for _ in range(3):
        client.znodes.clear()
        ephemerals.on_state("LOST")
        ephemerals.on_state("CONNECTED")
        client.answer()
        assert client.znodes == {"/a": b"1"}
    ephemerals.on_state("SUSPENDED")
    ephemerals.on_state("CONNECTED")
    assert client.requests == [], "its session is the same"


def test_what_was_lost_on_the_way_is_asked_for_again_whenever_that_is_told(client: FakeClient, ephemerals: Ephemerals) -> None:
    for is_told_late in (False, True):
        ephemerals.want("/a", b"1")
        ephemerals.on_state("LOST")
        ephemerals.on_state("CONNECTED")
        tell = client.lose()
        if is_told_late:
            ephemerals.on_state("CONNECTED")
        for each in tell:
            each()
        if not is_told_late:
            ephemerals.on_state("CONNECTED")
        client.answer()
        assert client.znodes == {"/a": b"1"}
        ephemerals.let_go("/a")
        tell = client.lose()
        ephemerals.on_state("CONNECTED")
        for each in tell:
            each()
        client.answer()
        assert client.znodes == {}
        ephemerals.on_state("CONNECTED")
        assert client.requests == [], "nothing is left to do"


def test_an_answer_of_a_session_that_is_lost_by_then_does_not_count(client: FakeClient, ephemerals: Ephemerals) -> None:
    ephemerals.want("/a", b"1")
    ephemerals.on_state("LOST")
    ephemerals.on_state("CONNECTED")
    (late,) = client.requests
    client.requests = []
    ephemerals.on_state("LOST")
    late[3].end(None)
    ephemerals.on_state("CONNECTED")
    client.answer()
    assert client.znodes == {"/a": b"1"}


def test_what_is_let_go_while_it_is_made_again_does_not_stay(client: FakeClient, ephemerals: Ephemerals) -> None:
    """A garbage collection lets go anywhere: here the deletion was overtaken by the creation."""
    ephemerals.want("/a", b"1")
    ephemerals.on_state("LOST")
    ephemerals.on_state("CONNECTED")
    ephemerals.let_go("/a")
    client.requests.reverse()
    client.answer()
    assert client.znodes == {}


def test_an_ephemeral_outlives_its_session_until_it_is_let_go(url: str, connect: Connect) -> None:
    session, other = connect(), connect()
    session.keep_ephemeral(PATH, RECORD)
    assert other.owner(PATH) == session.id
    before = session.id
    with Session(url, session.secret) as thief:
        thief.kazoo._session_id, thief.kazoo._session_passwd = session.kazoo.client_id  # type: ignore[misc]
        thief.connect()
        assert thief.id == before
    until(lambda: other.owner(PATH) not in (None, before))
    assert other.owner(PATH) == session.id != before
    assert other.get(PATH, stored.HoldRecord, "hold")[0] == RECORD
    session.let_go(PATH)
    until(lambda: other.owner(PATH) is None)


def test_what_could_not_be_made_is_not_wanted(connect: Connect) -> None:
    session, other = connect(), connect()
    session.close()
    with pytest.raises(Unavailable):
        session.keep_ephemeral(PATH, RECORD)
    assert other.owner(PATH) is None
