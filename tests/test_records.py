"""Records: what is packed comes back exactly, what cannot be packed is refused by name, garbage is a PeerError."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save

from muskox.digest import digest
from muskox.errors import CallerError, PeerError
from muskox.records import canonical_json, normal, pack, unpack

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
NAMES = st.text(st.characters(exclude_characters="/", exclude_categories=("Cs",)), max_size=8)
DTYPES = st.sampled_from([kind + size for kind in "<>" for size in ("i2", "i4", "i8", "u4", "u8", "f2", "f4", "f8")])
ARRAYS = hnp.arrays(
    DTYPES | st.sampled_from(["?", "i1", "u1"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON_VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
RECORDS = st.recursive(
    st.dictionaries(NAMES, ARRAYS | JSON_VALUES, max_size=4),
    lambda inner: st.dictionaries(NAMES, inner | ARRAYS | JSON_VALUES, max_size=3),
    max_leaves=6,
)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, np.ndarray):
        native = left.astype(left.dtype.newbyteorder("="), copy=False)
        right_matches = isinstance(right, np.ndarray) and right.dtype == native.dtype and right.shape == native.shape
        return right_matches and native.tobytes() == right.tobytes()
    return type(left) is type(right) and left == right


@given(RECORDS)
def test_a_record_comes_back_as_it_was(record: dict[str, Any]) -> None:
    back = unpack(pack(record))
    assert same(record, back)
    assert digest(back) == digest(record)


def test_the_memory_layout_does_not_show() -> None:
    grid = np.arange(12.0).reshape(3, 4)
    back = unpack(pack({"turned": grid.T, "every_second": grid[:, ::2]}))
    assert np.array_equal(back["turned"], grid.T) and np.array_equal(back["every_second"], grid[:, ::2])
    assert back["turned"].flags.c_contiguous


@given(st.binary(max_size=300))
def test_garbage_is_a_peer_error(data: bytes) -> None:
    with pytest.raises(PeerError, match="not a packed record"):
        unpack(data)


def headed(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header


@given(st.binary(max_size=120))
def test_a_header_of_garbage_is_a_peer_error(header: bytes) -> None:
    with pytest.raises(PeerError):
        unpack(headed(header))


@given(RECORDS, st.data())
def test_torn_bytes_are_a_peer_error(record: dict[str, Any], data: st.DataObject) -> None:
    whole = pack(record)
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(PeerError):
        unpack(whole[:length])


@pytest.mark.parametrize("flat", [{"a": 1, "a/b": 2}, {"a": "x", "a/b/c": None}])
def test_a_name_that_is_value_and_record_at_once_is_a_peer_error(flat: dict[str, Any]) -> None:
    with pytest.raises(PeerError, match="both a value and a record"):
        unpack(bytes(save({}, metadata={"json": json.dumps(flat)})))


@pytest.mark.parametrize(
    "header", [b"[]", b"{}", b'{"__metadata__": 3}', b'{"__metadata__": {}}', b'{"__metadata__": {"json": "{"}}']
)
def test_a_header_of_another_kind_is_a_peer_error(header: bytes) -> None:
    with pytest.raises(PeerError):
        unpack(headed(header))


def test_nothing_is_unpickled() -> None:
    import pickle

    with pytest.raises(PeerError):
        unpack(pickle.dumps({"a": 1}))


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        ({"a/b": 1}, "without '/', not 'a/b'"),
        ({"deep": {"a/b": 1}}, "without '/', not 'a/b'"),
        ({1: 2}, "the names in a record are text"),
        ({"x": np.array(["text"])}, "array 'x' has dtype <U4; a record holds bool, int and float arrays"),
        ({"x": np.array([None])}, "dtype object"),
        ({"x": np.array([1j])}, "dtype complex128"),
        ({"x": np.array([1], np.longdouble)}, "a record holds bool, int and float arrays"),
        ({"deep": {"x": float("nan")}}, "'deep/x' is nan: a record's plain numbers are finite"),
        ({"x": float("inf")}, "'x' is inf"),
        ({"x": np.float64("-inf")}, "'x' is -inf"),
        ({"x": {1, 2}}, "'x' is a set: a record holds arrays, numbers, text, lists and records"),
        ({"x": [[{1}]]}, "'x' is a set"),
        ({"x": [np.zeros(2)]}, "'x' is a list of arrays"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_record_is_refused_with_the_rule(record: dict[Any, Any], complaint: str) -> None:
    for refuse in (pack, normal):
        with pytest.raises(CallerError, match=complaint):
            refuse(record)


@given(RECORDS)
def test_a_normal_record_is_what_a_journey_makes_of_it(record: dict[str, Any]) -> None:
    assert same(normal(record), unpack(pack(record)))
    assert same(normal(normal(record)), normal(record))
    assert digest(normal(record)) == digest(record)


def test_numbers_of_numpy_and_tuples_become_plain() -> None:
    record = {"n": np.int64(3), "x": np.float32(0.5), "yes": np.bool_(True), "pair": (1, (2, np.int8(3))), "text": np.str_("ü")}
    assert normal(record) == unpack(pack(record)) == {"n": 3, "x": 0.5, "yes": True, "pair": [1, [2, 3]], "text": "ü"}
    assert type(normal(record)["n"]) is int and type(normal(record)["text"]) is str


def test_canonical_json_is_one_text() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "é"}) == '{"a":"é","b":[1,2.5]}'


@pytest.mark.parametrize("text", ["[1]", "1", "null", '"a"'])
def test_metadata_that_is_no_object_is_a_peer_error(text: str) -> None:
    from safetensors.numpy import save

    with pytest.raises(PeerError):
        unpack(bytes(save({}, metadata={"json": text})))
