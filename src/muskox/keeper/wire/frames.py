"""Frames: what a stream of bytes is cut into, each with its length in front.

It owns the bytes of a frame that is not complete yet, and nothing more: at most `frame_bytes_max` of them.
"""

from muskox.errors import PeerError
from muskox.keeper.wire.jute import LENGTH

FRAME_BYTES_MAX = 0xFFFFF  # Apache's default for jute.maxbuffer


class FrameSplitter:
    """Cut one connection's stream into frames."""

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.frame_bytes_max = frame_bytes_max
        self.rest = bytearray()  # the start of a frame whose end has not come
        self.is_broken = False
        self.needed = 4  # rest is left alone until it has this many bytes, so slow senders cost no copying

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that `data` completes, without their lengths.

        Raises
        ------
        PeerError
            If the first length is negative or over the bound. If a later one is, the frames before it are returned, and
            `is_broken` is true from then on: nothing that follows can be made out.
        """
        if self.rest:
            self.rest += data
            if len(self.rest) < self.needed:
                return []
            data = bytes(self.rest)
            self.rest = bytearray()
        frames: list[bytes] = []
        at, end = 0, len(data)
        unpack = LENGTH.unpack_from
        self.needed = 4
        while end - at >= 4:
            (size,) = unpack(data, at)
            if size < 0 or size > self.frame_bytes_max:
                self.is_broken = True
                if frames:
                    return frames
                raise PeerError(f"a frame of {size} bytes is announced, {self.frame_bytes_max} are allowed")
            stop = at + 4 + size
            if stop > end:
                self.needed = 4 + size
                break
            frames.append(data[at + 4 : stop])
            at = stop
        if at < end:
            self.rest += data[at:]
        return frames


def frame(body: bytes) -> bytes:
    """Return `body` with its length in front."""
    return LENGTH.pack(len(body)) + body
