"""Principal components: scikit-learn's contract and numbers, and an eigen-solver of our own."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from learning_data import mixed_table
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA as Peer
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from muskox.errors import CallerError
from muskox.learn import PCA, PCAProgram, load_model, load_predictor
from muskox.learn.components.eigen import eigen
from muskox.records import pack, unpack


@pytest.mark.filterwarnings("default")  # the checks warn of their own
@parametrize_with_checks([PCA()])
def test_it_passes_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_diabetes, load_digits])
@pytest.mark.parametrize("n_components", [None, 3, 0.9])
@pytest.mark.parametrize("whiten", [False, True])
def test_it_has_scikit_learns_numbers(load: Any, n_components: Any, whiten: bool) -> None:
    X, _ = load(return_X_y=True)
    if n_components is None and load is load_digits and whiten:
        n_components = 60  # three of its columns never vary: scikit-learn divides by their rounding
    ours = PCA(n_components, whiten=whiten).fit(X, shards=3)
    peer = Peer(n_components, whiten=whiten, svd_solver="full").fit(X)
    kept = slice(0, min(ours.n_components_, np.linalg.matrix_rank(X - X.mean(axis=0))))
    assert ours.n_components_ == peer.n_components_
    np.testing.assert_allclose(ours.explained_variance_, peer.explained_variance_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.explained_variance_ratio_, peer.explained_variance_ratio_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.mean_, peer.mean_, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(ours.components_[kept], peer.components_[kept], atol=1e-7)
    np.testing.assert_allclose(ours.noise_variance_, peer.noise_variance_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.singular_values_, peer.singular_values_, rtol=1e-6, atol=1e-6)
    scale = np.abs(peer.transform(X)[:, kept]).max()
    np.testing.assert_allclose(ours.transform(X)[:, kept], peer.transform(X)[:, kept], atol=1e-7 * scale)
    np.testing.assert_allclose(
        ours.inverse_transform(ours.transform(X)), peer.inverse_transform(peer.transform(X)), atol=1e-8 * X.max()
    )


def test_standardised_columns_are_those_of_a_scaler() -> None:
    X, _ = load_wine(return_X_y=True)
    ours = PCA(4, standardise=True).fit(X)
    peer = Peer(4, svd_solver="full").fit(StandardScaler().fit_transform(X))
    np.testing.assert_allclose(ours.components_, peer.components_, atol=1e-9)
    np.testing.assert_allclose(ours.transform(X), peer.transform(StandardScaler().fit_transform(X)), atol=1e-9)


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    X, _ = load_iris(return_X_y=True)
    weights = np.arange(len(X)) % 3
    ours, peer = PCA().fit(X, sample_weight=weights, shards=2), PCA().fit(np.repeat(X, weights, axis=0))
    np.testing.assert_allclose(ours.explained_variance_, peer.explained_variance_)
    np.testing.assert_allclose(ours.components_, peer.components_, atol=1e-9)
    np.testing.assert_allclose(ours.mean_, peer.mean_)


def test_columns_far_from_zero_lose_nothing() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 4)) * [4.0, 3.0, 2.0, 1.0]
    far = PCA().fit(X + 1e7, shards=3)
    np.testing.assert_allclose(far.explained_variance_, PCA().fit(X).explained_variance_, rtol=1e-6)


def test_tables_of_text_numbers_and_missing_values_have_components() -> None:
    table = mixed_table(500).drop_columns(["late"])
    model = PCA(3, standardise=True).fit(table, shards=4)
    encoded = model.encoder_.transform(table)
    peer = Peer(3, svd_solver="full").fit(encoded)
    np.testing.assert_allclose(model.components_, peer.components_, atol=1e-9)
    np.testing.assert_allclose(model.transform(table), peer.transform(encoded), atol=1e-9)
    assert model.get_feature_names_out().tolist() == ["component_0", "component_1", "component_2"]


def test_one_row_is_transformed_as_in_a_batch() -> None:
    X, _ = load_breast_cancer(return_X_y=True)
    model = PCA(5).fit(X)
    batch = pa.table({name: X[:, i] for i, name in enumerate(model.feature_names_in_)}).combine_chunks().to_batches()[0]
    whole = model.model_.transform_batch(batch)
    for row in range(0, 60, 7):
        assert model.model_.transform_batch(batch.slice(row, 1)).equals(whole.slice(row, 1))


def test_its_record_makes_the_same_model() -> None:
    X, _ = load_iris(return_X_y=True)
    model = PCA(0.9, whiten=True).fit(X, shards=2)
    again = load_model(unpack(pack(model.model_record_)))
    assert again.digest_ == model.digest_ == PCA(0.9, whiten=True).fit(X, shards=2).digest_
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    assert list(load_predictor(model.model_record_).outputs) == model.get_feature_names_out().tolist()
    program = model.program()
    assert PCAProgram.from_parameters(unpack(pack(program.parameters()))) == program


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"n_components": 0}, "n_components"),
        ({"n_components": 5}, "at most 4"),
        ({"n_components": 1.0}, "share of the variance"),
        ({"n_components": "mle"}, "n_components"),
        ({"whiten": 1}, "whiten"),
    ],
)
def test_what_cannot_be_is_refused_with_the_rule(parameters: dict[str, Any], words: str) -> None:
    X, _ = load_iris(return_X_y=True)
    with pytest.raises(CallerError, match=words):
        PCA(**parameters).fit(X)


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_eigenvectors_are_orthogonal_and_make_the_matrix_again(size: int) -> None:
    rng = np.random.default_rng(size)
    matrix = rng.normal(size=(size, size))
    matrix = matrix @ matrix.T
    values, vectors = eigen(matrix)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(size), atol=1e-13)
    np.testing.assert_allclose(vectors.T @ np.diag(values) @ vectors, matrix, atol=1e-12 * np.abs(matrix).max())
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix)[::-1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "matrix",
    [np.zeros((3, 3)), np.eye(4), np.ones((5, 5)), np.diag([1e-300, 1e300, 1.0]), np.array([[1.0, 1.0], [1.0, 1.0]]) * 1e-310],
    ids=["zeros", "identity", "ones", "wide", "denormal"],
)
def test_special_matrices_have_eigenvectors(matrix: Any) -> None:
    values, vectors = eigen(matrix)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(matrix)), atol=1e-13)
    assert np.all(np.isfinite(values)) and np.all(np.diff(values) <= 0.0)
    np.testing.assert_allclose(vectors.T @ (values[:, None] * vectors), matrix, atol=1e-13 * max(np.abs(matrix).max(), 1e-300))
