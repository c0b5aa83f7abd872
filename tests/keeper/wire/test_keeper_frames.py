"""Frames are the same however a stream is cut, and an announced length is believed only within bounds."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.errors import PeerError
from muskox.keeper.wire.frames import FRAME_BYTES_MAX, FrameSplitter, frame

BODIES = [b"", b"a", b"four", b"x" * 300, b"", b"end"]
STREAM = b"".join(map(frame, BODIES))


def test_a_stream_is_cut_the_same_whole_and_byte_by_byte() -> None:
    assert FrameSplitter().feed(STREAM) == BODIES
    splitter = FrameSplitter()
    assert [body for index in range(len(STREAM)) for body in splitter.feed(STREAM[index : index + 1])] == BODIES


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_a_stream_is_cut_the_same_wherever_it_is_broken(cuts: list[int]) -> None:
    splitter = FrameSplitter()
    edges = sorted([0, *cuts, len(STREAM)])
    assert [body for start, end in pairwise(edges) for body in splitter.feed(STREAM[start:end])] == BODIES


@pytest.mark.parametrize("size", [-1, -(1 << 31), FRAME_BYTES_MAX + 1, (1 << 31) - 1])
def test_a_length_out_of_bounds_is_refused_before_its_bytes_come(size: int) -> None:
    with pytest.raises(PeerError, match=f"{size} bytes"):
        FrameSplitter().feed(size.to_bytes(4, "big", signed=True))


def test_the_longest_frame_that_is_allowed_passes() -> None:
    assert FrameSplitter().feed(frame(bytes(FRAME_BYTES_MAX))) == [bytes(FRAME_BYTES_MAX)]


def test_what_is_kept_is_never_more_than_one_frame() -> None:
    splitter = FrameSplitter(frame_bytes_max=100)
    for byte in frame(bytes(100))[:-1]:
        splitter.feed(bytes([byte]))
        assert len(splitter.rest) <= 104


def test_whole_frames_before_one_that_is_too_long_are_kept() -> None:
    splitter = FrameSplitter(frame_bytes_max=100)
    assert splitter.feed(frame(b"one") + frame(b"two") + frame(bytes(101))) == [b"one", b"two"]
    assert splitter.is_broken
