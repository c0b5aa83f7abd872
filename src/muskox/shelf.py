"""Shelf: the memory that values derived from shards may take together, so that data larger than memory trains, too.

What finds no room is made again whenever it is needed: a pure function of its shard, so that shows only in the time it takes.
What is kept stays (a scan that comes round again would find nothing of what was last used, if that pushed out the rest).
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

SMALL_BYTES = 64  # of a value that is no container: a number, a short text


class Shelf:
    """Room for so many bytes; None means no bound.

    Examples
    --------
    >>> import numpy as np
    >>> shelf = Shelf(1000)
    >>> shelf.take(size_of(np.zeros(100))), shelf.take(size_of(np.zeros(100)))
    (True, False)
    """

    __slots__ = ("bytes_max", "used")

    def __init__(self, bytes_max: int | None = None) -> None:
        self.bytes_max = bytes_max
        self.used = 0

    def take(self, size: int) -> bool:
        """Take room for `size` bytes, if there is so much."""
        if self.bytes_max is not None and self.used + size > self.bytes_max:
            return False
        self.used += size
        return True

    def give(self, size: int) -> None:
        self.used -= size


def size_of(value: Any) -> int:
    """Return about how many bytes `value` holds: arrays (NumPy's, Arrow's, SciPy's sparse ones), and what is made of them."""
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    match value:
        case Mapping():
            return sum(map(size_of, value.values()))
        case list() | tuple():
            return SMALL_BYTES + sum(map(size_of, value))
        case str() | bytes():
            return len(value)
    if is_dataclass(value):
        return sum(size_of(getattr(value, field.name)) for field in fields(value))
    if hasattr(value, "indptr"):
        return size_of([value.data, value.indices, value.indptr])
    return SMALL_BYTES
