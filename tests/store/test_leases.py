"""Writers and a collection take turns: neither begins while the other is at work, and one that lost its turn stops."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from muskox.coordination import Session, layout, stored
from muskox.errors import Unavailable
from muskox.keeper import Keeper
from muskox.store.care.leases import collecting, writing

WAIT_SECONDS_MAX = 30.0


@pytest.fixture
def url(keeper: Keeper) -> str:
    return f"zk://{keeper.hosts}/leases-{uuid.uuid4().hex}"


@pytest.fixture
def session(url: str) -> Iterator[Session]:
    with Session(url, b"s" * 64).connect() as session:
        yield session


@pytest.fixture
def other(url: str, session: Session) -> Iterator[Session]:
    """A second session of the cluster that the first one made."""
    assert session.is_connected
    with Session(url, b"s" * 64).connect() as second:
        yield second


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_writer_has_a_lease_while_it_writes(session: Session) -> None:
    with writing(session, "flights") as lease:
        assert session.children(layout.UPLOADS) == [lease]
        assert session.get(layout.upload(lease), stored.UploadRecord, "lease")[0].dataset == "flights"
    assert session.children(layout.UPLOADS) == []


def test_a_collection_does_not_begin_while_somebody_writes(session: Session, other: Session) -> None:
    with writing(other, ""):
        with collecting(session) as turn:
            assert not turn.is_free
        assert session.version(layout.COLLECTING) is None
    with collecting(session) as turn:
        assert turn.is_free
        turn.check()


def test_a_writer_waits_until_the_collection_is_over(session: Session, other: Session) -> None:
    order: list[str] = []

    def write() -> None:
        with writing(other, ""):
            order.append("written")

    with ThreadPoolExecutor(1) as pool:
        with collecting(session) as turn:
            assert turn.is_free
            writer = pool.submit(write)
            until(lambda: bool(session.children(layout.UPLOADS)))
            order.append("collected")
        writer.result(WAIT_SECONDS_MAX)
    assert order == ["collected", "written"]


def test_of_two_collections_one_has_the_turn_and_the_other_does_not_end_it(session: Session, other: Session) -> None:
    with collecting(session) as ours:
        with collecting(other) as theirs:
            assert ours.is_free and not theirs.is_free
        ours.check()
        assert session.owner(layout.COLLECTING) == session.id


def test_a_collection_that_lost_its_turn_stops_before_it_deletes_more(session: Session, other: Session) -> None:
    """As after a pause in which its session ended, and somebody else's turn began."""
    with collecting(session) as turn:
        other.delete(layout.COLLECTING)
        with collecting(other) as theirs:
            lost = threading.Event()

            def look() -> bool:
                try:
                    turn.check()
                except Unavailable as error:
                    assert "lost its turn" in str(error)
                    lost.set()
                return lost.is_set()

            until(look)
            assert theirs.is_free
    assert session.version(layout.COLLECTING) is None
