"""Gradient descent for least squares: the known line, on any number of partitions."""

import numpy as np
import pyarrow as pa
import pytest

from muskox.errors import CallerError
from muskox.learn import LeastSquaresDescent, distributed_gradient_descent
from muskox.program import ArrayPartition, RunOptions, in_process, reference, resolve
from muskox.records import pack, unpack

RNG = np.random.default_rng(3)
X = np.column_stack([RNG.normal(size=(300, 2)), np.ones(300)])
WEIGHTS = np.array([1.5, -2.0, 0.25])


@pytest.mark.parametrize("partitions", [1, 2, 3, 7])
def test_the_weights_that_made_the_data_are_found(partitions: int) -> None:
    found = distributed_gradient_descent(X, X @ WEIGHTS, partitions, 0.3)
    np.testing.assert_allclose(found, WEIGHTS, rtol=1e-8)


def test_noisy_data_give_the_least_squares_solution() -> None:
    y = X @ WEIGHTS + RNG.normal(size=300)
    np.testing.assert_allclose(distributed_gradient_descent(X, y, 4, 0.3), np.linalg.lstsq(X, y)[0], rtol=1e-7)


def test_the_program_travels_by_name_and_leaves_rounds_and_loss() -> None:
    program = LeastSquaresDescent("y", 0.3)
    assert resolve(unpack(pack(reference(program)))) == program
    table = pa.table({"a": X[:, 0], "y": X[:, 0] * 2})
    reports = []
    result = in_process(table, ArrayPartition(2)).run(program, RunOptions(on_round=reports.append)).result
    assert result["rounds"] == len(reports)
    assert result["loss"] < 1e-15
    assert reports[0].metrics["loss"] > reports[-1].metrics["loss"]


@pytest.mark.parametrize(
    ("rate", "data", "says"),
    [
        (5.0, X, "learning_rate=5 is too large"),
        (0.1, np.full((300, 1), np.inf), "X is not finite"),
        (0.1, np.zeros((0, 1)), "no rows"),
    ],
)
def test_what_cannot_converge_is_refused(rate: float, data: np.ndarray, says: str) -> None:
    with np.errstate(all="ignore"), pytest.raises(CallerError, match=says):
        distributed_gradient_descent(data, np.ones(len(data)), 2, rate)


def test_an_unknown_target_lists_the_columns() -> None:
    with pytest.raises(CallerError, match="no column 'z' to use as target: this dataset has a"):
        in_process(pa.table({"a": [1.0]}), ArrayPartition()).run(LeastSquaresDescent("z", 0.1), RunOptions())


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"a": ["x"], "y": [1.0]}, "column 'a' is string: least squares needs numbers"),
        ({"y": [1.0]}, "no column beside the target 'y'"),
    ],
)
def test_columns_that_are_no_numbers_are_refused_by_name(columns: dict[str, list[object]], says: str) -> None:
    with pytest.raises(CallerError, match=says):
        in_process(pa.table(columns), ArrayPartition()).run(LeastSquaresDescent("y", 0.1), RunOptions())
