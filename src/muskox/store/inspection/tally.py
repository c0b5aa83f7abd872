"""How often each 64-bit hash occurs, in bounded memory; and which part of all hashes one pass over the rows looks at.

It owns counting by sorting: hashes are gathered, and now and then sorted and merged with what is known. Memory holds 16 bytes
for each distinct hash and a few copies, however often one occurs. Where even the distinct ones are too many, the rows are read
several times, each time for one `Part` of the hashes: what is equal lies in one part.

Two different rows have one hash with probability 2**-64. Of n different rows some two have with at most n * n / 2**65: of a
billion 3 %, of a million one in 37 million.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muskox.store.partition.hashing import Words

GATHERED_MIN = 1 << 18  # hashes are merged no fewer at a time, and no fewer than are known already: so each is sorted few times

Counts = NDArray[np.int64]
Chosen = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Part:
    """The hashes from `index` / `parts` of all up to (`index` + 1) / `parts`."""

    index: int
    parts: int

    def holds(self, hashes: Words) -> Chosen:
        """Return which of n hashes are in this part, as bool of shape (n,)."""
        first = (self.index << 64) // self.parts
        last = ((self.index + 1 << 64) // self.parts) - 1
        return (hashes >= np.uint64(first)) & (hashes <= np.uint64(last))


def parts_of(hashes: int, held_max: int) -> list[Part]:
    """Return the fewest parts of which each has about `held_max` of `hashes` different hashes at most."""
    parts = max(1, -(-hashes // held_max))
    return [Part(index, parts) for index in range(parts)]


class Tally:
    """Counts of hashes, or of tuples of `width` hashes."""

    def __init__(self, width: int = 1) -> None:
        self._words: Any = np.empty((width, 0), np.uint64)
        self._counts = np.empty(0, np.int64)
        self._gathered: list[Any] = []
        self._rows = 0

    def add(self, *hashes: Words) -> None:
        """Count one tuple a row: `width` arrays of shape (n,)."""
        self._gathered.append(np.stack(hashes))
        self._rows += len(hashes[0])
        if self._rows >= max(GATHERED_MIN, len(self._counts)):
            self._merge()

    @property
    def held(self) -> int:
        """How many hashes, or tuples, lie in memory."""
        return len(self._counts) + self._rows

    def counts(self) -> tuple[Any, Counts]:
        """Return the distinct tuples in order, as uint64 of shape (width, m), and how often each was added, shape (m,)."""
        self._merge()
        return self._words, self._counts

    def _merge(self) -> None:
        if not self._gathered:
            return
        words = np.concatenate([self._words, *self._gathered], axis=1)
        counts = np.concatenate([self._counts, np.ones(self._rows, np.int64)])
        self._gathered, self._rows = [], 0
        if words.shape[1]:
            order = np.lexsort(words[::-1])
            words = words[:, order]
            is_new = np.append(True, (words[:, 1:] != words[:, :-1]).any(axis=0))
            counts = np.add.reduceat(counts[order], np.flatnonzero(is_new))
            words = words[:, is_new]
        self._words, self._counts = words, counts


def collision_probability(rows: int) -> float:
    """Return the most that the probability can be that some two of `rows` different rows have one hash."""
    return min(1.0, rows * rows / 2.0**65)
