"""Eigenvalues and eigenvectors of a symmetric matrix, the same bits everywhere."""

import numpy as np

from muskox.learn.columns import Floats

SWEEPS_MAX = 60  # of Jacobi's method, which doubles its digits in each of the last ones: some 10 suffice
NOTHING = 4.0 * 2.0**-52  # times the size and the greatest eigenvalue: what rounding makes of an eigenvalue of 0


def eigen(symmetric: Floats) -> tuple[Floats, Floats]:
    """Return the eigenvalues of a symmetric positive semidefinite matrix, from the greatest, and the eigenvectors as rows.

    Of each vector the element of greatest size (the first of equals) is positive, as scikit-learn's ``svd_flip`` has it. What
    is 0 but for rounding is 0, and its vectors are a basis that depends on nothing but the space left over: :func:`completed`.
    """
    from muskox.learn.components.kernels import rotate

    matrix, vectors = np.array(symmetric, dtype=np.float64, order="C"), np.eye(len(symmetric))
    greatest = float(np.max(np.abs(matrix), initial=0.0))
    exponent = -int(np.frexp(greatest)[1]) if greatest > 0.0 else 0
    unit = float(np.ldexp(1.0, min(exponent, 1000)))  # a power of two loses no bit
    matrix *= unit
    rotate(matrix, vectors, SWEEPS_MAX)
    values = np.diagonal(matrix)
    order = np.argsort(-values, kind="stable")
    values = values[order]
    rank = int(np.count_nonzero(values > len(values) * NOTHING * values[0])) if len(values) else 0
    vectors = completed(vectors[order[:rank]])
    places = np.argmax(np.abs(vectors), axis=1)
    signs = np.where(vectors[np.arange(len(vectors)), places] < 0.0, -1.0, 1.0)
    return np.append(values[:rank], np.zeros(len(values) - rank)) / unit, vectors * signs[:, None]


def completed(vectors: Floats) -> Floats:
    """Return orthonormal `vectors` (rows) and others that complete them: what is left of the axes, one after the other.

    An axis is taken if at least half as much is left of it as of any, the first such: small changes of `vectors` change little.
    """
    rank, size = vectors.shape
    if rank == size:
        return vectors
    left = np.eye(size) - np.einsum("ki,kj->ij", vectors, vectors, optimize=False)
    added = np.empty((size - rank, size))
    for index in range(size - rank):
        lengths = np.diagonal(left)
        axis = int(np.argmax(lengths >= 0.5 * np.max(lengths)))
        vector = left[axis] / np.sqrt(left[axis, axis])
        added[index] = vector
        left = left - vector[:, None] * vector[None, :]
    return np.concatenate([vectors, added])
