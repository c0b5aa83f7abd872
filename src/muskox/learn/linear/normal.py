"""Normal equations: least squares of few columns in one pass, by a Cholesky factorisation of our own.

Columns that depend on others (a constant, a copy, all indicators of a column beside the intercept) are found by pivoting; of
the many solutions there are then, the one of the least norm over raw columns is taken, as scikit-learn does.
"""

import numpy as np
from numpy.typing import NDArray

from muskox.learn.columns import Floats
from muskox.learn.linear import kernels
from muskox.learn.linear.encoded import EncodedBlock, EncodedShard
from muskox.learn.linear.lbfgs import inner
from muskox.learn.lines import Lines

Indexes = NDArray[np.int64]

WIDTH_MAX = 256  # encoded features: a row then costs 33,000 products, as some 65 evaluations of the loss do
DEPENDENT = 1e-12  # of a column's square: what is left of it beside the columns before it


def products(shard: EncodedShard, width: int) -> Floats:
    """Return Z'WZ over the rows of a shard, its lower half; Z are the encoded features, ones, and the target."""
    total = np.zeros((width + 2, width + 2))
    for block in shard.blocks:
        is_mixed = bool(shard.groups) or block.sparse is not None
        is_scaled = is_mixed or not block.is_raw
        numbers = Lines.of_matrix(dense(shard, block, width)) if is_mixed else block.numbers
        mean, scale = (np.zeros(width), np.ones(width)) if is_scaled else (shard.mean, shard.scale)
        kernels.add_products(*numbers.where, mean, scale, block.target, block.weights, total)
    return total


def dense(shard: EncodedShard, block: EncodedBlock, width: int) -> Floats:
    """Return the standardised columns, the indicators and the sparse columns of a block, shape (width, rows)."""
    out = np.zeros((width, block.rows))
    numeric = shard.mean.size
    out[:numeric] = block.numbers.matrix()
    if block.is_raw:
        out[:numeric] = (out[:numeric] - shard.mean[:, None]) / shard.scale[:, None]
    rows = np.arange(block.rows)
    for group, shared in zip(shard.groups, block.codes, strict=True):
        for codes, start, breadth in zip(group.apart(shared), group.starts, group.widths, strict=True):
            seen = codes < breadth
            out[start + codes[seen], rows[seen]] = 1.0
    if block.sparse is not None:
        row_of = np.repeat(rows, np.diff(block.sparse.starts))
        np.add.at(out, (shard.dense_width + block.sparse.indexes, row_of), block.sparse.values)
    return out


def solve(lower: Floats, rows: float, penalty: Floats, norm: Floats) -> tuple[Floats, float]:
    """Return the point that minimises the penalised mean of (z - y)**2 / 2, the intercept last, and that minimum.

    Parameters
    ----------
    lower : what `products` told of all rows
    penalty : shape (width,): sum(penalty * w**2) / 2 is added
    norm : shape (width,): of many solutions that of the least sum(norm * w**2) is taken
    """
    whole = (lower + np.tril(lower, -1).T) / rows
    matrix, right, square = whole[:-1, :-1].copy(), whole[-1, :-1], float(whole[-1, -1])
    size = len(right)
    matrix[np.arange(size - 1), np.arange(size - 1)] += penalty
    factor, order, rank = cholesky(matrix)
    first, rest = order[:rank], order[rank:]
    L = factor[:rank, :rank]
    point = np.zeros(size)
    point[first] = both(L, right[first])
    left_over = right - np.einsum("ij,j->i", matrix, point, optimize=False)
    point[first] += both(L, left_over[first])  # once more: the digits that the factorisation lost
    if rest.size:
        point = least(point, free_directions(factor, order, rank), np.append(norm, 0.0))
    loss = 0.5 * (square - 2.0 * inner(right, point) + inner(point, np.einsum("ij,j->i", matrix, point, optimize=False)))
    return point, max(float(loss), 0.0)


def cholesky(matrix: Floats) -> tuple[Floats, Indexes, int]:
    """Return L with P matrix P' = L L', the order P of the columns, the last first, and how many do not depend on others."""
    size = len(matrix)
    work, order = matrix.copy(), np.arange(size, dtype=np.int64)
    squares = np.maximum(np.diagonal(matrix).copy(), 1e-300)
    factor = np.zeros((size, size))
    rank = 0
    while rank < size:
        left = np.diagonal(work)[order[rank:]] / squares[order[rank:]]
        place = rank + (size - 1 - rank if rank == 0 else int(np.argmax(left)))
        if not left[place - rank] > DEPENDENT:
            break
        order[[rank, place]] = order[[place, rank]]
        factor[[rank, place], :rank] = factor[[place, rank], :rank]
        chosen, others = order[rank], order[rank + 1 :]
        root = np.sqrt(work[chosen, chosen])
        column = work[others, chosen] / root
        factor[rank, rank] = root
        factor[rank + 1 :, rank] = column
        work[np.ix_(others, others)] -= column[:, None] * column[None, :]
        rank += 1
    return factor, order, rank


def free_directions(factor: Floats, order: Indexes, rank: int) -> Floats:
    """Return directions along which nothing changes, shape (directions, size)."""
    L, below = factor[:rank, :rank], factor[rank:, :rank]
    out = np.zeros((len(below), len(order)))
    for direction, row, own in zip(out, below, order[rank:], strict=True):
        direction[order[:rank]] = -backward(L, row)
        direction[own] = 1.0
    return out


def least(point: Floats, directions: Floats, norm: Floats) -> Floats:
    """Return `point` moved along `directions` to where sum(norm * point**2) is least."""
    weighted = directions * norm
    square = np.einsum("ij,kj->ik", weighted, directions, optimize=False)
    factor, order, rank = cholesky(square)
    first = order[:rank]
    along = np.zeros(len(directions))
    along[first] = both(factor[:rank, :rank], np.einsum("ij,j->i", weighted, point, optimize=False)[first])
    moved: Floats = point - np.einsum("i,ij->j", along, directions, optimize=False)
    return moved


def both(L: Floats, right: Floats) -> Floats:
    """Return the solution x of L L' x = right."""
    return backward(L, forward(L, right))


def forward(L: Floats, right: Floats) -> Floats:
    out = np.zeros(len(right))
    for i in range(len(right)):
        out[i] = (right[i] - inner(L[i, :i], out[:i])) / L[i, i]
    return out


def backward(L: Floats, right: Floats) -> Floats:
    out = np.zeros(len(right))
    for i in reversed(range(len(right))):
        out[i] = (right[i] - inner(np.ascontiguousarray(L[i + 1 :, i]), out[i + 1 :])) / L[i, i]
    return out
