"""Memory that workers of one machine share, so that a large body need not be copied through a socket.

Each worker writes the bodies of a round into an arena of anonymous files (memfd) and tells where they lie; a peer that can open
them as ``/proc/PID/fd/N`` reads them where they are. That it can is proved, not believed: it shows that it has read a secret
from a file of ours. Nothing has a name, so nothing is left after kill -9. Two rounds take turns in the arena, as nobody can be
two rounds behind and still matter; whoever is, finds by the count of turns that what it read may be newer than it thinks.
"""

import fcntl
import mmap
import os
import secrets
import struct
import threading
from pathlib import Path

import msgspec
import numpy as np

from muskox.errors import PeerError
from muskox.records import ALIGNMENT
from muskox.runtime.messages import FRAME_BYTES_MAX

SHARED_BYTES_MIN = 1 << 14  # a smaller body is copied sooner than it is found
SEGMENT_BYTES_MIN = 1 << 20
SECRET_BYTES = 32
SEGMENTS_MAX = 8  # of one peer that are mapped at a time: two turns, each replaced by a larger one now and then
IDENTITY_BYTES = 16
HEADER = struct.Struct(f"={IDENTITY_BYTES}sQ")  # identity, count of turns
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL  # who maps a file that shrinks dies of it


def machine_identity() -> str:
    """Return what all processes of this machine, since it was started, have in common; empty if it does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class Place(msgspec.Struct, frozen=True):
    """Where a body lies: in which file of its owner's, and at which of its turns."""

    descriptor: int
    identity: bytes
    turn: int
    offset: int
    size: int


class Segment(mmap.mmap):
    """One anonymous file, mapped: a header, then bodies. A view of it is known by its ``obj``."""

    descriptor: int
    identity: bytes
    turn: int
    used: int

    @classmethod
    def make(cls, size: int) -> "Segment":
        """Return a new one with room for so many bytes.

        Raises
        ------
        OSError
            If there is no memory for it.
        """
        descriptor = os.memfd_create("muskox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, ALIGNMENT + size)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
            made = cls(descriptor, ALIGNMENT + size)
        except OSError:
            os.close(descriptor)
            raise
        made.descriptor, made.identity, made.turn, made.used = descriptor, secrets.token_bytes(IDENTITY_BYTES), 0, ALIGNMENT
        made.begin_turn()
        return made

    def begin_turn(self) -> None:
        self.turn, self.used = self.turn + 1, ALIGNMENT
        HEADER.pack_into(self, 0, self.identity, self.turn)

    def take(self, size: int) -> memoryview | None:
        """Return so many bytes, or None if they are not there."""
        begin, end = self.used, self.used + size
        if end > len(self):
            return None
        self.used = end + -end % ALIGNMENT
        return memoryview(self)[begin:end]


class Arena:
    """A worker's own memory for what peers read: two segments that take turns, and those that were too small in this one.

    Both the event loop and the thread that computes :meth:`allocate`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.secret = secrets.token_bytes(SECRET_BYTES)
        self._probe: Segment | None = None
        self._segments: list[list[Segment]] = [[], []]  # by turn; peers may yet have to map any, the last one is filled
        self._wanted = [0, 0]  # bytes asked for in this turn, and
        self._expected = [0, 0]  # in the one before
        self._now = 0

    def probe(self) -> int:
        """Return the descriptor of a file that holds the secret; -1 if there can be none."""
        if self._probe is None:
            try:
                self._probe = Segment.make(SECRET_BYTES)
            except OSError:
                return -1
            self._probe[ALIGNMENT:] = self.secret
        return self._probe.descriptor

    def turn(self, *, is_read: bool = False) -> None:
        """Begin a round: what was written two rounds ago is of no use any more, unless `is_read` by a socket that is behind."""
        with self._lock:
            self._turn(is_read)

    def _turn(self, is_read: bool) -> None:
        now = self._now = 1 - self._now
        self._expected[now], self._wanted[now] = self._wanted[now], 0
        segments = self._segments[now]
        kept = [] if is_read else [segment for segment in segments[-1:] if len(segment) >= ALIGNMENT + self._expected[now]]
        for segment in segments[: len(segments) - len(kept)]:
            os.close(segment.descriptor)  # whoever has mapped it goes on reading; its memory goes with the last view
        for segment in kept:
            segment.begin_turn()
        self._segments[now] = kept

    def allocate(self, size: int) -> memoryview:
        """Return so many bytes that stay what they are until the round after the next."""
        with self._lock:
            return self._allocate(size)

    def _allocate(self, size: int) -> memoryview:
        rounded = size + -size % ALIGNMENT
        now = self._now
        self._wanted[now] += rounded
        if size < SHARED_BYTES_MIN:
            return memoryview(bytearray(size))
        taken = self._segments[now][-1].take(size) if self._segments[now] else None
        if taken is None:
            try:
                fresh = Segment.make(max(SEGMENT_BYTES_MIN, self._wanted[now], self._expected[now]))
            except OSError:
                return memoryview(bytearray(size))  # it goes through the socket then
            self._segments[now].append(fresh)
            taken = fresh.take(size)
            assert taken is not None, "it was made for this"
        return taken

    def find(self, body: object) -> Place | None:
        """Return where `body` lies, if it lies here."""
        if not (isinstance(body, memoryview) and isinstance(body.obj, Segment)):
            return None
        segment = body.obj
        if all(segment is not ours for turn in self._segments for ours in turn):
            return None
        begin = np.frombuffer(segment, np.uint8, 1).__array_interface__["data"][0]
        offset = np.frombuffer(body, np.uint8, 1).__array_interface__["data"][0] - begin
        return Place(segment.descriptor, segment.identity, segment.turn, offset, len(body))


class Loan(np.ndarray[tuple[int], np.dtype[np.uint8]]):
    """The bytes of a body that lies in a peer's memory; a view of them is known by its ``obj``."""

    segment: Segment | None  # None if the peer let go of it before we looked
    turn: int


def is_whole(body: object) -> bool:
    """Return whether a body is what its sender told of: ask after having read it, for a lent one may be written anew."""
    if not (isinstance(body, memoryview) and isinstance(body.obj, Loan)):
        return True
    loan = body.obj
    return loan.segment is not None and bool(HEADER.unpack_from(loan.segment, 0)[1] == loan.turn)


class Neighbour:
    """A peer's memory as we read it: the process that it proved to be."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._segments: dict[int, Segment] = {}

    def read_secret(self, descriptor: int) -> bytes:
        """Return what the peer's probe holds; empty if we cannot read it."""
        try:
            file = os.open(f"/proc/{self._pid}/fd/{descriptor}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            return os.pread(file, SECRET_BYTES, ALIGNMENT)
        except OSError:
            return b""
        finally:
            os.close(file)

    def borrow(self, place: Place) -> memoryview:
        """Return the body at this place; if the peer has let go of it meanwhile, as many bytes that are not whole.

        Raises
        ------
        PeerError
            If there can be no such place.
        """
        segment = self._segments.get(place.descriptor)
        if segment is None or segment.identity != place.identity:
            segment = self._map(place)
        if segment is None:
            if not 0 <= place.size <= FRAME_BYTES_MAX:
                raise PeerError(f"a body of {place.size} bytes in shared memory")
            gone = np.zeros(place.size, np.uint8).view(Loan)
            gone.segment, gone.turn = None, place.turn
            return gone.data
        if not ALIGNMENT <= place.offset <= place.offset + place.size <= len(segment):
            raise PeerError(f"a body of {place.size} bytes at {place.offset} of shared memory of {len(segment)}")
        loan = np.frombuffer(segment, np.uint8, place.size, place.offset).view(Loan)
        loan.segment, loan.turn = segment, place.turn
        return loan.data

    def _map(self, place: Place) -> Segment | None:
        """Return the segment, or None if it is there no more."""
        try:
            file = os.open(f"/proc/{self._pid}/fd/{place.descriptor}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if fcntl.fcntl(file, fcntl.F_GET_SEALS) & SEALS != SEALS:
                    return None  # not the file that was meant: who maps one that may shrink dies of it
                segment = Segment(file, 0, access=mmap.ACCESS_READ)
            finally:
                os.close(file)
        except (OSError, ValueError):
            return None
        if len(segment) < ALIGNMENT or HEADER.unpack_from(segment, 0)[0] != place.identity:
            return None
        segment.descriptor, segment.identity = place.descriptor, place.identity
        while len(self._segments) >= SEGMENTS_MAX:
            self._segments.pop(next(iter(self._segments)))
        self._segments[place.descriptor] = segment
        return segment
