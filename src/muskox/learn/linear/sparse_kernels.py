"""Compiled loops over sparse rows: margins, gradients, words of text by their hash. Every sum is in the order of the rows."""

from typing import Any

import numpy as np

from muskox.learn.compiled import compiled

FNV_OFFSET, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
MIX, SHIFT, ONE = np.uint64(0xFF51AFD7ED558CCD), np.uint64(33), np.uint64(1)


@compiled
def add_sparse_margins(starts: Any, indexes: Any, values: Any, weights: Any, margin: Any) -> None:
    """Add to margin[row] the row's values times weights[index], in their order; an index beyond the weights counts nothing."""
    for row in range(margin.size):
        total = 0.0
        for place in range(starts[row], starts[row + 1]):
            if indexes[place] < weights.size:
                total += values[place] * weights[indexes[place]]
        margin[row] += total


@compiled
def add_sparse_gradient(starts: Any, indexes: Any, values: Any, residual: Any, gradient: Any) -> None:
    """Add to gradient[index] the values of that index times their row's residual, row by row."""
    for row in range(residual.size):
        for place in range(starts[row], starts[row + 1]):
            gradient[indexes[place]] += values[place] * residual[row]


@compiled
def is_word(byte: int) -> bool:
    """Say whether a byte of UTF-8 belongs to a word: ASCII's letters, digits and "_", and all of other letters."""
    return byte >= 128 or 97 <= byte <= 122 or 65 <= byte <= 90 or 48 <= byte <= 57 or byte == 95


@compiled
def hash_words(text: Any, ends: Any, features: int, starts: Any, indexes: Any, values: Any) -> int:
    """Write index and sign of each word's hash, FNV-1a of its bytes mixed as in MurmurHash3; return how many words there are.

    text : the bytes of all rows; row i is text[ends[i] : ends[i + 1]]
    """
    count = 0
    for row in range(ends.size - 1):
        starts[row] = count
        place = ends[row]
        while place < ends[row + 1]:
            if not is_word(text[place]):
                place += 1
                continue
            found = FNV_OFFSET
            while place < ends[row + 1] and is_word(text[place]):
                found = (found ^ np.uint64(text[place])) * FNV_PRIME
                place += 1
            found = (found ^ (found >> SHIFT)) * MIX
            found = found ^ (found >> SHIFT)
            indexes[count] = np.int32((found >> ONE) % np.uint64(features))
            values[count] = 1.0 if found & ONE else -1.0
            count += 1
    starts[ends.size - 1] = count
    return count
