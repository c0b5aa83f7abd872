"""How unevenly rows lie over shards, said in a sentence, and the one key that is to blame, if one is.

It owns the measure and its words. It must never know where shards lie or how they are read: rows come in as batches. A round of
training takes as long as its largest shard, so the measure is that shard's rows over the mean; what a rule can do nothing about
is a key that has more rows than a shard should.

The key is looked for in one pass over the largest shard by the summary of Misra and Gries (1982; merged by batches as in
Agarwal and others, "Mergeable summaries", 2012): CANDIDATES_MAX counts, each too low by at most one row in CANDIDATES_MAX.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from muskox.store.partition.hashing import hash_columns

LARGE = 1.25  # a hash of two shards makes 1.5 at least of a key with half of the rows; without such keys it stays below
ROWS_MIN = 1_000  # of fewer rows nobody waits for the largest shard
TIMES_FAIR = 10  # a key with so many times the rows of a fair shard is to blame even if most rows have others
CANDIDATES_MAX = 1_024
TEXT_CHARACTERS_MAX = 60  # of a key, in a sentence


@dataclass(frozen=True, slots=True)
class Skew:
    """How unevenly rows lie.

    max_over_mean : rows of the largest shard over the mean of all, 1.0 if all are equal (or there are no rows)
    largest : the index of the largest shard, the first of several
    empty : how many shards have no rows
    shards, rows : how many there are
    """

    max_over_mean: float
    largest: int
    empty: int
    shards: int
    rows: int

    @property
    def is_large(self) -> bool:
        """Whether it is worth a look at the largest shard's keys."""
        return self.rows >= ROWS_MIN and self.shards > 1 and self.max_over_mean > LARGE

    def sentence(self) -> str:
        """Return the measure for people.

        >>> measure_skew([10, 30, 20, 0]).sentence()
        'the largest shard (1) has 2.0 times the mean of 15 rows; 1 of 4 shards is empty'
        """
        mean = self.rows // self.shards
        even = f"the largest shard ({self.largest}) has {self.max_over_mean:.1f} times the mean of {mean:,} rows"
        if not self.empty:
            return even
        return f"{even}; {self.empty:,} of {self.shards:,} shards {'is' if self.empty == 1 else 'are'} empty"


@dataclass(frozen=True, slots=True)
class DominantKey:
    """A key with more rows than any rule on it can balance.

    columns : the rule's
    text : the key for people, values joined by ", "
    share : of the dataset's rows that have it, 0 to 1; too low by a thousandth of the largest shard at most
    """

    columns: tuple[str, ...]
    text: str
    share: float

    def sentence(self, shards: int) -> str:
        """Return the warning.

        >>> DominantKey(("carrier",), "'UA'", 0.612).sentence(12)
        "carrier 'UA' has 61 % of the rows: no rule on it can balance 12 shards"
        """
        percent = f"{self.share:.0%}" if self.share >= 0.1 else f"{self.share:.1%}"
        key = f"{', '.join(self.columns)} {self.text}"
        return f"{key} has {percent[:-1]} % of the rows: no rule on it can balance {shards:,} shards"


def measure_skew(rows: Sequence[int]) -> Skew:
    """Return how unevenly `rows` (or bytes), one number a shard, lie over one shard or more."""
    total, most = sum(rows), max(rows)
    ratio = most * len(rows) / total if total else 1.0
    return Skew(ratio, rows.index(most), sum(not count for count in rows), len(rows), total)


def find_dominant_key(batches: Iterable[Any], columns: Sequence[str], skew: Skew) -> DominantKey | None:
    """Return the key with most of the dataset's rows, or with over TIMES_FAIR times a fair shard's; None if there is none.

    Parameters
    ----------
    batches : the rows of shard `skew.largest` (pyarrow.RecordBatch or Table), with at least `columns`
    columns : those on which the rule depends; a rule without any has no such key
    skew : of the dataset's rows
    """
    if not columns:
        return None
    summary: dict[int, tuple[int, str]] = {}
    for batch in batches:
        summary = _merge(summary, _count(batch, columns))
    if not summary:
        return None
    count, text = max(summary.values())
    if 2 * count > skew.rows or count * skew.shards > TIMES_FAIR * skew.rows:
        return DominantKey(tuple(columns), text, count / skew.rows)
    return None


def _count(batch: Any, columns: Sequence[str]) -> dict[int, tuple[int, str]]:
    """Return hash -> (rows, text) of the keys of one batch that the summary could keep."""
    keys = [batch.column(name) for name in columns]
    hashes, first, counts = np.unique(hash_columns(keys), return_index=True, return_counts=True)
    kept = np.argsort(-counts, kind="stable")[: CANDIDATES_MAX + 1]
    least = int(counts[kept[-1]]) if len(kept) > CANDIDATES_MAX else 0
    kept = kept[counts[kept] > least]
    rows = pa.array(first[kept])
    texts = [", ".join(map(_text, values)) for values in zip(*(key.take(rows).to_pylist() for key in keys), strict=True)]
    reduced = (counts[kept] - least).tolist()
    return {word: (count, text) for word, count, text in zip(hashes[kept].tolist(), reduced, texts, strict=True)}


def _merge(left: dict[int, tuple[int, str]], right: dict[int, tuple[int, str]]) -> dict[int, tuple[int, str]]:
    """Add two summaries; what more than CANDIDATES_MAX keys have in common is taken off all of them."""
    merged = dict(left)
    for word, (count, text) in right.items():
        merged[word] = (merged[word][0] + count, text) if word in merged else (count, text)
    if len(merged) <= CANDIDATES_MAX:
        return merged
    least = sorted((count for count, _ in merged.values()), reverse=True)[CANDIDATES_MAX]
    return {word: (count - least, text) for word, (count, text) in merged.items() if count > least}


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "missing"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= TEXT_CHARACTERS_MAX else text[: TEXT_CHARACTERS_MAX - 1] + "…"
