"""KeysProgram: the distinct values of one column or several, as sorted 64-bit hashes: what two datasets are compared by.

The hash is the store's (SplitMix64, the same everywhere): equal values have equal hashes also where one is an int and the other
a float. Of n distinct keys in one dataset and m in the other, n * m / 2**64 pairs are expected to agree by chance: of a hundred
million each, one in two thousand such comparisons counts a key too many.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from muskox.errors import CallerError
from muskox.program import Block, Done, Manifest, Program, Shard
from muskox.records import Array, Record
from muskox.store.partition.hashing import hash_columns

HASHES = 2**64


@dataclass(frozen=True, slots=True)
class KeysProgram:
    """Tell the distinct keys of a dataset; the result: "hashes" (uint64, sorted), "rows", "keyed" (rows whose key is whole).

    Parameters
    ----------
    columns : that make a key; a row where one of them is missing has none
    share : of all hashes, from the smallest, that is looked at: the same of any dataset
    needs_all : whether a key with a missing part is none; else a missing part is a value as any other
    """

    kind: ClassVar[str] = "keys"

    columns: tuple[str, ...]
    share: float = 1.0
    needs_all: bool = True

    def parameters(self) -> Record:
        return {"columns": list(self.columns), "share": self.share, "needs_all": self.needs_all}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        return cls(tuple(parameters["columns"]), float(parameters["share"]), bool(parameters["needs_all"]))

    def reads(self) -> list[str]:
        return list(self.columns)

    def initial(self, manifest: Manifest) -> Record:
        for name in self.columns:
            if name not in manifest.columns:
                raise CallerError(f"no column {name!r} to take as key: this dataset has {', '.join(manifest.columns)}")
        return {}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:  # noqa: ARG002  # the contract's
        parts, rows, keyed = [np.zeros(0, dtype=np.uint64)], 0, 0
        for block in blocks:
            found = [block.batch.column(block.batch.schema.get_field_index(name)) for name in self.columns]
            rows += block.rows
            hashes = hash_columns(found)
            if self.needs_all:
                hashes = hashes[whole(found)]
            keyed += hashes.size
            parts.append(self._looked_at(hashes))
        return {"hashes": np.unique(np.concatenate(parts)), "rows": rows, "keyed": keyed}

    def _looked_at(self, hashes: Array) -> Array:
        if self.share >= 1.0:
            return hashes
        kept: Array = hashes[hashes < np.uint64(self.share * HASHES)]
        return kept

    def merge(self, left: Record, right: Record) -> Record:
        hashes = np.unique(np.concatenate([left["hashes"], right["hashes"]]))
        return {"hashes": hashes, "rows": left["rows"] + right["rows"], "keyed": left["keyed"] + right["keyed"]}

    def update(self, state: Record, total: Record) -> Record | Done:  # noqa: ARG002  # the contract's
        return Done(total)


def whole(columns: list[pa.Array]) -> Array:
    """Return which rows have a value in each of `columns`; NaN is none."""
    there = [np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=bool) for column in columns]
    for column in columns:
        if pa.types.is_floating(column.type):
            there.append(~np.asarray(pc.is_nan(column).fill_null(True).to_numpy(zero_copy_only=False), dtype=bool))
    whole_rows: Array = np.logical_and.reduce(there)
    return whole_rows
