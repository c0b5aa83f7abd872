"""A real cluster of two nodes, started and ended by the command line, for the tests that need one."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from command_line import Muskox

ROWS = 6_000


@pytest.fixture(scope="session")
def table() -> Any:
    rng = np.random.default_rng(5)
    amount, city = rng.normal(2.0, 3.0, ROWS), rng.choice(["Oslo", "Rome"], ROWS)
    late = amount + 2.0 * (city == "Rome") + rng.normal(0.0, 2.0, ROWS) > 2.0
    holes = rng.random(ROWS) < 0.1
    return pa.table({"key": np.arange(ROWS), "amount": pa.array(amount, mask=holes), "city": city.tolist(), "late": late})


@pytest.fixture(scope="session")
def muskox(tmp_path_factory: pytest.TempPathFactory, table: Any) -> Iterator[Muskox]:
    yield from two_nodes(tmp_path_factory, table)


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory: pytest.TempPathFactory, table: Any) -> Iterator[Muskox]:
    """The same for one module alone: other modules add nodes to theirs."""
    yield from two_nodes(tmp_path_factory, table)


def two_nodes(tmp_path_factory: pytest.TempPathFactory, table: Any) -> Iterator[Muskox]:
    """A cluster with the dataset "rides" and the model "late"."""
    folder = tmp_path_factory.mktemp("cluster")
    muskox = Muskox(folder / "home")
    file = folder / "rides.csv"
    pyarrow.csv.write_csv(table, file)
    try:
        assert "2 nodes run at zk://" in muskox.spawn("up", "--nodes", "2")[0]
        muskox.spawn("put", "rides", str(file), "--by", "hash:key", "--shards", "4")
        muskox.spawn("train", "logistic", "rides", "--target", "late", "--features", "amount,city", "--name", "late")
        yield muskox
    finally:
        muskox.spawn("down")
