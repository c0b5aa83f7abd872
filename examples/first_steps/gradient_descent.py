"""Fit a linear model by gradient descent over partitions of the data, until it has converged."""

import numpy as np

import muskox as mx

# What such snippets usually get wrong: they run a fixed handful of steps and never look whether they arrived; or they average
# the parts' gradients although the parts have different sizes, which minimises something else.

ROWS, PARTITIONS = 1003, 4  # the parts cannot be equal


def main() -> None:
    rng = np.random.default_rng(1)
    data = np.column_stack([rng.normal(size=(ROWS, 3)), np.ones(ROWS)])
    truth = np.array([1.5, -2.0, 0.5, 3.0])
    target = data @ truth + rng.normal(0.0, 0.1, ROWS)
    weights = mx.distributed_gradient_descent(data, target, PARTITIONS, learning_rate=0.5)
    exact = np.linalg.lstsq(data, target, rcond=None)[0]
    print("weights", weights.round(4), "largest distance from the exact solution", f"{np.abs(weights - exact).max():.1e}")
    assert np.allclose(weights, exact, atol=1e-8)


if __name__ == "__main__":
    main()
