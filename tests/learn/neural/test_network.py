"""Perceptrons as functions: the gradient is that of the loss, and neither chunks nor vectors change a bit."""

import os
import subprocess
import sys

import numpy as np
import pytest

from muskox.learn.neural import network as network_file
from muskox.learn.neural.kernels import add_outer, rectify
from muskox.learn.neural.network import ACTIVATIONS, Network
from muskox.learn.products import add_product
from muskox.streams import stream

LOSSES = {"logistic": 1, "softmax": 3, "squared": 1}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gradient_is_that_of_the_loss(activation: str, loss: str) -> None:
    draw = stream(0, "test")
    X = draw.normal(size=(9, 4))
    target = draw.normal(size=9) if loss == "squared" else draw.integers(0, 3 if loss == "softmax" else 2, 9)
    weights = draw.random(9)
    network = Network((4, 5, 6, LOSSES[loss]), activation, loss)
    point = network.initial(1, "float64")
    gradient, value = network.gradient(point, X, target, weights)
    assert value == pytest.approx(network.loss_of(point, X, target, weights), rel=1e-14)
    for place in range(0, network.size, 3):
        step = np.zeros(network.size)
        step[place] = 1e-6
        slope = (network.loss_of(point + step, X, target, weights) - network.loss_of(point - step, X, target, weights)) / 2e-6
        assert gradient[place] == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_chunks_change_no_bit_of_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = stream(0, "test")
    X, target, weights = draw.normal(size=(50, 7)), draw.integers(0, 3, 50), draw.random(50)
    network = Network((7, 11, 3), "relu", "softmax")
    whole, _ = network.gradient(network.initial(0, "float32"), X, target, weights)
    monkeypatch.setattr(network_file, "CHUNK_ROWS", 7)
    parts, _ = network.gradient(network.initial(0, "float32"), X, target, weights)
    np.testing.assert_array_equal(whole, parts)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_are_sums_in_the_order_of_their_terms(dtype: str) -> None:
    draw = stream(0, "test")
    left, right = draw.normal(size=(6, 11)).astype(dtype), draw.normal(size=(11, 9)).astype(dtype)
    left[draw.random(left.shape) < 0.5] = 0.0
    found, expected = np.zeros((6, 9), dtype), np.zeros((6, 9), dtype)
    add_product(left, right, found)
    for term in range(11):
        expected += left[:, term : term + 1] * right[term]
    np.testing.assert_array_equal(found, expected)
    found, expected = np.zeros((6, 9), dtype), np.zeros((6, 9), dtype)
    add_outer(np.ascontiguousarray(left.T), right, found)
    for term in range(11):
        expected += left[:, term : term + 1] * right[term]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rectified_is_what_is_above_zero_and_what_is_no_number_shows(dtype: str) -> None:
    values = np.array([[np.nan, -1.0, -0.0, 0.0, 2.0, -np.inf, np.inf]], dtype)
    rectify(values)
    np.testing.assert_array_equal(values, [[np.nan, 0.0, 0.0, 0.0, 2.0, 0.0, np.inf]])
    assert not np.signbit(values[0, 1:]).any()


PROGRAM = """
from sklearn.datasets import load_digits
from muskox.learn import MLPClassifier
X, y = load_digits(return_X_y=True)
for dtype, activation in (("float64", "relu"), ("float32", "tanh")):
    model = MLPClassifier(hidden_layer_sizes=(30,), max_rounds=20, dtype=dtype, activation=activation)
    print(model.fit(X, y, shards=3).digest_)
"""


def test_the_bits_do_not_depend_on_what_the_cpu_can(tmp_path, capsys) -> None:
    poor = {"NUMBA_CPU_NAME": "generic", "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX2 FMA3"}
    environment = {**os.environ, **poor, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    exec(PROGRAM, {})  # here, by all that this CPU can
    assert done.stdout == capsys.readouterr().out != ""
