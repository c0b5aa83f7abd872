"""The curvature at the start against the Hessian it stands for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.digest import digest
from muskox.learn.linear import curvature, lbfgs
from muskox.records import pack, unpack


def dense(bent: dict[str, np.ndarray], size: int) -> np.ndarray:
    """Return the inverse that `divide` applies, column by column."""
    return np.stack([curvature.divide(row, bent) for row in np.eye(size)], axis=1)


def test_one_categorical_column_is_inverted_exactly() -> None:
    shares, bend = np.array([0.7, 0.2, 0.0999, 0.0001]), 0.2
    penalty = np.array([1e-6] * 4 + [0.0])
    bent = curvature.of_features(bend, shares, shares, [4], penalty)
    hessian = np.zeros((5, 5))
    hessian[:4, :4] = bend * np.diag(shares)
    hessian[4, :4] = hessian[:4, 4] = bend * shares
    hessian[4, 4] = bend
    hessian += np.diag(penalty)
    np.testing.assert_allclose(dense(bent, 5) @ hessian, np.eye(5), atol=1e-6)
    np.testing.assert_allclose(hessian @ curvature.divide(np.arange(5.0), bent), np.arange(5.0), atol=1e-6)


@given(st.lists(st.lists(st.integers(1, 1000), min_size=1, max_size=6), max_size=3), st.integers(0, 3))
def test_it_is_symmetric_and_positive(counts: list[list[int]], numeric: int) -> None:
    shares = np.array([count / sum(column) for column in counts for count in column])
    moments, means = np.append(np.ones(numeric), shares), np.append(np.zeros(numeric), shares)
    penalty = np.append(np.full(moments.size, 1e-3), 0.0)
    bent = curvature.of_features(0.25, moments, means, [len(column) for column in counts], penalty)
    inverse = dense(bent, moments.size + 1)
    np.testing.assert_allclose(inverse, inverse.T, rtol=1e-9, atol=1e-9)
    assert np.linalg.eigvalsh((inverse + inverse.T) / 2).min() > 0
    assert digest(unpack(pack(bent))) == digest(bent)


def test_a_diagonal_divides_each_component() -> None:
    assert curvature.divide(np.array([2.0, 9.0]), curvature.diagonal(np.array([2.0, 3.0]))).tolist() == [1.0, 3.0]


@pytest.mark.parametrize("shares", [[1.0], [0.5, 0.5], [0.9, 0.1]])
def test_a_quadratic_of_exactly_this_curvature_takes_one_step(shares: list[float]) -> None:
    f = np.array(shares)
    bent = curvature.of_features(0.25, f, f, [f.size], np.append(np.full(f.size, 1e-4), 0.0))
    hessian = np.linalg.inv(dense(bent, f.size + 1))
    optimum = np.arange(1.0, f.size + 2)
    state, evaluations = lbfgs.start(np.zeros(f.size + 1), bent), 0
    while state["status"] == lbfgs.RUNNING:
        away = state["point"] - optimum
        state = lbfgs.advance(state, 0.5 * float(away @ hessian @ away), hessian @ away, 1e-6)
        evaluations += 1
    assert (state["status"], evaluations) == (lbfgs.CONVERGED, 2)
