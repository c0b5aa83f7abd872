"""The kernels: slopes are derivatives, steps are the formulas', and a batch of one row is the textbook's loop."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from muskox.learn.sgd import kernels as k
from muskox.learn.sgd.options import Descent, moving, zeros
from muskox.streams import stream

ROWS, COLUMNS = 40, 6


def data(outputs: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    draw = stream(0, "kernel rows")
    numbers = draw.normal(size=(ROWS, COLUMNS))
    codes = draw.integers(-1, 3, size=(ROWS, 2)).astype(np.int32)
    codes = np.where(codes < 0, codes, codes + COLUMNS + np.array([0, 3], dtype=np.int32)).astype(np.int32)
    target = np.where(draw.random(ROWS) < 0.5, -1.0, 1.0) if outputs == 1 else draw.integers(0, outputs, ROWS).astype(float)
    return numbers, codes, target, draw.random(ROWS) + 0.5


def dense(numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The rows as one matrix with indicators, and ones for the intercept."""
    X = np.zeros((ROWS, COLUMNS + 6 + 1))
    X[:, :COLUMNS], X[:, -1] = numbers, 1.0
    for column in codes.T:
        X[np.flatnonzero(column >= 0), column[column >= 0]] = 1.0
    return X


@pytest.mark.parametrize("loss", range(len(k.LOSSES)), ids=k.LOSSES)
def test_a_slope_is_the_derivative_of_its_loss(loss: int) -> None:
    for y in (-1.0, 1.0):
        for z in np.linspace(-3.0, 3.0, 25) + 0.0371:  # beside the kinks
            (low, _), (value, slope), (high, _) = (k.loss_and_slope(loss, y, at, 0.3) for at in (z - 1e-6, z, z + 1e-6))
            assert_allclose(slope, (high - low) / 2e-6, atol=1e-6)
            assert value >= 0.0


def test_a_log_loss_neither_overflows_nor_loses_small_values() -> None:
    assert_allclose(k.loss_and_slope(k.LOG_LOSS, 1.0, 800.0, 0.0), (0.0, 0.0), atol=1e-300)
    assert_allclose(k.loss_and_slope(k.LOG_LOSS, -1.0, 800.0, 0.0), (800.0, 1.0))
    assert k.loss_and_slope(k.LOG_LOSS, 1.0, 40.0, 0.0)[0] > 0.0


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_gradient_is_that_of_the_sum_of_losses(outputs: int) -> None:
    rows = data(outputs)
    options = Descent(loss="log_loss").vector(0.1, 0.1, 1.0, None)
    W = stream(0, "coefficients").normal(size=(outputs, COLUMNS + 7))
    out = np.zeros(W.shape)
    loss = k.gradient(*rows, 0, ROWS, W, options, out)
    X, weights = dense(rows[0], rows[1]), rows[3]
    signs = rows[2][:, None] if outputs == 1 else np.where(rows[2][:, None] == np.arange(outputs), 1.0, -1.0)
    margins = signs * (X @ W.T)
    assert_allclose(loss, (weights[:, None] * np.log1p(np.exp(-margins))).sum())
    assert_allclose(out, (weights[:, None] * -signs / (1.0 + np.exp(margins))).T @ X)
    assert_allclose(k.losses(*rows, W, options), loss)


def test_batches_of_one_row_are_the_textbooks_loop() -> None:
    numbers, codes, target, _ = data()
    descent = Descent(loss="log_loss", learning_rate="invscaling", alpha=0.01)
    order = stream(0, "order").permutation(ROWS).astype(np.int64)
    arrays = moving(zeros(descent, (1, COLUMNS + 7)))
    options = descent.vector(0.5, 0.5, 1.0, None)
    k.descend(numbers[order], codes[order], target[order], np.ones(ROWS), np.arange(ROWS + 1), *arrays, options)

    X, w = dense(numbers, codes), np.zeros(COLUMNS + 7)
    penalised = np.append(np.ones(COLUMNS + 6), 0.0)
    for t, row in enumerate(order, start=1):
        z = w @ X[row]
        g = -target[row] / (1.0 + np.exp(target[row] * z)) * X[row] + 0.01 * penalised * w
        w = w - 0.5 / t**0.5 * g
    assert_allclose(arrays[0][0], w, rtol=1e-12)
    assert arrays[-1][k.STEPS] == ROWS


def test_momentum_and_adam_take_their_formulas_steps() -> None:
    gradients = stream(0, "gradients").normal(size=(5, 1, 4))
    for descent in (Descent(momentum=0.8, penalty=None), Descent(solver="adam", penalty=None)):
        arrays = moving(zeros(descent, (1, 4)))
        options = descent.vector(0.1, 0.1, 1.0, 0.1)
        w, m, s = np.zeros(4), np.zeros(4), np.zeros(4)
        for t, gradient in enumerate(gradients, start=1):
            k.step(gradient.copy(), 2.0, *arrays, options)
            g = gradient[0] / 2.0
            if descent.momentum:
                m = 0.8 * m + g
                w = w - 0.1 * m
            else:
                m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g * g
                w = w - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
        assert_allclose(arrays[0][0], w, rtol=1e-9)


def test_an_l1_penalty_stops_at_zero_and_remembers_what_is_owed() -> None:
    W, debts = np.array([[0.5, -0.5, 0.05, 0.0, 9.0]]), np.zeros((1, 5))
    k.truncate(W, debts, 0.1)
    assert_allclose(W, [[0.4, -0.4, 0.0, 0.0, 9.0]])
    W[0, 2] = 0.2  # a step has moved it: 0.05 of the debt is still to be paid
    k.truncate(W, debts, 0.1)
    assert_allclose(W, [[0.4, -0.4, 0.15, 0.0, 9.0]])


def test_averages_are_the_mean_of_steps_from_the_one_asked_for() -> None:
    descent = Descent(average=3, penalty=None)
    arrays = moving(zeros(descent, (1, 2)))
    options = descent.vector(1.0, 1.0, 1.0, 1.0)
    seen = []
    for value in (1.0, 2.0, 4.0, 8.0):
        k.step(np.full((1, 2), value), 1.0, *arrays, options)
        seen.append(arrays[0].copy())
    assert_array_equal(arrays[4], np.mean(seen[2:], axis=0))


def test_rates_follow_their_schedules() -> None:
    def rate(t: float, **given: object) -> float:
        return k.rate_of(Descent(alpha=0.01, power_t=0.25, **given).vector(0.2, 0.2, 1.0, None), t)  # type: ignore[arg-type]

    assert rate(1, learning_rate="optimal") == pytest.approx(0.2)  # whatever alpha is
    assert rate(101, learning_rate="optimal") == pytest.approx(1 / (0.01 * (500 + 100)))
    assert rate(16, learning_rate="invscaling") == pytest.approx(0.1)
    assert rate(99, learning_rate="constant") == rate(99, learning_rate="adaptive") == 0.2


@pytest.mark.parametrize("loss", ["hinge", "log_loss"])
def test_a_step_of_one_row_in_one_pass_has_the_bits_of_the_sum_and_the_step(loss: str) -> None:
    numbers, _, target, weights = data()
    codes = np.zeros((ROWS, 0), dtype=np.int32)
    descent = Descent(loss=loss, alpha=0.01)
    options = descent.vector(0.1, 0.1, 1.25, None)
    one, two = moving(zeros(descent, (1, COLUMNS + 1))), moving(zeros(descent, (1, COLUMNS + 1)))
    total = k.descend(numbers, codes, target, weights, np.arange(ROWS + 1), *one, options)
    losses = 0.0
    for row in range(ROWS):
        gradient = np.zeros((1, COLUMNS + 1))
        losses += k.gradient(numbers, codes, target, weights, row, row + 1, two[0], options, gradient)
        k.step(gradient, 1.25, *two, options)
    assert_array_equal(one[0], two[0])
    assert_array_equal(one[-1][k.STEPS], two[-1][k.STEPS])
    assert total == losses
