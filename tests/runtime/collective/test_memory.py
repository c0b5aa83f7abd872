"""Shared memory: what a neighbour reads is what was written, or known not to be; nothing is left behind."""

import contextlib
import fcntl
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from muskox.errors import PeerError
from muskox.records import ALIGNMENT
from muskox.runtime.collective.memory import SHARED_BYTES_MIN, Arena, Neighbour, Place, is_whole

LARGE = 4 * SHARED_BYTES_MIN


def written(arena: Arena, byte: bytes, size: int = LARGE) -> Place:
    body = arena.allocate(size)
    body[:] = byte * size
    place = arena.find(body)
    assert place is not None
    return place


def descriptors() -> int:
    """Return how many files of shared memory are open in this process."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            count += "memfd:muskox" in str(link.readlink())
    return count


def neighbour() -> Neighbour:
    return Neighbour(os.getpid())


def test_what_is_written_is_read_where_it_lies() -> None:
    arena, reader = Arena(), neighbour()
    first, second = written(arena, b"a"), written(arena, b"b", LARGE + 1)
    assert bytes(reader.borrow(first)) == b"a" * LARGE
    assert bytes(reader.borrow(second)) == b"b" * (LARGE + 1)


def test_a_piece_of_a_body_is_found_too_and_other_memory_is_not() -> None:
    arena = Arena()
    body = arena.allocate(LARGE)
    body[100:200] = b"x" * 100
    place = arena.find(body[100:200])
    assert place is not None and bytes(neighbour().borrow(place)) == b"x" * 100
    for other in (b"x" * LARGE, memoryview(bytearray(LARGE)), arena.allocate(SHARED_BYTES_MIN - 1)):
        assert arena.find(other) is None


def test_a_body_stays_whole_for_two_rounds_and_is_known_to_be_gone_afterwards() -> None:
    arena, reader = Arena(), neighbour()
    lent = reader.borrow(written(arena, b"a"))
    arena.turn()
    written(arena, b"b")
    assert is_whole(lent) and bytes(lent) == b"a" * LARGE
    arena.turn()
    assert not is_whole(lent)
    assert bytes(lent[:1]) == b"a", "its memory is there as long as somebody looks at it"


def test_memory_is_used_again_and_grows_with_what_is_asked_for() -> None:
    arena = Arena()
    for _ in range(3):
        arena.turn()
        small = written(arena, b"a")
    for _ in range(4):
        arena.turn()
        large = [written(arena, b"b", 1 << 20) for _ in range(5)]
    assert len({place.identity for place in large}) == 1, "one segment holds what one round needed before"
    assert large[0].identity != small.identity
    before = descriptors()
    for _ in range(50):
        arena.turn()
        written(arena, b"c")
    assert descriptors() <= before, "those of other tests may go meanwhile"


def test_what_a_socket_still_reads_is_not_written_over() -> None:
    arena = Arena()
    body = arena.allocate(LARGE)
    body[:] = b"a" * LARGE
    arena.turn(is_read=True)
    arena.turn(is_read=True)
    written(arena, b"b")
    assert bytes(body) == b"a" * LARGE


def test_a_neighbour_shows_that_it_can_read_by_reading() -> None:
    arena = Arena()
    assert neighbour().read_secret(arena.probe()) == arena.secret
    assert Neighbour(1 << 22).read_secret(arena.probe()) == b"", "a process that is not there"
    assert neighbour().read_secret(1 << 20) == b""


@dataclass(frozen=True)
class Lie:
    """What may be wrong with a place."""

    descriptor: int = 0
    identity: bytes = b""
    offset: int = 0
    size: int = 0


def false(true: Place, lie: Lie) -> Place:
    return Place(
        lie.descriptor or true.descriptor,
        lie.identity or true.identity,
        true.turn,
        lie.offset or true.offset,
        lie.size or true.size,
    )


@pytest.mark.parametrize(
    "lie", [Lie(size=1 << 40), Lie(offset=1), Lie(offset=-64), Lie(descriptor=1 << 20, size=1 << 40)], ids=repr
)
def test_a_place_that_cannot_be_is_a_peer_error(lie: Lie) -> None:
    arena = Arena()
    with pytest.raises(PeerError):
        neighbour().borrow(false(written(arena, b"a"), lie))


@pytest.mark.parametrize("lie", [Lie(descriptor=1 << 20), Lie(descriptor=2), Lie(identity=b"another")], ids=repr)
def test_memory_that_is_there_no_more_reads_as_not_whole(lie: Lie) -> None:
    arena = Arena()
    lent = neighbour().borrow(false(written(arena, b"a"), lie))
    assert len(lent) == LARGE and not is_whole(lent)


def test_memory_that_may_shrink_is_not_mapped() -> None:
    descriptor = os.memfd_create("shrinks")
    os.ftruncate(descriptor, 4096)
    assert not is_whole(neighbour().borrow(Place(descriptor, b"", 1, ALIGNMENT, 64)))
    os.close(descriptor)


def test_what_was_told_of_can_be_mapped_though_the_arena_grew_meanwhile() -> None:
    arena = Arena()
    first = written(arena, b"a", 1 << 20)
    written(arena, b"b", 1 << 22)
    arena.turn()
    written(arena, b"c", 1 << 22)
    lent = neighbour().borrow(first)
    assert bytes(lent) == b"a" * (1 << 20) and is_whole(lent)


def test_memory_of_ours_cannot_be_shrunk() -> None:
    place = written(Arena(), b"a")
    with pytest.raises(PermissionError):
        os.ftruncate(place.descriptor, 0)
    assert fcntl.fcntl(place.descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK


def test_lent_memory_cannot_be_written() -> None:
    lent = neighbour().borrow(written(Arena(), b"a"))
    with pytest.raises((TypeError, ValueError)):
        np.frombuffer(lent, np.uint8)[0] = 1


def test_a_killed_worker_leaves_nothing() -> None:
    """None of its memory has a name: it goes with the last process that looks at it."""
    script = """
import os, signal
from muskox.runtime.collective.memory import Arena
arena = Arena()
arena.probe(), arena.allocate(1 << 22)
descriptors = arena._probe.descriptor, arena._segments[0][0].descriptor
print([os.readlink(f"/proc/self/fd/{number}") for number in descriptors], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (-9, "['/memfd:muskox (deleted)', '/memfd:muskox (deleted)']\n")
