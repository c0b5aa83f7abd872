"""Cross-validation as one job: each fold's model and scores are those of training and scoring it by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import muskox as mx
from muskox.digest import digest
from muskox.evaluate import EvaluateProgram, FoldTrial
from muskox.fold import Fold
from muskox.program import ArrayPartition, Block, Done, RunOptions, Shard, in_process, is_portable, reference, resolve
from muskox.records import pack
from muskox.together import Together

PARTITION = ArrayPartition(4)


def some_rows(rows: int = 600) -> Any:
    rng = np.random.default_rng(1)
    x = rng.normal(size=rows)
    return pa.table({"x": x, "z": rng.normal(size=rows), "label": np.where(x + rng.normal(size=rows) > 0, "yes", "no")})


@pytest.mark.parametrize("at_once", [None, 2])
def test_every_fold_is_trained_on_the_others_and_scored_on_its_own_rows(at_once: int | None) -> None:
    estimator, table = mx.LogisticRegression(C=0.5), some_rows()
    found = mx.cross_validate(
        estimator, table, target="label", folds=3, seed=9, at_once=at_once, checks=False, partition=PARTITION
    )
    dataset = in_process(table, PARTITION)
    for fold, result in enumerate(found):
        model = dataset.run(Fold(estimator.program("label"), fold, 3, 9), RunOptions()).result
        scores = dataset.run(Fold(EvaluateProgram(model, "label"), fold, 3, 9, is_held_out=True), RunOptions()).result
        assert digest(result) == digest({"model": model, **scores})
        assert mx.LogisticRegression.from_record(result["model"]).score(table) > 0.6
    assert sum(result["rows"] for result in found) == table.num_rows
    assert all(result["auc"] > 0.7 for result in found)


def test_all_folds_travel_by_name() -> None:
    trial = FoldTrial(mx.LogisticRegression(features=["x"]).program("label"), "label", 0, 3)
    together = Together((trial,))
    assert is_portable(together) and resolve(reference(together)) == together
    assert together.reads() == ["label", "x"]


def test_a_cut_dataset_is_not_cut_again() -> None:
    with pytest.raises(mx.CallerError, match="was cut into shards when it was put"):
        dataset = in_process(some_rows(), PARTITION)
        mx.cross_validate(mx.LogisticRegression(), dataset, target="label", partition=PARTITION)


def test_a_fold_that_was_trained_keeps_no_encoded_rows_but_its_own() -> None:
    """Else `at_once` would bound nothing: each of many folds would leave the whole dataset behind, encoded."""

    forgotten: list[str] = []

    class Watched(Shard):
        def forget(self, key: str) -> None:
            forgotten.append(key)
            super().forget(key)

    trial = FoldTrial(mx.LogisticRegression(max_rounds=3).program("label"), "label", 1, 3, 9)
    table = some_rows()
    shard = Watched(0, table.num_rows, lambda: iter([Block(table.to_batches()[0])]))
    manifest = mx.Manifest({"x": "float", "z": "float", "label": "string"}, (table.num_rows,))
    state: Any = trial.initial(manifest)
    while not isinstance(state, Done):
        state = trial.update(state, trial.partial(state, shard, shard.blocks))
    assert forgotten == ["fold/9/3/1/False"] and shard.cached("fold/9/3/1/True", lambda: None) is not None
    assert shard.cached("fold/9/3/1/False", lambda: "made again") == "made again"
    later = replace(trial, fold=2, forgets=False, forgets_earlier=True)
    forgotten.clear()
    later.partial({"phase": "score", "state": {}, "model": state.result["model"]}, shard, shard.blocks)
    assert forgotten == ["fold/9/3/0/False", "fold/9/3/1/False"]


def test_without_ranks_what_a_shard_tells_of_a_fold_does_not_grow_with_its_rows() -> None:
    def sizes(*, is_ranked: bool) -> list[int]:
        told = []
        for rows in (600, 6000):
            table = some_rows(rows)
            trial = FoldTrial(mx.LogisticRegression(max_rounds=3).program("label"), "label", 1, 3, is_ranked=is_ranked)
            shard = Shard(0, rows, lambda table=table: iter([Block(table.to_batches()[0])]))
            state: Any = trial.initial(mx.Manifest({"x": "float", "z": "float", "label": "string"}, (rows,)))
            while not isinstance(state, Done):
                part = trial.partial(state, shard, shard.blocks)
                state = trial.update(state, part)
            told.append(len(pack(part)))
            assert (state.result["auc"] is not None) is is_ranked
        return told

    few, many = sizes(is_ranked=False)
    assert many - few < 10 and many < 1000
    few, many = sizes(is_ranked=True)
    assert many > 8 * few
