"""SparseColumns: what a training with sparse columns beside others knows of them: which they are, and how wide.

Round 1 looks at them as it looks at the others: the greatest index there is (exact, so any order will do) and the mean square
of the values, which tells a solver their curvature.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from muskox.errors import CallerError
from muskox.learn import inputs as rows
from muskox.learn.columns import Kind, require
from muskox.learn.encoder import Encoder
from muskox.learn.linear import sparse
from muskox.learn.parameters import require_count
from muskox.learn.training import PREPARE, TrainingProgram
from muskox.program import Block, Manifest, Shard
from muskox.records import Record

SPARSE = "sparse"


@dataclass(frozen=True, kw_only=True)
class SparseColumns(TrainingProgram):
    """A training that may have sparse columns.

    Parameters
    ----------
    sparse : text columns in svmlight's form ("3:1.5 17:2"; an index counts from 0)
    hashed : text columns of words, each counted at an index by its hash
    hash_features : how many indexes each of `hashed` has
    """

    sparse: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()
    hash_features: int = 1 << 18

    def __post_init__(self) -> None:
        require_count("hash_features", self.hash_features)
        if self.hash_features > sparse.WIDTH_MAX:
            raise CallerError(f"hash_features={self.hash_features}: it is at most {sparse.WIDTH_MAX}")

    @property
    def apart(self) -> tuple[str, ...]:
        """The sparse columns, of either kind."""
        return (*self.sparse, *self.hashed)

    def reads(self) -> list[str]:
        named = super().reads()
        return [*named, *(name for name in self.apart if name not in named)] if named else []

    def initial(self, manifest: Manifest) -> Record:
        require(manifest, self.apart, "sparse column")
        for name in self.apart:
            if Kind(manifest.columns[name]) is not Kind.STRING:
                raise CallerError(f"column {name!r} is {manifest.columns[name]}: a sparse or hashed column is text")
            if self.apart.count(name) > 1 or name in (self.inputs.target, self.inputs.weight, self.inputs.validation):
                raise CallerError(f"column {name!r} is sparse or hashed, and something else at once")
        state = super().initial(manifest)
        if self.apart:
            kinds = ["svmlight"] * len(self.sparse) + ["hashed"] * len(self.hashed)
            state[SPARSE] = {"names": list(self.apart), "kinds": kinds, "widths": [self.hash_features] * len(kinds)}
        return state

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        found = super().partial(state, shard, blocks)
        if state["phase"] == PREPARE and self.apart:
            seen = rows.blocks_seen(state["begun"]["validation"], shard, shard.blocks, is_held_out=False)
            found[SPARSE] = look(state[SPARSE], seen, shard.index)
        return found

    def merge(self, left: Record, right: Record) -> Record:
        merged = super().merge(left, right)
        if SPARSE in left:
            one, other = left[SPARSE], right[SPARSE]
            merged[SPARSE] = {
                "widths": np.maximum(one["widths"], other["widths"]),
                "squares": one["squares"] + other["squares"],
                "bad": np.where(one["bad"] >= 0, one["bad"], other["bad"]),
            }
        return merged

    def prepare(self, state: Record, total: Record) -> Record:
        prepared = super().prepare(state, total)
        if not self.apart:
            return prepared
        found = total[SPARSE]
        for name, shard in zip(self.apart, found["bad"], strict=True):
            if shard >= 0:
                raise CallerError(
                    f"column {name!r} is not of the form '3:1.5 17:2' (index:value, finite, from 0) in shard {shard}"
                )
        widths = [max(int(width), 1) for width in found["widths"]]
        squares = [float(square) / (prepared["rows"] * width) for square, width in zip(found["squares"], widths, strict=True)]
        return {**prepared, SPARSE: {**state[SPARSE], "widths": widths, "squares": squares}}


def look(columns: Record, blocks: Iterator[Block], shard: int) -> Record:
    """Return the width of each sparse column in a shard, the sum of its squares, the shard if it cannot be read (or -1)."""
    count = len(columns["names"])
    found: dict[str, Any] = {
        "widths": np.zeros(count, dtype=np.int64),
        "squares": np.zeros(count),
        "bad": np.full(count, -1, dtype=np.int64),
    }
    for block in blocks:
        for index, (name, kind) in enumerate(zip(columns["names"], columns["kinds"], strict=True)):
            part = sparse.read_column(name, kind, columns["widths"][index], block.batch)
            if part is None:
                found["bad"][index] = shard
            elif part.indexes.size:
                width = columns["widths"][index] if kind == "hashed" else int(part.indexes.max()) + 1
                found["widths"][index] = max(found["widths"][index], width)
                found["squares"][index] += np.add.reduce(part.values * part.values)
    return found


def width_of(prepared: Record) -> int:
    """Return how many features there are: the encoder's, then those of sparse columns."""
    extra = sum(prepared[SPARSE]["widths"]) if SPARSE in prepared else 0
    return Encoder(prepared["encoder"]).width + extra
