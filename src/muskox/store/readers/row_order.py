"""In which order a stream takes the shards of a dataset and the rows of each: the same every time, from any row on. Pure.

It owns how shards are shared out among those who read side by side, and how a seed shuffles: the order of the shards, and the
rows within windows of a shard. Each window is shuffled by a named stream of its own, so a stream can be taken up at any row
without drawing what came before. It must never know where rows come from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from muskox.streams import stream


@dataclass(frozen=True, slots=True)
class Start:
    """Read `shard` from row `first_row` of it on, and leave out the first `skip` rows of what comes of it."""

    shard: int
    first_row: int
    skip: int


@dataclass(frozen=True, slots=True)
class RowOrder:
    """The order of one reader's rows in one epoch.

    shards : (shard, its rows), as they are taken
    seed : shuffles the rows of each window; None leaves them in their order
    window_rows : rows that are shuffled among each other; the last window of a shard may have fewer
    """

    shards: tuple[tuple[int, int], ...]
    seed: int | None
    epoch: int
    window_rows: int

    @property
    def rows(self) -> int:
        return sum(rows for _, rows in self.shards)

    def after(self, done: int) -> Iterator[Start]:
        """Yield where to read, shard by shard, for the rows that come after the first `done`."""
        for shard, rows in self.shards:
            if done < rows:
                skip = 0 if self.seed is None else done % self.window_rows
                yield Start(shard, done - skip, skip)
            done = max(0, done - rows)

    def shuffled(self, shard: int, window: int, rows: int) -> Any:
        """Return the order of the `rows` rows of a window, as positions in it (numpy int64)."""
        if self.seed is None:
            return np.arange(rows)
        return stream(self.seed, f"rows of window {window}", shard, self.epoch).permutation(rows)


def share(shards: Sequence[int], seed: int | None, epoch: int, reader: int, readers: int) -> list[int]:
    """Return the shards that fall to `reader` of `readers`, in the order in which it takes them: every shard to one of them.

    Examples
    --------
    >>> share([0, 1, 2, 3, 4], None, 0, 1, 2)
    [1, 3]
    """
    order = range(len(shards)) if seed is None else stream(seed, "order of shards", 0, epoch).permutation(len(shards))
    return [shards[int(position)] for position in order][reader::readers]
