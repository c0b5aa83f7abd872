"""Forests of single shards: every tree where its rows lie, and classes, categories and bins made common."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from tree_data import FEATURES, mixed_table

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn import ClassShardForest, RandomForestClassifier, RandomForestRegressor, load_model, load_predictor
from muskox.program import ArrayPartition, Done, Manifest, Shard, in_process
from muskox.records import pack, unpack
from muskox.task_list import Shards


def test_trees_are_spread_by_rows_and_none_is_lost() -> None:
    program = RandomForestClassifier(n_estimators=40, strategy="shards").program("y")
    assert isinstance(program, ClassShardForest)
    manifest = Manifest({"x": "float", "y": "int"}, (100, 0, 300, 600))
    tasks = program.tasks(manifest)
    trees = {shard: sum(task["trees"] for task in tasks if task["shard"] == shard) for shard in range(4)}
    assert trees == {0: 4, 1: 0, 2: 12, 3: 24}
    assert [task["first"] for task in tasks] == np.cumsum([0, *(task["trees"] for task in tasks)])[:-1].tolist()
    assert max(task["trees"] for task in tasks) <= 8


def test_it_is_nearly_as_good_as_one_that_sees_all_rows() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0, test_size=0.4)
    model = RandomForestClassifier(n_estimators=40, strategy="shards").fit(X, y, shards=3)
    assert model.score(X_test, y_test) > 0.9
    assert len(model.model_record_["trees"]["roots"]) == 40
    assert abs(model.feature_importances_.sum() - 1.0) < 1e-12


def test_on_one_shard_it_is_the_forest_of_all_rows() -> None:
    table = mixed_table(400)
    for kind, target in ((RandomForestClassifier, "class"), (RandomForestRegressor, "score")):
        ours, whole = (kind(n_estimators=9, strategy=each, features=FEATURES) for each in ("shards", "global"))
        ours.fit(table, target=target), whole.fit(table, target=target)
        rows = table.select(FEATURES).to_batches()[0]
        assert np.array_equal(ours.predict_batch(rows)["prediction"], whole.predict_batch(rows)["prediction"])


def test_a_shard_may_lack_classes_categories_and_values() -> None:
    rows = 60
    table = pa.table(
        {
            "x": pa.array([None] * rows + list(np.arange(rows) * 1.0) + list(np.arange(rows) * 1.0), type=pa.float64()),
            "city": ["Rome"] * rows + ["Oslo", "Bern"] * (rows // 2) + ["Bern", "Kyiv"] * (rows // 2),
            "y": ["a"] * rows + ["b", "c"] * (rows // 2) + ["c", "a"] * (rows // 2),
        }
    )
    model = RandomForestClassifier(n_estimators=30, strategy="shards", class_weight={"a": 1.0, "b": 1.0}).fit(
        table, target="y", shards=3
    )
    assert model.classes_.tolist() == ["a", "b", "c"]
    found = model.predict_proba(pa.table({"x": [5.0, 5.0, 5.0], "city": ["Oslo", "Kyiv", "Paris"]}))
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert found[0, 1] > 0.15 and found[1, 0] > 0.6
    again = load_model(unpack(pack(model.model_record_)))
    assert again.digest_ == model.digest_ and again.strategy == "shards"


def test_each_tree_says_what_it_said_on_its_own_shard() -> None:
    table = mixed_table(600)
    estimator = RandomForestRegressor(n_estimators=3, strategy="shards", features=FEATURES, max_depth=5)
    whole = estimator.fit(table, target="score", shards=3)
    rows = table.select(FEATURES).to_batches()[0]
    parts = []
    for index in range(3):
        listed = estimator.program("score")
        alone = listed.program
        program = replace(alone, n_estimators=1, first_tree=index)
        shard = in_process(table, ArrayPartition(3)).shards[index]
        state: Any = program.initial(Manifest(in_process(table, ArrayPartition(3)).manifest.columns, (shard.rows,)))
        while not isinstance(state, Done):
            state = program.update(state, program.partial(state, shard, shard.blocks))
        parts.append(load_predictor(state.result).values(rows))
    known = np.isin(np.array(rows["city"].to_pylist()), ["Rome", "Oslo", "Bern", "Kyiv"])
    np.testing.assert_allclose(whole.predict_batch(rows)["prediction"][known], np.mean(parts, axis=0)[known], rtol=1e-12)


def test_the_tasks_of_a_shard_learn_its_columns_and_bins_once() -> None:
    dataset: Any = in_process(mixed_table(300), ArrayPartition(1))
    estimator = RandomForestClassifier(n_estimators=8, strategy="shards", features=FEATURES)
    program = estimator.program("class")
    opened = 0

    def blocks() -> Any:
        nonlocal opened
        opened += 1  # a generator's: when the first block is asked for
        yield from dataset.shards[0].blocks

    def trees(first: int, shard: Shard) -> Any:
        shards = Shards(dataset.manifest, [0], lambda _: shard)
        return digest(program.run({"shard": 0, "first": first, "trees": 4}, shards))

    kept = Shard(0, 300, blocks)
    found = [trees(0, kept), trees(4, kept)]
    assert opened == 3, "the columns, the bins, the rows in bins"
    assert found == [trees(0, Shard(0, 300, blocks)), trees(4, Shard(0, 300, blocks))]


def test_what_cannot_be_is_refused() -> None:
    X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
    with pytest.raises(CallerError, match="oob_score"):
        RandomForestClassifier(strategy="shards", oob_score=True).fit(X, y)
    with pytest.raises(CallerError, match="strategy"):
        RandomForestClassifier(strategy="rows").fit(X, y)
    with pytest.raises(CallerError, match="class_weight names 7"):
        RandomForestClassifier(strategy="shards", class_weight={7: 1.0}).fit(X, y, shards=2)
    with pytest.raises(CallerError, match="one class"):
        RandomForestClassifier(strategy="shards").fit(X, [1, 1, 1, 1], shards=2)
