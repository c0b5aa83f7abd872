"""Lines: columns where they lie, as kernels take them."""

import copy
import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from muskox.learn.lines import Lines


def test_lines_are_what_they_are_of() -> None:
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    table = pa.table(dict(zip("abc", matrix, strict=True)))
    of_arrow = Lines.of_arrow([column.chunk(0).slice(1, 2) for column in table.columns], 2)
    assert of_arrow.matrix().tolist() == matrix[:, 1:3].tolist()
    of_matrix = Lines.of_matrix(matrix)
    assert of_matrix.matrix() is matrix
    assert (of_arrow.addresses - of_matrix.addresses).tolist() == [4, 4, 4]
    assert (of_matrix.nbytes, of_arrow.nbytes) == (48, 24)
    assert Lines.of_arrow([], 5).matrix().shape == (0, 5)


def test_lines_do_not_travel() -> None:
    """A copy would hold the addresses of what another holds."""
    for travel in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="addresses"):
            travel(Lines.of_matrix(np.zeros((2, 3))))


def test_mixed_columns_are_widened() -> None:
    lines = Lines.of_columns([pa.array([1.5, 2.5], pa.float32()), pa.array([0.1, 0.2])], 2)
    assert not lines.is_narrow
    assert lines.matrix().tolist() == [[1.5, 2.5], [0.1, 0.2]]


@pytest.mark.parametrize(
    "arrays",
    [
        [pa.array([1.0, 2.0])],
        [pa.array([1.0, 2.0, None])],
        [pa.array([1, 2, 3])],
        [pa.array([1.0, 2.0, 3.0]), pa.array([1.0, 2.0, 3.0], pa.float32())],
    ],
)
def test_a_kernel_is_never_led_beyond_an_array(arrays: list[Any]) -> None:
    with pytest.raises(ValueError, match="without nulls"):
        Lines.of_arrow(arrays, 3)


@pytest.mark.parametrize("matrix", [np.zeros((3, 4)).T, np.zeros((2, 2), np.int64), np.zeros(3)])
def test_a_matrix_that_lies_otherwise_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(ValueError, match="C-ordered"):
        Lines.of_matrix(matrix)
