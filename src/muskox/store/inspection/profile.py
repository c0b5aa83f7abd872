"""What one column looks like: how much is missing, how many values are distinct, the least and the greatest.

It owns the profile as a record and how it is gathered batch by batch, in 512 kB a column however many rows there are. Distinct
values are counted by their 64-bit hashes: all of them up to DISTINCT_MAX, which is exact but for one chance in 8 billion;
beyond, the number is estimated from the DISTINCT_MAX least hashes (Bar-Yossef and others 2002, "k minimum values"), with a
standard deviation of 0.4 %. NaN counts as missing. Text is ordered by its UTF-8 bytes.
"""

import math
from typing import Any

import msgspec
import numpy as np
import pyarrow.compute as pc

from muskox.store.partition.hashing import MISSING, Words, is_moment, whole_numbers

DISTINCT_MAX = 65_536
TEXT_CHARACTERS_MAX = 60  # of a least or greatest value

Value = bool | int | float | str


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One column.

    missing : rows without a value
    missing_rate : of all rows, 0 to 1
    distinct : different values, missing ones not counted
    is_estimated : whether `distinct` is an estimate
    least, greatest : None if there is no value; a timestamp as ISO 8601, an infinity as "inf" or "-inf", text cut off
    """

    name: str
    type: str
    rows: int
    missing: int
    missing_rate: float
    distinct: int
    is_estimated: bool
    least: Value | None
    greatest: Value | None

    @property
    def is_empty(self) -> bool:
        return self.missing == self.rows

    @property
    def has_one_value(self) -> bool:
        return self.distinct == 1


class Profiler:
    """Gathers the profile of one column."""

    def __init__(self, name: str, kind: str) -> None:
        self._name = name
        self._kind = kind
        self._rows = 0
        self._missing = 0
        self._least_hashes: Words = np.empty(0, np.uint64)
        self._is_full = False
        self._least: Any = None
        self._greatest: Any = None

    def add(self, column: Any, hashes: Words) -> None:
        """Take in n values (pyarrow.Array) and their hashes."""
        is_missing = hashes == MISSING
        missing = int(np.count_nonzero(is_missing))
        self._rows += len(hashes)
        self._missing += missing
        if missing == len(hashes):
            return
        self._add_hashes(hashes[~is_missing] if missing else hashes)
        bounds = pc.min_max(whole_numbers(column) if is_moment(column.type) else column).as_py()  # it passes over NaN
        self._least = bounds["min"] if self._least is None else min(self._least, bounds["min"])
        self._greatest = bounds["max"] if self._greatest is None else max(self._greatest, bounds["max"])

    def profile(self) -> ColumnProfile:
        distinct = len(self._least_hashes)
        if self._is_full:
            distinct = round((DISTINCT_MAX - 1) / (int(self._least_hashes[-1]) / 2**64))
        return ColumnProfile(
            name=self._name,
            type=self._kind,
            rows=self._rows,
            missing=self._missing,
            missing_rate=self._missing / self._rows if self._rows else 0.0,
            distinct=min(distinct, self._rows - self._missing),
            is_estimated=self._is_full,
            least=_plain(self._least, self._kind),
            greatest=_plain(self._greatest, self._kind),
        )

    def _add_hashes(self, hashes: Words) -> None:
        if self._is_full:
            hashes = hashes[hashes < self._least_hashes[-1]]
            if not len(hashes):
                return
        known = np.sort(np.concatenate([self._least_hashes, hashes]))
        known = known[np.append(True, known[1:] != known[:-1])]  # np.unique hashes, which takes 17 times as long
        self._is_full = self._is_full or len(known) > DISTINCT_MAX
        self._least_hashes = known[:DISTINCT_MAX].copy()


def _plain(value: Value | None, kind: str) -> Value | None:
    if kind == "timestamp" and value is not None:
        return str(np.datetime64(int(value), "us"))
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    if isinstance(value, str) and len(value) > TEXT_CHARACTERS_MAX:
        return value[: TEXT_CHARACTERS_MAX - 1] + "…"
    return value
