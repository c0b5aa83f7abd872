"""The objective over encoded blocks against its formula, and the tricks in it at their limits."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from learning_data import mixed_table

from muskox.learn import Encoder
from muskox.learn.inputs import Inputs, Target, begin, look, prepare
from muskox.learn.linear.encoded import GROUP_CODES_MAX, encode_shard, groups_of
from muskox.learn.linear.losses import LOGISTIC
from muskox.learn.linear.objective import objective_sums
from muskox.program import BLOCK_ROWS, ArrayPartition, in_process


def prepared_of(table: pa.Table, **given: Any) -> dict[str, Any]:
    """Return what a training's first round tells of `table`."""
    inputs = Inputs(target="late", **given)
    dataset = in_process(table, ArrayPartition())
    begun = begin(dataset.manifest, inputs, Target.CLASSES)
    shard = dataset.shards[0]  # type: ignore[attr-defined]
    return prepare(begun, look(begun, shard, shard.blocks), inputs)


def expected(X: np.ndarray, y: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    margin = X @ coefficients[:-1] + coefficients[-1]
    residual = 1.0 / (1.0 + np.exp(-margin)) - y
    loss = np.logaddexp(0.0, np.where(y, -margin, margin)).sum()
    return np.concatenate([X.T @ residual, [residual.sum(), loss]])


@pytest.mark.parametrize("features", [None, ["amount"], ["city", "member"], ["amount", "month"]])
@pytest.mark.parametrize("rows", [1, 31, 1000, BLOCK_ROWS + 5])
def test_sums_are_those_of_the_formula(features: list[str] | None, rows: int) -> None:
    table = mixed_table(BLOCK_ROWS + 5)
    given = {"features": None if features is None else tuple(features), "categorical": () if features else ("month",)}
    prepared = prepared_of(table, **given)
    encoder = Encoder(prepared["encoder"])
    table = table.slice(0, rows)
    shard = in_process(table, ArrayPartition()).shards[0]  # type: ignore[attr-defined]
    coefficients = np.random.default_rng(2).normal(size=encoder.width + 1)
    encoded = encode_shard(prepared, shard, shard.blocks)
    sums = objective_sums(encoded, coefficients[None], LOGISTIC)
    want = expected(encoder.transform(table), table.column("late").to_numpy(), coefficients)
    assert sums[-1] == sums[-2]
    np.testing.assert_allclose(sums[:-1], want, rtol=1e-11, atol=1e-10)
    assert sum(block.rows for block in encoded.blocks) == rows


def test_groups_share_codes_up_to_their_bound_and_cover_every_column() -> None:
    columns = {f"c{width}": [f"{i % width}" for i in range(900)] for width in (300, 100, 40, 12, 7, 3, 2)}
    encoder = Encoder.fit(pa.table(columns))
    groups = groups_of(encoder)
    assert sorted(index for group in groups for index in group.columns) == list(range(7))
    assert all(math.prod(group.widths) <= GROUP_CODES_MAX for group in groups)
    assert len(groups) < 7
    assert len(groups_of(encoder, codes_max=0)) == 7


def test_a_column_wider_than_the_bound_has_a_group_of_its_own() -> None:
    rows = GROUP_CODES_MAX + 10
    encoder = Encoder.fit(pa.table({"id": [str(i) for i in range(rows)], "c": ["a"] * rows}), categories_max=rows)
    assert [group.columns for group in groups_of(encoder)] == [(0,), (1,)]


@pytest.mark.parametrize("columns", [["city"], ["colour", "city"], ["city", "colour", "size"]])
def test_held_out_categories_that_training_never_saw_add_nothing(columns: list[str]) -> None:
    rng = np.random.default_rng(7)
    held_out = np.arange(800) % 4 == 0
    weights = np.where(np.arange(800) % 5 == 0, 0.0, 1.0)
    unseen = held_out | (weights == 0.0)
    values = {name: np.where(unseen, rng.choice(["a", "c", "new"], 800), rng.choice(["a", "c"], 800)) for name in columns}
    late = rng.random(800) < 0.5
    table = pa.table({**values, "late": late, "weight": weights, "mark": held_out})
    prepared = prepared_of(table, features=tuple(columns), weight="weight", validation="mark")
    encoder = Encoder(prepared["encoder"])
    assert encoder.widths == [2] * len(columns)
    shard = in_process(table, ArrayPartition()).shards[0]  # type: ignore[attr-defined]
    coefficients = rng.normal(size=encoder.width + 1)
    X = encoder.transform(table)
    for is_held_out in (False, True):
        encoded = encode_shard(prepared, shard, shard.blocks, is_held_out=is_held_out)
        assert len(encoded.groups) == 1
        rows = (held_out == is_held_out) & (weights > 0.0)
        want = expected(X[rows], late[rows], coefficients)
        sums = objective_sums(encoded, coefficients[None], LOGISTIC)
        np.testing.assert_allclose(sums[:-1], want, rtol=1e-11, atol=1e-10)
        codes = encoded.groups[0].apart(encoded.blocks[0].codes[0])
        assert [int(code.max()) for code in codes] == [2 if is_held_out else 1] * len(columns)


def test_labels_of_text_and_int_targets_are_signs() -> None:
    for values in (["no", "yes", "no"], [3, 7, 3], [False, True, False]):
        table = pa.table({"x": [0.0, 1.0, 2.0], "late": values})
        shard = in_process(table, ArrayPartition()).shards[0]  # type: ignore[attr-defined]
        assert encode_shard(prepared_of(table), shard, shard.blocks).blocks[0].target.tolist() == [-1.0, 1.0, -1.0]


def test_numbers_that_float32_holds_are_kept_raw_and_give_the_same_sums() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(3.0, 2.0, (2, 700)).astype(np.float32).astype(np.float64)
    late = x[0] + rng.normal(size=700) > 3.0
    holed = x[1].copy()
    holed[13] = np.nan
    wide = x[0] + 1e-9
    far = x[0] + 2.0**14
    for column, is_raw in ((x[1], True), (holed, False), (wide, False), (far, False)):
        table = pa.table({"a": x[0], "b": column, "late": late})
        prepared = prepared_of(table)
        shard = in_process(table, ArrayPartition()).shards[0]  # type: ignore[attr-defined]
        encoded = encode_shard(prepared, shard, shard.blocks)
        assert encoded.blocks[0].is_raw == is_raw
        coefficients = np.array([0.7, -0.4, 0.2])
        X = Encoder(prepared["encoder"]).transform(table)
        want = expected(X, late, coefficients)
        np.testing.assert_allclose(objective_sums(encoded, coefficients[None], LOGISTIC)[:-1], want, rtol=1e-9, atol=1e-9)


def test_single_precision_is_not_copied_and_gives_the_same_bits() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(2, BLOCK_ROWS + 77)).astype(np.float32)
    late = x[0] > x[1]
    sums = []
    for kind in (np.float32, np.float64):
        table = pa.table({"a": x[0].astype(kind), "b": x[1].astype(kind), "late": late})
        shard = in_process(table, ArrayPartition()).shards[0]  # type: ignore[attr-defined]
        encoded = encode_shard(prepared_of(table), shard, shard.blocks)
        sums.append(objective_sums(encoded, np.array([[0.7, -0.4, 0.2]]), LOGISTIC).tolist())
        lent = int(table.column("b").chunk(0).buffers()[1].address) + BLOCK_ROWS * np.dtype(kind).itemsize
        assert (encoded.blocks[1].numbers.addresses[1] == lent) == (kind is np.float32)
    assert sums[0] == sums[1]
