"""Bytes of a connection, received into place: a few loose ones for a handshake first, frames from then on.

Small frames share one scratch buffer. A large one is received straight into memory of its own, its body on the boundary of a
cache line: numbers are added from where they lie.
"""

import asyncio
from collections.abc import Callable

import numpy as np

from muskox.errors import PeerError
from muskox.records import ALIGNMENT
from muskox.runtime.message import Buffer
from muskox.runtime.messages import LENGTHS, Collective, check_lengths, decode_collective, is_lent

SCRATCH_BYTES = 1 << 16

OnFrame = Callable[[Collective, Buffer, bool], None]  # whether the body is only the place where it lies


class Framing:
    """See the head of this file. :meth:`buffer` is where the next bytes go, :meth:`received` tells that they came.

    `received` raises PeerError for what is no frame: the connection is of no use from then on.
    """

    def __init__(self) -> None:
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._begin, self._end = 0, 0  # of what is in it and was not taken yet
        self._large: memoryview | None = None  # head and body of a frame that has begun and is too large for it
        self._head_bytes, self._filled = 0, 0
        self._on_frame: OnFrame | None = None
        self._wanted: tuple[int, asyncio.Future[bytes]] | None = None
        self._error: Exception | None = None

    async def exactly(self, count: int) -> bytes:
        """Return the next bytes, before frames have begun; PeerError if they never come."""
        if self._error is not None:
            raise self._error
        self._wanted = (count, asyncio.get_running_loop().create_future())
        self._hand_out()
        return await self._wanted[1]

    def begin(self, on_frame: OnFrame) -> None:
        """Take what comes from now on, and what is there, as frames."""
        self._on_frame = on_frame
        self._parse()

    def end(self, error: Exception) -> None:
        """Nothing comes any more."""
        self._error = error
        if self._wanted is not None and not self._wanted[1].done():
            self._wanted[1].set_exception(error)

    def buffer(self) -> memoryview:
        if self._large is not None:
            return self._large[self._filled :]
        if self._begin == self._end:
            self._begin = self._end = 0
        elif self._begin:
            rest = bytes(self._scratch[self._begin : self._end])
            self._scratch[: len(rest)] = rest
            self._begin, self._end = 0, len(rest)
        return self._scratch[self._end :]

    def received(self, count: int) -> None:
        if self._large is not None:
            self._filled += count
            if self._filled == len(self._large):
                whole, self._large = self._large, None
                self._deliver(whole[: self._head_bytes], whole[self._head_bytes :])
            return
        self._end += count
        if self._on_frame is None:
            self._hand_out()
        else:
            self._parse()

    def _hand_out(self) -> None:
        if self._end == len(self._scratch):
            raise PeerError(f"{self._end} bytes where a handshake was due")
        if self._wanted is not None and not self._wanted[1].done() and self._end - self._begin >= self._wanted[0]:
            first, self._begin = self._begin, self._begin + self._wanted[0]
            self._wanted[1].set_result(bytes(self._scratch[first : self._begin]))

    def _parse(self) -> None:
        while self._end - self._begin >= LENGTHS.size and self._on_frame is not None:
            first = self._begin + LENGTHS.size
            prefix = self._scratch[self._begin : first]
            head_bytes, body_bytes = check_lengths(prefix)
            end = first + head_bytes + body_bytes
            if end - self._begin > len(self._scratch):
                self._begin_large(first, head_bytes, body_bytes)
                return
            if end > self._end:
                return
            self._begin = end
            head, body = self._scratch[first : first + head_bytes], bytes(self._scratch[first + head_bytes : end])
            self._deliver(head, body, lent=is_lent(prefix))

    def _begin_large(self, first: int, head_bytes: int, body_bytes: int) -> None:
        unused = -head_bytes % ALIGNMENT
        memory = np.empty(unused + head_bytes + body_bytes, np.uint8).data
        self._large, self._head_bytes = memory[unused:], head_bytes
        self._filled = self._end - first
        self._large[: self._filled] = self._scratch[first : self._end]
        self._begin = self._end = 0

    def _deliver(self, head: memoryview, body: Buffer, *, lent: bool = False) -> None:
        assert self._on_frame is not None, "frames have begun"
        self._on_frame(decode_collective(head), body, lent)
