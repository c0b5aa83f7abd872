"""Which finished results are durable, and when the next of them are made so: the root's book of pieces. Pure.

A piece is a blob of results. One is written when there is something new and the interval has passed, or the last one could not
take all that there was; it takes along the last pieces that are no larger than it. So there are few pieces, and a result is
written as often as the logarithm of how many there would have been. At most one is on its way.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from muskox.runtime.tasks.events import Saved

LAST_BYTES_MAX = 1 << 30  # of the last piece of a worker that is about to end
PIECE_BYTES_MAX = 1 << 26  # of one piece, unless a single result is larger: it lies in memory while it is written


@dataclass(frozen=True, slots=True)
class Piece:
    """What is to be written next: a piece in place of those that it absorbs."""

    saved: Saved
    absorbs: tuple[int, ...]
    new: tuple[int, ...]  # the tasks of it that are in no piece yet


class Saving:
    """`sizes`: the bytes of each result that the root holds, live."""

    def __init__(self, sizes: Mapping[int, int], pieces: Sequence[Saved], now: float) -> None:
        self._sizes = sizes
        self._pieces = {piece.number: piece for piece in pieces}
        self._last_s = now
        self._new: dict[int, None] = {}  # in order; a set that keeps it
        self._under_way: Piece | None = None
        self._is_behind = False  # more was new than one piece takes
        self._number = max(self._pieces, default=0)

    def look(self, unsettled: Container[int]) -> None:
        """Find what is new: some results come while nobody leads. What is unsettled yet is added when it is."""
        pieces = [*self._pieces.values(), *([self._under_way.saved] if self._under_way is not None else [])]
        durable = {task for piece in pieces for task in piece.tasks}
        self._new |= {task: None for task in self._sizes if task not in durable and task not in unsettled}

    def add(self, task: int) -> None:
        """This result is new, or another than before."""
        self._new[task] = None

    def due_s(self, interval_s: float) -> float | None:
        """Return from when on a piece may be written; None if there is nothing to write, or one is on its way."""
        if self._under_way is not None or not self._new:
            return None
        return self._last_s if self._is_behind else self._last_s + interval_s

    @property
    def is_new(self) -> bool:
        """Whether there is a result that is in no piece."""
        return bool(self._new)

    def begin(self, now: float, bytes_max: int = PIECE_BYTES_MAX) -> Piece:
        """Return the next piece; it is on its way from now on, in place of any other that was."""
        tasks: list[int] = []
        size = 0
        for task in self._new:
            if tasks and size + self._sizes[task] > bytes_max:
                break
            tasks.append(task)
            size += self._sizes[task]
        absorbed: list[Saved] = []
        for piece in sorted(self._pieces.values(), key=lambda piece: piece.number, reverse=True):
            if piece.size_bytes > size or piece.size_bytes + size > bytes_max:
                break
            absorbed.append(piece)
            size += piece.size_bytes
        whole = {task: None for piece in reversed(absorbed) for task in piece.tasks} | dict.fromkeys(tasks)
        self._number += 1
        self._last_s = now
        for task in tasks:
            del self._new[task]
        self._is_behind = bool(self._new)
        numbers = tuple(piece.number for piece in absorbed)
        self._under_way = Piece(Saved(self._number, tuple(whole), size), numbers, tuple(tasks))
        return self._under_way

    def end(self, number: int, *, is_kept: bool) -> None:
        """The node has tried to write the piece of this number."""
        piece = self._under_way
        if piece is None or piece.saved.number != number:
            return
        self._under_way = None
        if is_kept:
            for absorbed in piece.absorbs:
                del self._pieces[absorbed]
            self._pieces[number] = piece.saved
        else:
            self._new = dict.fromkeys(piece.new) | self._new
            self._is_behind = False  # a full disk is not tried again at once
