"""The digest is what a record is: not how its names are ordered, its arrays laid out, or its bytes swapped."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from muskox.digest import digest, outline
from muskox.errors import CallerError

GOLDEN = {"coef": np.array([0.5, -1.25]), "classes": [0, 1], "encoder": {"columns": ["a", "ü"], "mean": np.float32([[3]])}}


def test_a_golden_value() -> None:
    sha = hashlib.sha256()
    for head, body in (
        (b'["coef","<f8",[2]]', bytes.fromhex("000000000000e03f000000000000f4bf")),
        (b'["encoder/mean","<f4",[1,1]]', bytes.fromhex("00004040")),
    ):
        sha.update(len(head).to_bytes(8, "little") + head + body)
    sha.update('{"classes":[0,1],"encoder/columns":["a","ü"]}'.encode())
    assert digest(GOLDEN) == sha.hexdigest() == "7732140ce064b4319cb05d39678fa0eca539c359359352f2bcc67dcec2833ca9"


@given(st.permutations(list(GOLDEN)))
def test_the_order_of_names_does_not_count(order: list[str]) -> None:
    assert digest({name: GOLDEN[name] for name in order}) == digest(GOLDEN)


@given(hnp.arrays(st.sampled_from(["<i2", "<i8", "<f4", "<f8"]), hnp.array_shapes(min_dims=0, max_dims=3, max_side=5)))
def test_byte_order_and_memory_layout_do_not_count(array: Any) -> None:
    wanted = digest({"x": array})
    assert digest({"x": array.astype(array.dtype.newbyteorder(">"))}) == wanted
    assert digest({"x": array.copy(order="F")}) == wanted
    spaced = np.zeros((*array.shape, 2), array.dtype)
    spaced[..., 0] = array
    assert digest({"x": spaced[..., 0]}) == wanted


@pytest.mark.parametrize(
    "other",
    [
        {"x": np.array([1.0, 2.0], np.float32)},
        {"x": np.array([[1.0, 2.0]])},
        {"x": np.array([2.0, 1.0])},
        {"y": np.array([1.0, 2.0])},
        {"x": [1.0, 2.0]},
        {"x": np.array([1.0, 2.0]), "n": 0},
        {"x": np.array([1.0, np.nextafter(2.0, 3.0)])},
        {"in": {"x": np.array([1.0, 2.0])}},
        {},
    ],
)
def test_everything_else_counts(other: dict[str, Any]) -> None:
    assert digest(other) != digest({"x": np.array([1.0, 2.0])})


def test_the_sign_of_zero_counts() -> None:
    assert digest({"x": np.array([0.0])}) != digest({"x": np.array([-0.0])})


@pytest.mark.parametrize(
    "record", [{"x": float("nan")}, {"x": float("inf")}, {"x": {1}}, {"a/b": 1}, {"x": np.array(["text"])}], ids=str
)
def test_what_is_no_record_has_no_digest(record: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        digest(record)


def test_an_outline_is_json_that_tells_records_of_arrays_by_their_digest() -> None:
    model = {"coef": np.zeros(2), "encoder": {"mean": np.zeros(1)}}
    told = outline({"alpha": 0.5, "centres": np.zeros(2), "begin_with": model, "names": ["a"], "more": {"depth": 1}})
    assert json.loads(json.dumps(told)) == told
    assert told == {"alpha": 0.5, "begin_with": {"digest": digest(model)}, "names": ["a"], "more": {"depth": 1}}
