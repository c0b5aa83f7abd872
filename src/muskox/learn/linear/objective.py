"""The objective over an encoded shard: the sums of losses and gradients at a point, one pass over the rows.

A point has one row of coefficients an output, the intercept last: one output for a number or two classes, one a class for more.
"""

import numpy as np

from muskox.learn.columns import Codes, Floats
from muskox.learn.linear import kernels
from muskox.learn.linear.encoded import EncodedBlock, EncodedShard
from muskox.learn.linear.losses import Loss
from muskox.learn.linear.sparse import SparseRows
from muskox.learn.linear.sparse_kernels import add_sparse_gradient, add_sparse_margins
from muskox.records import Array


def objective_sums(shard: EncodedShard, points: Floats, loss: Loss, stage: int = 0) -> Floats:
    """Return the sums over the rows of `shard`.

    Parameters
    ----------
    points : shape (outputs, width + 1), the intercept last
    stage : which width the corners of the loss have

    Returns
    -------
    the gradient, as `points`, raveled; then the loss, and the loss with no corner rounded
    """
    sums = np.zeros(points.size + 2)
    gradient = sums[:-2].reshape(points.shape)
    numeric = shard.mean.size
    tables = [[group.table(point) for group in shard.groups] for point in points]
    by_code = [[np.zeros(table.size) for table in row] for row in tables]
    folded = [fold(shard, point) for point in points]
    one = loss_of_all if loss.is_joint else losses_of_each
    for block in shard.blocks:
        weights = [pair if block.is_raw else (point[:numeric], point[-1]) for pair, point in zip(folded, points, strict=True)]
        margins = np.empty((len(points), block.rows))
        for margin, (_, intercept), row in zip(margins, weights, tables, strict=True):
            margin.fill(intercept)
            for codes, table in zip(block.codes, row, strict=True):
                np.add(margin, table.take(codes), out=margin)
        slopes = np.zeros((len(points), numeric))
        if block.sparse is not None:
            for margin, point in zip(margins, points, strict=True):
                add_sparse_margins(*parts_of(block.sparse), np.ascontiguousarray(point[shard.dense_width : -1]), margin)
        residuals, *found = one(block, [pair[0] for pair in weights], margins, loss, stage, slopes)
        if block.is_raw:
            slopes -= residuals[:, None] * shard.mean
            slopes /= shard.scale
        gradient[:, :numeric] += slopes
        gradient[:, -1] += residuals
        sums[-2:] += found
        if block.sparse is not None:
            for margin, out in zip(margins, gradient, strict=True):
                add_sparse_gradient(*parts_of(block.sparse), margin, out[shard.dense_width : -1])
        for margin, row in zip(margins, by_code, strict=True):
            count_residuals(block.codes, margin, row)
    for out, row in zip(gradient, by_code, strict=True):
        for group, total in zip(shard.groups, row, strict=True):
            group.spread(total, out)
    return sums


def parts_of(rows: SparseRows) -> tuple[Array, Array, Floats]:
    return rows.starts, rows.indexes, rows.values


def fold(shard: EncodedShard, point: Floats) -> tuple[Floats, float]:
    """Return the coefficients and the intercept for raw numbers that are those of `point` for standardised ones."""
    weights = point[: shard.mean.size] / shard.scale
    return weights, float(point[-1] - np.add.reduce(weights * shard.mean))


def losses_of_each(
    block: EncodedBlock, weights: list[Floats], margins: Floats, loss: Loss, stage: int, slopes: Floats
) -> tuple[Floats, float, float]:
    """Evaluate each output by itself: of more than two classes, each against all others."""
    settings, numbers, whole, exact = loss.settings(stage), block.numbers.where, 0.0, 0.0
    residuals = np.empty(len(margins))
    for index, (weight, margin, slope) in enumerate(zip(weights, margins, slopes, strict=True)):
        y = block.target
        if len(margins) > 1:
            y = np.where(y == index, 1.0, -1.0)
        found = kernels.evaluate(loss.code, settings, *numbers, weight, y, block.weights, margin, slope)
        whole, exact, residuals[index] = whole + found[0], exact + found[1], found[2]
    return residuals, whole, exact


def loss_of_all(
    block: EncodedBlock, weights: list[Floats], margins: Floats, loss: Loss, stage: int, slopes: Floats
) -> tuple[Floats, float, float]:
    """Evaluate the multinomial loss of all outputs together."""
    assert loss.is_joint and stage == 0
    numbers = block.numbers.where
    for weight, margin in zip(weights, margins, strict=True):
        kernels.margins(*numbers, weight, margin)
    residuals = np.zeros(len(margins))
    whole = kernels.soft_lose(block.target, block.weights, margins, residuals)
    for margin, slope in zip(margins, slopes, strict=True):
        kernels.gradients(*numbers, margin, slope)
    return residuals, whole, whole


def count_residuals(codes: Codes, residual: Floats, by_code: list[Floats]) -> None:
    """Add the residuals of the rows of each shared code to `by_code`."""
    for group, total in zip(codes, by_code, strict=True):
        np.add(total, np.bincount(group, weights=residual, minlength=total.size), out=total)
