"""A keeper for all of the room's tests, and for each test a chroot of its own."""

import uuid
from collections.abc import Callable, Iterator

import pytest

from muskox.coordination import Session
from muskox.keeper import Keeper

SECRET = b"0123456789abcdef" * 4


@pytest.fixture(scope="session")
def keeper() -> Iterator[Keeper]:
    with Keeper(tick_ms=500, min_session_timeout_ms=500) as keeper:
        yield keeper


@pytest.fixture
def url(keeper: Keeper) -> str:
    return f"zk://{keeper.hosts}/rooms/{uuid.uuid4().hex}"


@pytest.fixture
def connect(url: str) -> Iterator[Callable[..., Session]]:
    """Return what opens one more session on this test's chroot; all are closed at its end."""
    opened: list[Session] = []

    def open_session(timeout_s: float = 4.0) -> Session:
        opened.append(Session(url, SECRET, timeout_s=timeout_s).connect())
        return opened[-1]

    yield open_session
    for session in opened:
        session.close()


@pytest.fixture
def session(connect: Callable[..., Session]) -> Session:
    return connect()
