"""One client's socket: what is under way to it is bounded, but no single answer is too long."""

import asyncio
from typing import Any

from muskox.keeper.server.client import OUTPUT_BYTES_HIGH, OUTPUT_BYTES_MAX, ClientSocket
from muskox.keeper.wire.frames import FRAME_BYTES_MAX

CHUNK = bytes(1 << 20)


class Transport(asyncio.Transport):
    """To a client that reads only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.is_aborted = False
        self.client = ClientSocket(Hub(), FRAME_BYTES_MAX)
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

    def is_closing(self) -> bool:
        return self.is_aborted

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Hub:
    """Takes everything and answers nothing."""

    def handle(self, event: Any) -> None: ...
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
