"""A sample keeps values exactly, and the same rows in whatever order shards are merged."""

from functools import reduce
from itertools import permutations
from typing import Any

import numpy as np
import pyarrow as pa

from muskox.digest import digest
from muskox.evaluate import sample
from muskox.program import ArrayPartition, in_process
from muskox.records import Record, pack, unpack

COLUMNS = [("x", "float"), ("n", "int"), ("b", "bool"), ("t", "string")]
KINDS = [kind for _, kind in COLUMNS]


def rows(count: int) -> Any:
    rng = np.random.default_rng(2)
    holes = rng.random((4, count)) < 0.2
    return pa.table(
        {
            "x": pa.array(rng.normal(size=count), mask=holes[0]),
            "n": pa.array(rng.integers(-(2**60), 2**60, count), mask=holes[1]),
            "b": pa.array(rng.random(count) < 0.5, mask=holes[2]),
            "t": pa.array(rng.choice(["", "ž", "long text", "b"], count).tolist(), mask=holes[3]),
        }
    )


def drawn(table: Any, shards: int, rows_max: int) -> list[Record]:
    dataset = in_process(table, ArrayPartition(shards))
    parts = [sample.draw(shard, shard.blocks, COLUMNS, rows_max, 7, "test") for shard in dataset.shards]
    return [unpack(pack(part)) for part in parts]


def merged(parts: list[Record], rows_max: int) -> Record:
    return reduce(lambda left, right: sample.merge(left, right, KINDS, rows_max), parts)


def test_any_order_of_merging_keeps_the_same_rows() -> None:
    parts = drawn(rows(300), 4, 50)
    assert {len(part["lots"]) for part in parts} == {50}
    found = [merged(list(order), 50) for order in permutations(parts)]
    assert len({digest(each) for each in found}) == 1
    lots = np.sort(np.concatenate([part["lots"] for part in parts]))
    assert found[0]["lots"].tolist() == lots[:50].tolist()


def test_values_come_back_as_they_were() -> None:
    table = rows(200)
    whole = merged(drawn(table, 3, 1000), 1000)
    assert len(whole["lots"]) == 200
    found = pa.table(dict(zip([name for name, _ in COLUMNS], sample.arrays_of(whole, KINDS), strict=True)))
    assert found["x"].null_count == 0, "missing floats come back as NaN"
    told = [{**row, "x": None if np.isnan(row["x"]) else row["x"]} for row in found.to_pylist()]
    assert sorted(map(str, told)) == sorted(map(str, table.to_pylist()))


def test_no_rows_are_a_sample_of_none() -> None:
    whole = merged(drawn(rows(3), 8, 2), 2)
    assert len(whole["lots"]) == 2
    assert [len(array) for array in sample.arrays_of(merged(drawn(rows(3).slice(0, 0), 2, 2), 2), KINDS)] == [0] * 4
