"""The inner loops of stochastic gradient descent: losses, gradients of a few rows, and steps, compiled by Numba.

A row is its numbers and, for each categorical column, the place of its indicator's coefficient (below 0 where none is set). The
coefficients W have shape (outputs, width + 1), the intercept last. Every sum has a fixed order: four running sums over a row's
numbers, then its indicators, then the intercept; rows of a batch as they lie, and whoever calls has put them in their order.
There is no fastmath and no parallel loop, so the compiler may neither reorder nor contract (:mod:`muskox.learn.compiled`); exp,
log and powers are ours, for those of the C library differ by CPU (:mod:`muskox.learn.elementary`).

The options of a run are one vector of floats, by the places named below: one signature for all, which is compiled once.
"""

from math import sqrt

import numpy as np

from muskox.learn.columns import Codes, Floats
from muskox.learn.compiled import compiled
from muskox.learn.elementary import exp_minus, logistic, power_of
from muskox.learn.sgd.rows import Ints

LOSSES = (
    "hinge",
    "squared_hinge",
    "perceptron",
    "log_loss",
    "modified_huber",
    "squared_error",
    "huber",
    "epsilon_insensitive",
    "squared_epsilon_insensitive",
)
(
    HINGE,
    SQUARED_HINGE,
    PERCEPTRON,
    LOG_LOSS,
    MODIFIED_HUBER,
    SQUARED_ERROR,
    HUBER,
    EPSILON_INSENSITIVE,
    SQUARED_EPSILON_INSENSITIVE,
) = range(len(LOSSES))
SCHEDULES = ("constant", "optimal", "invscaling", "adaptive")
CONSTANT, OPTIMAL, INVSCALING, ADAPTIVE = range(len(SCHEDULES))
PLAIN, MOMENTUM, ADAM = range(3)

# Places of the options.
(
    LOSS,  # index in LOSSES
    EPSILON,
    SCHEDULE,  # index in SCHEDULES
    RATE,  # eta0, or what adaptive has made of it
    POWER,
    ALPHA,
    OFFSET,  # t0 of "optimal"
    L2,
    L1,
    STEP_KIND,  # PLAIN, MOMENTUM or ADAM
    BETA_1,  # of momentum, too
    BETA_2,
    INTERCEPT,  # 1.0 if there is one
    AVERAGE_FROM,  # the step from which on steps are averaged; 0: never
    MEAN_WEIGHT,  # of a row
    OPTIONS,  # how many there are
) = range(16)

# Places of the clock.
(
    STEPS,  # taken so far
    DEBT,  # the sum of rate * L1 so far
    AVERAGED,  # how many steps the average is of
    POWER_1,  # BETA_1 ** STEPS
    POWER_2,
    CLOCK,
) = range(6)
ADAM_EPSILON = 1e-8


@compiled
def loss_and_slope(loss: float, y: float, z: float, epsilon: float) -> tuple[float, float]:
    """Return the loss of a margin or prediction `z` where `y` is right, and its derivative by z. Classes are y = -1 and 1."""
    m = y * z
    if loss == HINGE:
        return (1.0 - m, -y) if m <= 1.0 else (0.0, 0.0)
    if loss == PERCEPTRON:
        return (-m, -y) if m <= 0.0 else (0.0, 0.0)
    if loss == SQUARED_HINGE:
        return ((1.0 - m) * (1.0 - m), -2.0 * y * (1.0 - m)) if m < 1.0 else (0.0, 0.0)
    if loss == LOG_LOSS:
        value, above, below = logistic(exp_minus(abs(m)))
        return (value, -y * below) if m > 0.0 else (value - m, -y * above)
    if loss == MODIFIED_HUBER:
        if m >= 1.0:
            return 0.0, 0.0
        return ((1.0 - m) * (1.0 - m), -2.0 * y * (1.0 - m)) if m >= -1.0 else (-4.0 * m, -4.0 * y)
    r = z - y
    if loss == SQUARED_ERROR:
        return 0.5 * r * r, r
    beyond = abs(r) - epsilon
    sign = 1.0 if r > 0.0 else -1.0
    if loss == HUBER:
        return (0.5 * r * r, r) if beyond <= 0.0 else (epsilon * abs(r) - 0.5 * epsilon * epsilon, epsilon * sign)
    if beyond <= 0.0:
        return 0.0, 0.0
    return (beyond, sign) if loss == EPSILON_INSENSITIVE else (beyond * beyond, 2.0 * beyond * sign)


@compiled
def margin(x: Floats, places: Codes, w: Floats) -> float:
    """Return w.x + b of one row."""
    columns = x.size
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    whole = columns - columns % 4
    for j in range(0, whole, 4):
        a += w[j] * x[j]
        b += w[j + 1] * x[j + 1]
        c += w[j + 2] * x[j + 2]
        d += w[j + 3] * x[j + 3]
    for j in range(whole, columns):
        a += w[j] * x[j]
    z: float = (a + b) + (c + d)
    for place in places:
        if place >= 0:
            z += w[place]
    z += w[w.size - 1]
    return z


@compiled
def gradient(  # noqa: PLR0913, PLR0917  # arrays, as kernels take them
    numbers: Floats,
    codes: Codes,
    target: Floats,
    weights: Floats,
    begin: int,
    end: int,
    W: Floats,
    options: Floats,
    out: Floats,
) -> float:
    """Add the gradients of the rows `begin` to `end`, by weight, to `out`; return the sum of their losses by weight.

    target : a number; with one output of a classifier -1 or 1; with more the index of the class
    """
    outputs, columns, last = W.shape[0], numbers.shape[1], W.shape[1] - 1
    total = 0.0
    for row in range(begin, end):
        x = numbers[row]
        for k in range(outputs):
            y = target[row] if outputs == 1 else (1.0 if target[row] == k else -1.0)
            value, slope = loss_and_slope(options[LOSS], y, margin(x, codes[row], W[k]), options[EPSILON])
            total += weights[row] * value
            if slope == 0.0:
                continue
            slope *= weights[row]
            sums = out[k]
            for j in range(columns):
                sums[j] += slope * x[j]
            for j in range(codes.shape[1]):
                if codes[row, j] >= 0:
                    sums[codes[row, j]] += slope
            if options[INTERCEPT] != 0.0:
                sums[last] += slope
    return total


@compiled
def rate_of(options: Floats, t: float) -> float:
    """Return the learning rate of step `t`, which counts from 1."""
    rate: float = options[RATE]
    if options[SCHEDULE] == OPTIMAL:
        rate = 1.0 / (options[ALPHA] * (options[OFFSET] + t - 1.0))
    elif options[SCHEDULE] == INVSCALING:
        rate = rate / power_of(t, options[POWER])
    return rate


@compiled
def truncate(W: Floats, debts: Floats, debt: float) -> None:
    """Draw each coefficient towards 0, not beyond, by what it owes: the cumulative L1 penalty of Tsuruoka et al., 2009."""
    for k in range(W.shape[0]):
        for j in range(W.shape[1] - 1):
            before = W[k, j]
            if before > 0.0:
                W[k, j] = max(0.0, before - (debt + debts[k, j]))
            elif before < 0.0:
                W[k, j] = min(0.0, before + (debt - debts[k, j]))
            debts[k, j] += W[k, j] - before


@compiled
def step(  # noqa: PLR0913, PLR0917  # arrays, as kernels take them
    total: Floats,
    size: float,
    W: Floats,
    first: Floats,
    second: Floats,
    debts: Floats,
    average: Floats,
    clock: Floats,
    options: Floats,
) -> None:
    """Take one step against `total` / `size`, the mean gradient of a batch, and the penalty's.

    first, second, debts, average : of W's shape where they are used: velocity or first moment, second moment, what of the L1
        penalty each coefficient has been charged, mean of the steps
    """
    t = clock[STEPS] + 1.0
    eta = rate_of(options, t)
    outputs, last = W.shape[0], W.shape[1] - 1
    kind, beta_1, beta_2 = options[STEP_KIND], options[BETA_1], options[BETA_2]
    if kind == ADAM:
        clock[POWER_1] *= beta_1
        clock[POWER_2] *= beta_2
    share, l2 = 1.0 / size, options[L2]
    for k in range(outputs):
        w, g = W[k], total[k]
        if kind == PLAIN:
            for j in range(last):
                w[j] -= eta * (g[j] * share + l2 * w[j])
            w[last] -= eta * (g[last] * share)
            continue
        for j in range(last):
            g[j] = g[j] * share + l2 * w[j]
        g[last] *= share
        m = first[k]
        if kind == MOMENTUM:
            for j in range(last + 1):
                m[j] = beta_1 * m[j] + g[j]
                w[j] -= eta * m[j]
            continue
        s = second[k]
        for j in range(last + 1):
            m[j] = beta_1 * m[j] + (1.0 - beta_1) * g[j]
            s[j] = beta_2 * s[j] + (1.0 - beta_2) * g[j] * g[j]
            w[j] -= eta * (m[j] / (1.0 - clock[POWER_1])) / (sqrt(s[j] / (1.0 - clock[POWER_2])) + ADAM_EPSILON)
    if options[L1] > 0.0:
        clock[DEBT] += eta * options[L1]
        truncate(W, debts, clock[DEBT])
    if options[AVERAGE_FROM] > 0.0 and t >= options[AVERAGE_FROM]:
        clock[AVERAGED] += 1.0
        for k in range(outputs):
            for j in range(last + 1):
                average[k, j] += (W[k, j] - average[k, j]) / clock[AVERAGED]
    clock[STEPS] = t


@compiled
def descend_rows(numbers: Floats, target: Floats, weights: Floats, W: Floats, clock: Floats, options: Floats) -> float:
    """Take a plain step for each row without indicators, in one pass over the coefficients; return the sum of losses.

    It is what `gradient` and `step` do of batches of one row, in their order, without the sums between them.
    """
    losses, columns, outputs = 0.0, numbers.shape[1], W.shape[0]
    share, l2, loss, epsilon = 1.0 / options[MEAN_WEIGHT], options[L2], options[LOSS], options[EPSILON]
    whole = columns - columns % 4
    for row in range(numbers.shape[0]):
        clock[STEPS] += 1.0
        eta, x = rate_of(options, clock[STEPS]), numbers[row]
        for k in range(outputs):
            w = W[k]
            a, b, c, d = 0.0, 0.0, 0.0, 0.0  # `margin`, which as a call costs as much as it computes
            for j in range(0, whole, 4):
                a += w[j] * x[j]
                b += w[j + 1] * x[j + 1]
                c += w[j + 2] * x[j + 2]
                d += w[j + 3] * x[j + 3]
            for j in range(whole, columns):
                a += w[j] * x[j]
            y = target[row] if outputs == 1 else (1.0 if target[row] == k else -1.0)
            value, slope = loss_and_slope(loss, y, (a + b) + (c + d) + w[columns], epsilon)
            losses += weights[row] * value
            slope *= weights[row]
            for j in range(columns):
                w[j] -= eta * (slope * x[j] * share + l2 * w[j])
            if options[INTERCEPT] != 0.0:
                w[columns] -= eta * (slope * share)
    return losses


@compiled
def descend(  # noqa: PLR0913, PLR0917  # arrays, as kernels take them
    numbers: Floats,
    codes: Codes,
    target: Floats,
    weights: Floats,
    bounds: Ints,
    W: Floats,
    first: Floats,
    second: Floats,
    debts: Floats,
    average: Floats,
    clock: Floats,
    options: Floats,
) -> float:
    """Take a step for each batch, the rows ``bounds[i] to bounds[i + 1]``; return the sum of losses, each before its step."""
    is_plain = options[STEP_KIND] == PLAIN and options[L1] == 0.0 and options[AVERAGE_FROM] == 0.0
    if is_plain and bounds.size - 1 == numbers.shape[0] and codes.shape[1] == 0:
        return descend_rows(numbers, target, weights, W, clock, options)
    total, losses = np.zeros(W.shape), 0.0
    for batch in range(bounds.size - 1):
        begin, end = bounds[batch], bounds[batch + 1]
        total[:, :] = 0.0
        losses += gradient(numbers, codes, target, weights, begin, end, W, options, total)
        step(total, (end - begin) * options[MEAN_WEIGHT], W, first, second, debts, average, clock, options)
    return losses


@compiled
def losses(numbers: Floats, codes: Codes, target: Floats, weights: Floats, W: Floats, options: Floats) -> float:
    """Return the sum of the losses of rows by weight, over all outputs."""
    total, outputs = 0.0, W.shape[0]
    for row in range(numbers.shape[0]):
        for k in range(outputs):
            y = target[row] if outputs == 1 else (1.0 if target[row] == k else -1.0)
            value, _ = loss_and_slope(options[LOSS], y, margin(numbers[row], codes[row], W[k]), options[EPSILON])
            total += weights[row] * value
    return total
