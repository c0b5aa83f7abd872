"""One client's socket: what is under way to it is bounded, but no single answer is too long."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from muskox.keeper.machine.events import FramesArrived
from muskox.keeper.server.client import GREETING_BYTES_MAX, OUTPUT_BYTES_HIGH, OUTPUT_BYTES_MAX, ClientSocket, host_of
from muskox.keeper.wire.frames import FRAME_BYTES_MAX

CHUNK = bytes(1 << 20)


class Transport(asyncio.Transport):
    """To a client that reads only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.is_aborted = self.is_closed = False
        self.hub = Hub()
        self.client = ClientSocket(self.hub, FRAME_BYTES_MAX)
        self.client.address = "127.0.0.1"
        self.client.connection_made(self)

    def write(self, data: Any) -> None:
        self.waiting += len(data)
        if self.waiting > OUTPUT_BYTES_HIGH:
            self.client.pause_writing()

    def read_all(self) -> None:
        self.waiting = 0
        self.client.resume_writing()

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_aborted or self.is_closed

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Hub:
    """Takes everything, answers nothing and keeps the frames."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def handle(self, event: Any) -> None:
        if isinstance(event, FramesArrived):
            self.frames += event.frames

    def admit(self, address: str) -> bool:
        return bool(address)

    def joined(self, client: ClientSocket) -> int:
        return 1 if client.address else 0

    def left(self, client: ClientSocket) -> None: ...
    def turned_away(self, address: str, has_failed: bool) -> None: ...
    def find_answer(self, word: str, rest: bytes, number: int) -> bytes | None: ...


def test_one_who_reads_nothing_is_cut_off_when_too_much_is_under_way() -> None:
    transport = Transport()
    for _ in range(OUTPUT_BYTES_MAX // len(CHUNK) + 1):
        assert not transport.is_aborted
        transport.client.send(CHUNK)
    transport.client.send(CHUNK + CHUNK)
    assert transport.is_aborted


def test_one_answer_may_be_longer_than_all_that_may_be_under_way_and_be_followed_by_news() -> None:
    transport = Transport()
    transport.client.send(bytes(3 * OUTPUT_BYTES_MAX))
    transport.client.send(CHUNK)
    assert not transport.is_aborted
    transport.read_all()
    transport.client.send(CHUNK)
    transport.client.send(CHUNK)
    assert not transport.is_aborted
    for _ in range(OUTPUT_BYTES_MAX // len(CHUNK)):
        transport.client.send(CHUNK)
    assert transport.is_aborted


def test_a_first_frame_that_is_too_long_for_a_connect_request_is_not_waited_for() -> None:
    async def story() -> None:
        for length, is_closed in ((GREETING_BYTES_MAX, False), (GREETING_BYTES_MAX + 1, True), (0xFFFFFFFF, True)):
            transport = Transport()
            transport.client.data_received(length.to_bytes(4, "big") + b"x")
            assert transport.is_closed is is_closed
            transport.client.connection_lost(None)

    asyncio.run(story())


def test_after_the_first_frame_others_may_be_as_long_as_any_and_come_in_any_pieces() -> None:
    frames = [b"c" * GREETING_BYTES_MAX, b"d" * 50_000, b"", b"e" * 3]
    data = b"".join(len(each).to_bytes(4, "big") + each for each in frames)
    for step in (1, 3, 5, 4096, len(data)):
        transport = Transport()
        for at in range(0, len(data), step):
            transport.client.data_received(data[at : at + step])
        assert transport.hub.frames == frames
        assert not transport.is_closed


def test_a_closed_client_leaves_nothing_behind() -> None:
    async def story() -> weakref.ref[Transport]:
        transport = Transport()
        transport.client.close()
        transport.client.close()
        transport.client.connection_lost(None)
        loop = asyncio.get_running_loop()
        assert not [each for each in loop._scheduled if not each.cancelled()]  # type: ignore[attr-defined]
        return weakref.ref(transport)

    gone = asyncio.run(story())
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (("127.0.0.1", 1), "127.0.0.1"),
        (("::1", 1, 0, 0), "0:0:0:0:0:0:0:1"),
        (("2001:db8::a0:1", 1, 0, 0), "2001:db8:0:0:0:0:a0:1"),
        (("::ffff:10.1.2.3", 1, 0, 0), "10.1.2.3"),
        (("fe80::1%eth0", 1, 0, 2), "fe80:0:0:0:0:0:0:1%eth0"),
        (None, ""),
    ],
)
def test_a_host_is_written_as_java_does(address: Any, host: str) -> None:
    assert host_of(address) == host
