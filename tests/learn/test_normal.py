"""Normal equations: solutions beside NumPy's, with columns that depend on others."""

import numpy as np
import pytest

from muskox.learn.linear import kernels, normal
from muskox.learn.lines import Lines


def lower_of(X: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    Z = np.column_stack([X, np.ones(len(X)), y])
    return np.tril(Z.T @ (Z * weights[:, None]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 7, 1000, 3000])
def test_products_are_those_of_the_standardised_columns(rows: int, dtype: type) -> None:
    rng = np.random.default_rng(rows)
    numbers, y, weights = rng.normal(2.0, 3.0, (5, rows)).astype(dtype), rng.normal(size=rows), rng.uniform(0.5, 2.0, rows)
    mean, scale, found = rng.normal(size=5), rng.uniform(1.0, 2.0, 5), np.zeros((7, 7))
    kernels.add_products(*Lines.of_matrix(numbers).where, mean, scale, y, weights, found)
    X = ((numbers.astype(np.float64) - mean[:, None]) / scale[:, None]).T
    np.testing.assert_allclose(found, lower_of(X, y, weights), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_a_solution_is_numpys(alpha: float) -> None:
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(50, 6)), rng.normal(size=50)
    point, loss = normal.solve(lower_of(X, y, np.ones(50)), 50.0, np.full(6, alpha), np.ones(6))
    A = np.column_stack([X, np.ones(50)])
    expected = np.linalg.solve(A.T @ A / 50 + np.diag([alpha] * 6 + [0.0]), A.T @ y / 50)
    np.testing.assert_allclose(point, expected, rtol=1e-10, atol=1e-12)
    best = np.mean((A @ expected - y) ** 2) / 2 + alpha * np.sum(expected[:-1] ** 2) / 2
    np.testing.assert_allclose(loss, best, rtol=1e-12)


def test_of_many_solutions_the_one_of_the_least_norm_is_taken() -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(40, 3))
    X = np.column_stack([X, X[:, 0], X[:, 1] - 2.0 * X[:, 2], np.zeros(40), np.full(40, 3.0)])
    y = rng.normal(size=40)
    centred = X - X.mean(axis=0)
    point, _ = normal.solve(lower_of(centred, y, np.ones(40)), 40.0, np.zeros(7), np.ones(7))
    np.testing.assert_allclose(point[:-1], np.linalg.lstsq(centred, y - y.mean(), rcond=None)[0], atol=1e-10)
