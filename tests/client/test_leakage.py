"""check_leakage: keys and rows in both datasets are counted exactly, however they are cut, and told where they deceive."""

import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muskox as mx
from muskox.client import leakage
from muskox.digest import digest
from muskox.program import ArrayPartition, RunOptions, in_process, reference, resolve
from muskox.records import pack, unpack
from muskox.store import KeysProgram


def quietly(*data: Any, **given_: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.LeakageWarning)
        return mx.check_leakage(*data, **given_)


values = st.lists(st.integers(0, 30) | st.none(), min_size=1, max_size=40)


@settings(max_examples=40, deadline=None)
@given(values, values, st.integers(1, 4))
def test_keys_in_both_are_counted_exactly(left: list[Any], right: list[Any], shards: int) -> None:
    tables = [pa.table({"key": pa.array(side, pa.int64()), "x": np.arange(len(side))}) for side in (left, right)]
    datasets = [in_process(table, ArrayPartition(shards)) for table in tables]
    found = quietly(*datasets, key="key")["keys"]
    sides = [{value for value in side if value is not None} for side in (left, right)]
    assert (found["train"], found["test"], found["both"]) == (len(sides[0]), len(sides[1]), len(sides[0] & sides[1]))


def test_a_key_of_two_columns_is_both_of_them() -> None:
    train = pa.table({"a": [1, 1, 2, None], "b": ["x", "y", "x", "x"]})
    test = pa.table({"a": [2.0, 1.0, 1.0, None], "b": ["y", "y", "x", "x"]})
    found = quietly(train, test, key=["a", "b"])
    assert found["keys"] == {"columns": ["a", "b"], "train": 3, "test": 3, "both": 2}, "an int and a float are the same key"


def people(rows: int = 400) -> tuple[pa.Table, pa.Table]:
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "person": np.arange(rows) // 4,
            "x": rng.normal(size=rows),
            "after": np.arange(rows) % 2 + 0.1 * rng.random(rows),
            "sick": np.arange(rows) % 2 == 1,
        }
    )
    return table.slice(0, 300), table.slice(298)


def test_what_deceives_is_told_with_a_warning() -> None:
    train, test = people()
    with pytest.warns(mx.LeakageWarning) as told:
        found = mx.check_leakage(train, test, "sick", key="person")
    assert [str(each.message) for each in told] == found["warnings"] and len(found["warnings"]) == 3
    assert found["warnings"][0].startswith("2 of 102 distinct rows of the test lie in the training data, too")
    assert found["warnings"][1].startswith("1 of 26 values of 'person' in the test lie in the training data, too")
    assert "'after' (AUC 1.0000)" in found["warnings"][2]
    assert [each["name"] for each in found["suspects"]] == ["after"]
    assert found["share"] == 1.0 and found["rows"]["columns"] == ["person", "x", "after"]


def test_a_clean_cut_is_not_doubted() -> None:
    train, test = people()
    found = mx.check_leakage(train, test.slice(2), "sick", key="person", features=["x"])
    assert found["warnings"] == [] and found["keys"]["both"] == 0 and found["rows"]["both"] == 0


def test_rows_that_repeat_anyhow_are_not_doubted() -> None:
    table = pa.table({"colour": ["red", "blue"] * 50})
    found = mx.check_leakage(table, table)
    assert found["rows"]["both"] == 2 and found["warnings"] == []


def test_a_share_of_the_hashes_is_the_same_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leakage, "HASHES_MAX", 500)
    train, test = (pa.table({"key": np.arange(first, first + 2000)}) for first in (0, 1000))
    found = quietly(train, test, key="key")
    assert found["share"] == 0.25
    assert found["keys"]["both"] == pytest.approx(250, abs=60) and found["keys"]["train"] == pytest.approx(500, abs=80)
    assert found["warnings"]


def test_the_program_travels_by_name_and_any_cut_gives_the_same() -> None:
    train, _ = people()
    program = KeysProgram(("person", "x"))
    again = resolve(unpack(pack(reference(program))))
    found = [in_process(train, ArrayPartition(shards)).run(again, RunOptions()).result for shards in (1, 4, 7)]
    assert len({digest(each) for each in found}) == 1 and found[0]["rows"] == 300


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"key": "nobody"}, "no column 'nobody' to compare by: this dataset has person, x, after, sick"),
        ({"target": "ill"}, "no column 'ill' to predict"),
        ({"features": []}, "no column in common"),
    ],
)
def test_what_is_not_there_is_refused(given_: dict[str, Any], says: str) -> None:
    with pytest.raises(mx.CallerError, match=says):
        quietly(*people(), **given_)
