"""Fold: every row lies in one fold, whatever the engine; the program sees nothing of what it is not to see."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from muskox.digest import digest
from muskox.engines import in_process_dataset
from muskox.errors import CallerError
from muskox.fold import Fold
from muskox.learn import LogisticRegression
from muskox.program import BLOCK_ROWS, ArrayPartition, Block, Done, Manifest, RunOptions, Shard, reference, resolve
from muskox.records import Record

ROWS = 2 * BLOCK_ROWS + 500


class Seen:
    """Return the numbers of the rows it sees, after a second look at them by way of the shard itself."""

    def initial(self, manifest: Manifest) -> Record:
        return {"rows": list(manifest.shard_rows)}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        numbers = [block["n"] for block in blocks]
        again = shard.cached("numbers", lambda: [block["n"] for block in shard.blocks])
        found = np.concatenate([np.zeros(0, np.int64), *numbers])
        assert found.tolist() == np.concatenate([np.zeros(0, np.int64), *again]).tolist()
        assert found.size == shard.rows == state["rows"][shard.index]
        return {"n": found}

    def merge(self, left: Record, right: Record) -> Record:
        return {"n": np.concatenate([left["n"], right["n"]])}

    def update(self, state: Record, total: Record) -> Record | Done:
        return Done({"n": total["n"]})


DATASET = in_process_dataset(pa.table({"n": np.arange(ROWS)}), ArrayPartition(2))


def seen(fold: Fold) -> set[int]:
    return set(DATASET.run(fold, RunOptions()).result["n"].tolist())


def test_every_row_is_held_out_once_and_seen_by_all_others() -> None:
    held_out = [seen(Fold(Seen(), fold, 3, is_held_out=True)) for fold in range(3)]
    assert set.union(*held_out) == set(range(ROWS))
    assert sum(map(len, held_out)) == ROWS
    assert all(abs(len(rows) - ROWS / 3) < ROWS / 30 for rows in held_out)
    for fold in range(3):
        assert seen(Fold(Seen(), fold, 3)) == set(range(ROWS)) - held_out[fold]


def test_another_seed_cuts_otherwise() -> None:
    assert seen(Fold(Seen(), 0, 2, seed=1)) != seen(Fold(Seen(), 0, 2, seed=2))


def test_a_fold_travels_by_name_and_trains_to_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    dataset = in_process_dataset(pa.table({"x": x, "label": x + rng.normal(size=500) > 0}), ArrayPartition(3))
    fold = Fold(LogisticRegression().program("label"), 1, 4, seed=5)
    again: Any = resolve(reference(fold))
    assert again == fold
    first, second = (dataset.run(program, RunOptions()).result for program in (fold, again))
    assert digest(first) == digest(second)
    assert fold.reads() == []


@pytest.mark.parametrize(("fold", "folds", "says"), [(0, 1, "folds=1"), (3, 3, "the last is 2"), (-1, 3, "fold=-1")])
def test_a_fold_that_cannot_be_is_refused(fold: int, folds: int, says: str) -> None:
    with pytest.raises(CallerError, match=says):
        Fold(Seen(), fold, folds)
