"""The census: rows by shard in their order, and what is wrong with rows that a model should go on from."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from muskox.errors import CallerError
from muskox.learn.sgd import census


def counted(rows: int, wrong: str | None = None) -> dict:
    return {"census": True, "rows": np.array([rows]), "weight": np.array([2.0 * rows]), "length": np.ones(1), "wrong": wrong}


def test_the_rows_of_shards_stay_apart_in_any_tree() -> None:
    a, b, c = counted(3), counted(0), counted(5)
    left, right = census.merge(census.merge(a, b), c), census.merge(a, census.merge(b, c))
    for total in (left, right):
        assert_array_equal(total["rows"], [3, 0, 5])
        assert total["weight"][0] == 16.0


def test_the_first_fault_is_told_and_no_rows_are_one() -> None:
    total = census.merge(census.merge(counted(1), counted(1, "shard 1 is odd")), counted(1, "shard 2 is, too"))
    with pytest.raises(CallerError, match="shard 1 is odd"):
        census.checked(total)
    with pytest.raises(CallerError, match="no rows to learn from"):
        census.checked(counted(0))


def test_classes_named_first_join_those_that_were_seen() -> None:
    found = {"statistics": {"values": [["x"], ["b"]], "counts": [[1], [7]]}}
    told = census.with_classes(found, ["c", "a", "b"])["statistics"]
    assert (told["values"][-1], told["counts"][-1]) == (["a", "b", "c"], [0, 7, 0])
    assert found["statistics"]["values"][-1] == ["b"], "what was given stays as it was"
    with pytest.raises(CallerError, match="holds 'b', which is not among classes"):
        census.with_classes(found, ["a", "c"])
