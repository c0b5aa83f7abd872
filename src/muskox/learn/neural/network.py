"""A multilayer perceptron as a pure function of one flat vector of parameters: its outputs, and the gradient of its loss.

The vector holds, layer after layer, the weights, shape (inputs, outputs), C-ordered, and then the biases, shape (outputs,).
Rows go through in chunks, so that memory does not grow with them. Chunks change no bit of outputs and gradients, whose sums go
row by row; a loss is the sum of its chunks' sums, so that :data:`CHUNK_ROWS` is part of its definition.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from muskox.learn.columns import Floats
from muskox.learn.functions import log_sum_exp, softmax, tanh
from muskox.learn.neural.kernels import add_outer, rectify, rectify_slopes
from muskox.learn.products import add_product
from muskox.records import Array
from muskox.streams import stream

CHUNK_ROWS = 512  # of rows that go through at once
ACTIVATIONS = ("relu", "tanh", "logistic", "identity")
LOGISTIC, SOFTMAX, SQUARED = "logistic", "softmax", "squared"


@dataclass(frozen=True, slots=True)
class Network:
    """The shape of a perceptron.

    widths : of the layers, from the inputs to the outputs
    activation : of the hidden layers
    loss : "logistic" (one output, of the second of two classes), "softmax" or "squared" (half of the squared error)
    """

    widths: tuple[int, ...]
    activation: str
    loss: str

    @property
    def size(self) -> int:
        """How many parameters there are."""
        return sum((inputs + 1) * outputs for inputs, outputs in self._pairs())

    def initial(self, seed: int, dtype: str) -> Array:
        """Return parameters drawn as Glorot and Bengio propose, each layer from a stream of its own."""
        factor = 2.0 if self.activation == "logistic" else 6.0
        drawn = []
        for index, (inputs, outputs) in enumerate(self._pairs()):
            bound = float(np.sqrt(factor / (inputs + outputs)))
            generator = stream(seed, "weights of a layer", index)
            drawn.append((generator.random((inputs + 1) * outputs) * 2.0 - 1.0) * bound)
        return np.concatenate(drawn).astype(dtype)

    def layers(self, parameters: Array) -> list[tuple[Array, Array]]:
        """Return the weights and biases of each layer, as views of `parameters`."""
        return [(parameters[weights].reshape(shape), parameters[biases]) for weights, biases, shape in self._places()]

    def weights(self) -> list[slice]:
        """Return where in the vector the weights lie, the biases left out: what a penalty is of."""
        return [weights for weights, _, _ in self._places()]

    def outputs(self, parameters: Array, X: Array) -> Floats:
        """Return the outputs of the last layer, shape (rows, outputs). Every row is computed by itself."""
        layers = self.layers(parameters)
        chunks = [self._forward(layers, X[first : first + CHUNK_ROWS])[-1] for first in range(0, len(X), CHUNK_ROWS)]
        return np.concatenate([np.zeros((0, self.widths[-1])), *chunks])

    def loss_of(self, parameters: Array, X: Array, target: Array, weights: Floats) -> float:
        """Return the sum of the rows' losses, each times its weight."""
        total = 0.0
        for part, wanted, weight in _chunks(X, target, weights):
            losses, _ = _judged(self.loss, self.outputs(parameters, part), wanted)
            total += float(np.add.reduce(losses * weight))
        return total

    def gradient(self, parameters: Array, X: Array, target: Array, weights: Floats) -> tuple[Array, float]:
        """Return the gradient of :meth:`loss_of`, flat, and that loss."""
        layers = self.layers(parameters)
        out = np.zeros_like(parameters)
        sums = self.layers(out)
        total = 0.0
        turned = [np.ascontiguousarray(weights_of.T) for weights_of, _ in layers[1:]]
        for part, wanted, weight in _chunks(X, target, weights):
            values = self._forward(layers, part)
            losses, slopes = _judged(self.loss, values[-1], wanted)
            total += float(np.add.reduce(losses * weight))
            delta = (slopes * weight[:, None]).astype(parameters.dtype)
            for index in range(len(layers) - 1, -1, -1):
                add_outer(values[index], delta, sums[index][0])
                add_outer(np.ones((len(delta), 1), dtype=delta.dtype), delta, sums[index][1][None, :])
                if index:
                    before = np.zeros((len(delta), self.widths[index]), dtype=parameters.dtype)
                    add_product(delta, turned[index - 1], before)
                    delta = _sloped(self.activation, values[index], before)
        return out, total

    def _forward(self, layers: Sequence[tuple[Array, Array]], X: Array) -> list[Array]:
        """Return what goes into each layer, and the last one's outputs as float64."""
        values = [np.ascontiguousarray(X, dtype=layers[0][0].dtype)]
        for index, (weights, biases) in enumerate(layers):
            out = np.empty((len(X), len(biases)), dtype=weights.dtype)
            out[...] = biases
            add_product(values[-1], weights, out)
            values.append(_activated(self.activation, out) if index + 1 < len(layers) else out.astype(np.float64))
        return values

    def _pairs(self) -> list[tuple[int, int]]:
        return list(zip(self.widths[:-1], self.widths[1:], strict=True))

    def _places(self) -> Iterator[tuple[slice, slice, tuple[int, int]]]:
        start = 0
        for inputs, outputs in self._pairs():
            middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
            yield slice(start, middle), slice(middle, end), (inputs, outputs)
            start = end


def probabilities(loss: str, outputs: Floats) -> Floats:
    """Return the probability of each class, shape (rows, classes)."""
    if loss == LOGISTIC:
        second = expit(outputs[:, 0])
        return np.stack([1.0 - second, second], axis=1)
    return softmax(outputs)


def _judged(loss: str, outputs: Floats, target: Array) -> tuple[Floats, Floats]:
    """Return the loss of each row, and its slope by each output."""
    if loss == SQUARED:
        error = outputs - target[:, None]
        return 0.5 * error[:, 0] * error[:, 0], error
    if loss == LOGISTIC:
        z = outputs[:, 0]
        return np.logaddexp(0.0, z) - z * target, (expit(z) - target)[:, None]
    rows = np.arange(len(target))
    slopes = softmax(outputs)
    slopes[rows, target] -= 1.0
    return log_sum_exp(outputs) - outputs[rows, target], slopes


def _activated(activation: str, x: Array) -> Array:
    if activation == "relu":
        rectify(x)  # of two zeros np.maximum may give either
        return x
    if activation == "identity":
        return x
    wide = x.astype(np.float64)
    return (tanh(wide) if activation == "tanh" else expit(wide)).astype(x.dtype)


def _sloped(activation: str, values: Array, slopes: Array) -> Array:
    """Return the slopes by what went into an activation, from those by its `values`."""
    if activation == "relu":
        rectify_slopes(values, slopes)
        return slopes
    if activation == "tanh":
        return slopes * (1.0 - values * values)
    if activation == "logistic":
        return slopes * (values * (1.0 - values))
    return slopes


def _chunks(X: Array, target: Array, weights: Floats) -> Iterator[tuple[Array, Array, Floats]]:
    for first in range(0, len(X), CHUNK_ROWS):
        chosen = slice(first, first + CHUNK_ROWS)
        yield X[chosen], target[chosen], weights[chosen]
