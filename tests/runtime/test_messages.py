"""Frames: every message comes back whole, and of everything else only PeerError comes out."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.errors import PeerError
from muskox.runtime import messages
from muskox.runtime.messages import (
    FRAME_BYTES_MAX,
    HEAD_BYTES_MAX,
    LENGTHS,
    check_lengths,
    decode_collective,
    decode_from_node,
    decode_from_worker,
    frame,
)

COLLECTIVE = (
    messages.Hello(3, "w", -1, "", False),
    messages.Fetch(3, "w"),
    messages.State(3, 7, "d", True),
    messages.Begin(3, 7, "d", False, 100),
    messages.Partial(3, 7, "d", [(2, 0), (0, 4)], [10, 20], 1, "{}", {"w": 0.5}),
    messages.Total(3, 7, 1, "{}"),
    messages.Race(3, 7, "w1", "w2"),
    messages.Near("machine", 1, 2),
    messages.Shown(b"proof"),
    messages.Moved(3),
    messages.Beat(),
)
FROM_NODE = (
    messages.Setup("job", "w", "127.0.0.1", "ab", {"x": "float"}, [3, 4], 100),
    messages.Settings(10.0, 5.0),
    messages.Formed(2, [messages.Member("w", "h:1", "0-3")], {0: ["/blob"], 3: ["/blob", "/other"]}),
    messages.Adjust(2, [messages.Adjustment("q", 0, {"rate": 0.5})]),
    messages.Recorded(2, 9, [messages.Adjustment("q", 9, {"rate": 0.5})]),
)
FROM_WORKER = (
    messages.Listening("h:1", 4),
    messages.Wanted(1),
    messages.Told(1, 2, {"loss": 0.5}, {"compute": 0.25, "round": 0.5}),
    messages.Checkpointed(1, 2, "d"),
    messages.Finished(1, 2, "d"),
    messages.Adjusting(1, 9, [messages.Adjustment("q", 9, {"rate": 0.5})]),
    messages.Unfit(1, "q", "no"),
    messages.Failed(1, "no"),
)
DECODERS = [(decode_collective, COLLECTIVE), (decode_from_node, FROM_NODE), (decode_from_worker, FROM_WORKER)]


@pytest.mark.parametrize(
    ("decode", "message"),
    [(decode, message) for decode, some in DECODERS for message in some],
    ids=lambda value: type(value).__name__ if isinstance(value, messages.Message) else value.__name__,
)
@pytest.mark.parametrize("body", [b"", b"x" * 1000])
def test_a_frame_comes_back_whole(decode: object, message: messages.Message, body: bytes) -> None:
    data = frame(message, body)
    head_bytes, body_bytes = check_lengths(data[: LENGTHS.size])
    assert len(data) == LENGTHS.size + head_bytes + body_bytes
    assert decode(data[LENGTHS.size : LENGTHS.size + head_bytes]) == message  # type: ignore[operator]
    assert data[LENGTHS.size + head_bytes :] == body


@given(st.binary(min_size=LENGTHS.size, max_size=LENGTHS.size))
def test_lengths_out_of_bounds_are_a_peer_error(prefix: bytes) -> None:
    total, head = LENGTHS.unpack(prefix)
    try:
        head_bytes, body_bytes = check_lengths(prefix)
    except PeerError as error:
        assert "out of bounds" in str(error)
        assert head > HEAD_BYTES_MAX or total < 4 + head or total > FRAME_BYTES_MAX
    else:
        assert 0 <= head_bytes <= HEAD_BYTES_MAX and 0 <= body_bytes <= FRAME_BYTES_MAX


@pytest.mark.parametrize(
    ("total", "head"), [(3, 0), (4, 1), (FRAME_BYTES_MAX + 1, 1), (HEAD_BYTES_MAX + 9, HEAD_BYTES_MAX + 1), (0, 0)]
)
def test_the_bounds_themselves(total: int, head: int) -> None:
    with pytest.raises(PeerError):
        check_lengths(LENGTHS.pack(total, head))
    assert check_lengths(LENGTHS.pack(FRAME_BYTES_MAX, HEAD_BYTES_MAX)) == (
        HEAD_BYTES_MAX,
        FRAME_BYTES_MAX - 4 - HEAD_BYTES_MAX,
    )


@pytest.mark.parametrize("decode", [decode for decode, _ in DECODERS], ids=lambda decode: decode.__name__)
@given(data=st.binary(max_size=60))
def test_garbage_is_a_peer_error(decode: object, data: bytes) -> None:
    try:
        decode(data)  # type: ignore[operator]
    except PeerError as error:
        assert f"{len(data)} bytes are no message" in str(error)


@pytest.mark.parametrize(("decode", "some"), DECODERS, ids=lambda value: getattr(value, "__name__", ""))
@given(st.data())
def test_a_torn_or_longer_head_is_a_peer_error(decode: object, some: tuple[messages.Message, ...], data: st.DataObject) -> None:
    whole = msgspec.msgpack.encode(data.draw(st.sampled_from(some)))
    torn = whole[: data.draw(st.integers(0, len(whole) - 1))]
    for head in (torn, whole + b"\x00"):
        with pytest.raises(PeerError):
            decode(head)  # type: ignore[operator]


@pytest.mark.parametrize(("decode", "some"), DECODERS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_message_of_another_conversation_is_a_peer_error(decode: object, some: tuple[messages.Message, ...]) -> None:
    for _, others in DECODERS:
        for message in others:
            if message not in some:
                with pytest.raises(PeerError):
                    decode(msgspec.msgpack.encode(message))  # type: ignore[operator]
