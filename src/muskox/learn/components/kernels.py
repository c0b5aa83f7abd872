"""The inner loops of principal components: sums of outer products, and eigenvectors of symmetric matrices by Jacobi's method.

Every element is computed by the same operations in the same order on every CPU: no LAPACK, whose bits are those of its build. A
rotation's two rows are what the compiler vectorises.
"""

from typing import Any

import numpy as np

from muskox.learn.compiled import compiled


@compiled
def add_scatter(X: Any, weights: Any, out: Any) -> None:
    """Add the sum over rows of weight times x x', upper triangle, to `out`, shape (features, features).

    X has shape (rows, features); `weights` (rows,), or (0,) where every row counts once. Rows are added one after the other.
    """
    rows, features = X.shape
    whole = rows - rows % 4
    for row in range(0, whole, 4):
        for i in range(features):
            a, b, c, d = X[row, i], X[row + 1, i], X[row + 2, i], X[row + 3, i]
            if weights.size:
                a, b, c, d = a * weights[row], b * weights[row + 1], c * weights[row + 2], d * weights[row + 3]
            for j in range(i, features):
                out[i, j] = (((out[i, j] + a * X[row, j]) + b * X[row + 1, j]) + c * X[row + 2, j]) + d * X[row + 3, j]
    for row in range(whole, rows):
        for i in range(features):
            a = X[row, i] * weights[row] if weights.size else X[row, i]
            for j in range(i, features):
                out[i, j] += a * X[row, j]


@compiled
def rotate(matrix: Any, vectors: Any, sweeps_max: int) -> None:
    """Make a symmetric `matrix` diagonal by rotations, applied to the rows of `vectors` too, in `sweeps_max` sweeps at most.

    Cyclic Jacobi (Golub and Van Loan, "Matrix Computations", section 8.5): every sweep rotates each pair (p, q) once, in order,
    so that its element becomes 0, and ends when none is above what rounding leaves beside the diagonal.
    """
    size = matrix.shape[0]
    for _ in range(sweeps_max):
        rotated = 0
        for p in range(size - 1):
            for q in range(p + 1, size):
                beside = matrix[p, q]
                if abs(beside) <= 1e-17 * np.sqrt(abs(matrix[p, p])) * np.sqrt(abs(matrix[q, q])):
                    matrix[p, q] = matrix[q, p] = 0.0
                    continue
                rotated += 1
                half = 0.5 * (matrix[q, q] - matrix[p, p]) / beside
                tangent = 1.0 / (abs(half) + np.sqrt(half * half + 1.0)) if abs(half) < 1e150 else 0.5 / abs(half)
                tangent = -tangent if half < 0.0 else tangent
                cosine = 1.0 / np.sqrt(tangent * tangent + 1.0)
                sine = tangent * cosine
                for k in range(size):
                    a, b = matrix[p, k], matrix[q, k]
                    matrix[p, k] = cosine * a - sine * b
                    matrix[q, k] = sine * a + cosine * b
                for k in range(size):
                    a, b = matrix[k, p], matrix[k, q]
                    matrix[k, p] = cosine * a - sine * b
                    matrix[k, q] = sine * a + cosine * b
                for k in range(size):
                    a, b = vectors[p, k], vectors[q, k]
                    vectors[p, k] = cosine * a - sine * b
                    vectors[q, k] = sine * a + cosine * b
                matrix[p, q] = matrix[q, p] = 0.0
        if rotated == 0:
            return
