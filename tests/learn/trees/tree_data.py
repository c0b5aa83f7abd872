"""Rows for the tests of trees: numbers, text, missing values, weights; and a way to run a program's rounds as a cluster may."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa

import muskox as mx
from muskox.digest import digest
from muskox.program import ArrayPartition, Done
from muskox.records import pack, unpack
from muskox.tree import reduce, root


def mixed_table(rows: int = 900, seed: int = 0) -> pa.Table:
    """Return rows with `city` deciding the class of half of them, numbers that of the others, and holes in both."""
    draw = np.random.default_rng(seed)
    x, z = draw.normal(size=rows), draw.integers(0, 5, size=rows)
    cities = np.array(["Rome", "Oslo", "Bern", "Kyiv"])[draw.integers(0, 4, size=rows)]
    score = np.where(cities == "Rome", 2.0, np.where(cities == "Kyiv", -2.0, 0.0)) + 1.5 * x + (z == 3) + draw.normal(size=rows)
    holes = draw.random((2, rows)) < 0.1
    return pa.table(
        {
            "x": pa.array(x, mask=holes[0]),
            "z": z,
            "city": pa.array(cities.tolist(), mask=holes[1]),
            "score": score,
            "class": np.array(["low", "middle", "high"])[np.digitize(score, [-1.0, 1.0])].tolist(),
            "positive": score > 0.0,
            "w": draw.integers(0, 4, size=rows).astype(float),
        }
    )


FEATURES = ["x", "z", "city"]


def run_scattered(
    program: Any, table: Any, shards: int, order: Callable[[int, int], Iterable[int]], *, adds_backwards: bool = False
) -> Any:
    """Return the result of `program`, every round of which looks at the shards in another order, its state travelling.

    order : from round and number of shards to the order in which they are computed
    adds_backwards : whether sums are taken from the last shard to the first, in rounds where nothing but sums are taken
    """
    state = unpack(pack(program.initial(mx.in_process_dataset(table, ArrayPartition(shards)).manifest)))
    kept = mx.in_process_dataset(table, ArrayPartition(shards))
    for round_ in range(10_000):
        fresh = mx.in_process_dataset(table, ArrayPartition(shards))  # of a worker that has never seen them
        found = {}
        for index in order(round_, shards):
            shard = (fresh if (index + round_) % 3 == 0 else kept).shards[index]
            found[index] = unpack(pack(program.partial(state, shard, shard.blocks)))
            again = program.partial(state, shard, shard.blocks)
            assert digest(again) == digest(found[index]), "asked twice, told twice"
        if adds_backwards and program.adds(state):
            total = functools.reduce(program.merge, [found[index] for index in reversed(range(shards))])
        else:
            total = reduce({(0, index): part for index, part in found.items()}, root(shards), shards, program.merge)
        after = program.update(state, total)
        if isinstance(after, Done):
            return after.result
        state = unpack(pack(after))
    raise AssertionError("it never ends")
