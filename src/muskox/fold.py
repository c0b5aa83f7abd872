"""Fold: a program that sees a part of the rows: those of one fold, or all others.

Which fold a row belongs to depends on the seed, its shard and its position there, and on nothing else; so every worker cuts
alike, and nothing is written down or moved.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from muskox.errors import CallerError
from muskox.program import Block, Done, Manifest, Program, Reports, Shard
from muskox.records import Record
from muskox.streams import stream
from muskox.together import adds_in, columns_read, reference_to, referred

FOLDS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Fold:
    """Run `program` on all rows but those of fold `fold` of `folds`; or, `is_held_out`, on those of that fold alone."""

    kind: ClassVar[str] = "fold"

    program: Program
    fold: int
    folds: int
    seed: int = 0
    is_held_out: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.folds <= FOLDS_MAX:
            raise CallerError(f"folds={self.folds}: there are 2 to {FOLDS_MAX}")
        if not 0 <= self.fold < self.folds:
            raise CallerError(f"fold={self.fold}: of {self.folds} folds the last is {self.folds - 1}")

    @property
    def programs(self) -> tuple[Program, ...]:
        return (self.program,)

    def parameters(self) -> Record:
        place = {"fold": self.fold, "folds": self.folds, "seed": self.seed, "is_held_out": self.is_held_out}
        return {"program": reference_to(self.program), **place}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        return cls(**{**parameters, "program": referred(parameters["program"])})

    def reads(self) -> list[str]:
        return columns_read(self.program)

    def initial(self, manifest: Manifest) -> Record:
        held_out = fold_rows(self.seed, self.folds, manifest.shard_rows)[self.fold]
        if self.is_held_out:
            return self.program.initial(Manifest(manifest.columns, held_out))
        rows = tuple(whole - held for whole, held in zip(manifest.shard_rows, held_out, strict=True))
        return self.program.initial(Manifest(manifest.columns, rows))

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        return self.program.partial(state, shard.cached(self._key, lambda: self._part(shard)), self._kept(shard, blocks))

    def forget(self, shard: Shard) -> None:
        """Let go of what was derived from the seen rows of a shard."""
        shard.forget(self._key)

    @property
    def _key(self) -> str:
        return f"fold/{self.seed}/{self.folds}/{self.fold}/{self.is_held_out}"

    def merge(self, left: Record, right: Record) -> Record:
        return self.program.merge(left, right)

    def update(self, state: Record, total: Record) -> Record | Done:
        return self.program.update(state, total)

    def adds(self, state: Record) -> bool:
        return adds_in(self.program, state)

    def report(self, state: Record) -> Mapping[str, float]:
        return self.program.report(state) if isinstance(self.program, Reports) else {}

    def seen(self, shard: int, rows: int) -> NDArray[np.bool_]:
        """Return which of the `rows` rows of a shard the program sees."""
        mask: NDArray[np.bool_] = (folds_of(self.seed, self.folds, shard, rows) == self.fold) == self.is_held_out
        return mask

    def _part(self, shard: Shard) -> Shard:
        """Return the seen rows as a shard, with a place of its own for what is derived from them."""
        rows = int(self.seen(shard.index, shard.rows).sum())
        return Shard(shard.index, rows, lambda: self._kept(shard, shard.blocks), shard.shelf)

    def _kept(self, shard: Shard, blocks: Iterator[Block]) -> Iterator[Block]:
        """Yield the seen rows of each block that has any."""
        import pyarrow as pa

        mask, first = self.seen(shard.index, shard.rows), 0
        for block in blocks:
            here = mask[first : first + block.rows]
            first += block.rows
            if here.any():
                yield Block(block.batch.filter(pa.array(here)))


def folds_of(seed: int, folds: int, shard: int, rows: int) -> NDArray[np.uint16]:
    """Return the fold of each row of a shard."""
    return stream(seed, "folds", shard).integers(folds, size=rows, dtype=np.uint16)


@lru_cache(maxsize=4)  # every fold of every program of a search asks for the same
def fold_rows(seed: int, folds: int, shard_rows: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return for each fold how many rows of each shard it has."""
    counted = [np.bincount(folds_of(seed, folds, shard, rows), minlength=folds) for shard, rows in enumerate(shard_rows)]
    return [tuple(int(counts[fold]) for counts in counted) for fold in range(folds)]
