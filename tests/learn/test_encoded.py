"""The objective over encoded blocks against its formula, and the tricks in it at their limits."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning_data import mixed_table

from muskox.learn import Encoder
from muskox.learn.inputs import Inputs, Target, begin, look, prepare
from muskox.learn.linear.encoded import FACTORS, GROUP_CODES_MAX, encode_shard, groups_of, negative_log_sum, objective_sums
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
    sums = objective_sums(encoded, coefficients)
    want = expected(encoder.transform(table), table.column("late").to_numpy(), coefficients)
    np.testing.assert_allclose(sums, want, rtol=1e-11, atol=1e-10)
    assert sum(block.signs.size for block in encoded.blocks) == rows


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


@given(st.lists(st.floats(-800.0, 800.0), min_size=1, max_size=200))
def test_a_logarithm_for_many_rows_is_as_good_as_one_for_each(values: list[float]) -> None:
    margin = np.array(values)
    probability = np.ones(-(-margin.size // FACTORS) * FACTORS)
    probability[: margin.size] = np.where(
        margin > 0, 1 / (1 + np.exp(-np.abs(margin))), np.exp(np.minimum(margin, 0)) / (1 + np.exp(-np.abs(margin)))
    )
    np.testing.assert_allclose(negative_log_sum(probability, margin), np.logaddexp(0, -margin).sum(), rtol=1e-13, atol=1e-13)


def test_labels_of_text_and_int_targets_are_signs() -> None:
    for values in (["no", "yes", "no"], [3, 7, 3], [False, True, False]):
        table = pa.table({"x": [0.0, 1.0, 2.0], "late": values})
        shard = in_process(table, ArrayPartition()).shards[0]  # type: ignore[attr-defined]
        assert encode_shard(prepared_of(table), shard, shard.blocks).blocks[0].signs.tolist() == [-1.0, 1.0, -1.0]
