"""The pulse: a process that died is told of, and nobody else: not who hung up, not who was never reached."""

import os
import queue
import resource
import socket
from collections.abc import Iterator

import pytest

from muskox.coordination import Candidate
from muskox.runtime.pulse import RETRY_S, Pulse

BOUND_S = 20.0
FILES = 1100  # select() knows 1024


class Listener:
    """What listens where a node's store would."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(BOUND_S)
        self.target = Candidate("c-1", "ann", "i-ann", f"127.0.0.1:{self.server.getsockname()[1]}")

    def accept(self) -> socket.socket:
        return self.server.accept()[0]


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.server.close()


@pytest.fixture
def told() -> "queue.SimpleQueue[Candidate]":
    return queue.SimpleQueue()


@pytest.fixture
def pulse(told: "queue.SimpleQueue[Candidate]") -> Iterator[Pulse]:
    pulse = Pulse(told.put)
    pulse.start()
    yield pulse
    pulse.feel(None)


def test_a_death_is_told_at_once(pulse: Pulse, told: "queue.SimpleQueue[Candidate]", listener: Listener) -> None:
    pulse.feel(listener.target)
    connection = listener.accept()
    listener.server.close()
    connection.close()
    assert told.get(timeout=BOUND_S) == listener.target


def test_who_hangs_up_but_still_listens_is_not_dead(
    pulse: Pulse, told: "queue.SimpleQueue[Candidate]", listener: Listener
) -> None:
    pulse.feel(listener.target)
    for _ in range(3):
        connection = listener.accept()
        connection.send(b"a greeting that nobody reads")
        connection.close()
    connection = listener.accept()
    assert told.empty()
    listener.server.close()
    connection.close()
    assert told.get(timeout=BOUND_S) == listener.target and told.empty()


def test_who_was_never_reached_is_not_told_dead(pulse: Pulse, told: "queue.SimpleQueue[Candidate]", listener: Listener) -> None:
    gone = Listener()
    gone.server.close()
    pulse.feel(gone.target)
    with pytest.raises(queue.Empty):
        told.get(timeout=2 * RETRY_S)
    pulse.feel(listener.target)
    listener.accept().close()
    assert told.empty()


def test_another_is_felt_from_the_moment_it_is_named(
    pulse: Pulse, told: "queue.SimpleQueue[Candidate]", listener: Listener
) -> None:
    first = Listener()
    pulse.feel(first.target)
    connection = first.accept()
    pulse.feel(listener.target)
    other = listener.accept()
    first.server.close()
    connection.close()
    listener.server.close()
    other.close()
    assert told.get(timeout=BOUND_S) == listener.target and told.empty()


def test_a_node_with_very_many_connections_feels_a_death_too(
    pulse: Pulse, told: "queue.SimpleQueue[Candidate]", listener: Listener
) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most <= FILES:
        pytest.skip(f"no more than {most} files may be open here")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(FILES)]
    try:
        test_a_death_is_told_at_once(pulse, told, listener)
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
