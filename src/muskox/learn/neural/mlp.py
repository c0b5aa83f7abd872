"""Multilayer perceptrons: the programs that train them and the models that they leave.

A number as target is standardised for training; the model's answers are in its own unit.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from muskox.learn.columns import Floats
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import Target
from muskox.learn.model import Classifier, Regressor
from muskox.learn.neural.network import ACTIVATIONS, LOGISTIC, SOFTMAX, SQUARED, Network, probabilities
from muskox.learn.neural.rows import KeptRows
from muskox.learn.neural.steps import StepsProgram
from muskox.learn.parameters import require_choice, require_count
from muskox.program import Shard
from muskox.records import Array, Record

DTYPES = ("float64", "float32")


@dataclass(frozen=True, kw_only=True)
class MLPProgram(StepsProgram):
    """What classification and regression share.

    Parameters
    ----------
    hidden_layer_sizes : widths of the hidden layers
    activation : of the hidden layers: "relu", "tanh", "logistic" or "identity"
    dtype : of parameters, gradients and activations: "float64" or "float32"
    """

    hidden_layer_sizes: tuple[int, ...] = (100,)
    activation: str = "relu"
    dtype: str = "float64"

    estimator_name: ClassVar[str]
    model_name: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("activation", self.activation, ACTIVATIONS)
        require_choice("dtype", self.dtype, DTYPES)
        for width in self.hidden_layer_sizes:
            require_count("hidden_layer_sizes", width)

    def network(self, prepared: Record) -> Record:
        shape = self._shape(prepared)
        told = {"network": {"widths": list(shape.widths), "activation": shape.activation, "loss_kind": shape.loss}}
        return {**told, "parameters": shape.initial(self.inputs.seed, self.dtype)}

    def slopes(self, state: Record, shard: Shard, rows: KeptRows, chosen: Array) -> Record:  # noqa: ARG002  # the contract's
        X = rows.dense(chosen).astype(self.dtype)
        gradient, loss = network_of(state).gradient(state["parameters"], X, rows.target[chosen], rows.weights[chosen])
        return {"gradient": gradient, "loss": loss}

    def loss_of(self, state: Record, rows: KeptRows, chosen: Array) -> float:
        X = rows.dense(chosen).astype(self.dtype)
        return network_of(state).loss_of(state["parameters"], X, rows.target[chosen], rows.weights[chosen])

    def penalised(self, state: Record) -> list[slice]:
        return network_of(state).weights()

    def model(self, state: Record) -> Record:
        prepared = state["prepared"]
        own: Record = {"estimator": self.estimator_name, "model": self.model_name, "kind": "perceptron"}
        if prepared["kind"] == Target.NUMBER:
            own |= {"mean": prepared["mean"], "scale": prepared["scale"]}
        return self.model_record(prepared, **own, network=state["network"], weights=state["parameters"])

    def _shape(self, prepared: Record) -> Network:
        loss, outputs = SQUARED, 1
        if prepared["kind"] == Target.CLASSES:
            classes = len(prepared["classes"])
            loss, outputs = (LOGISTIC, 1) if classes == 2 else (SOFTMAX, classes)
        width = Encoder(prepared["encoder"]).width
        return Network((width, *self.hidden_layer_sizes, outputs), self.activation, loss)


@dataclass(frozen=True, kw_only=True)
class MLPClassifierProgram(MLPProgram):
    """Train a perceptron to tell classes; the result is the model's record."""

    target_kind = Target.CLASSES
    estimator_name = "muskox.learn:MLPClassifier"
    model_name = "muskox.learn:MLPClassifierModel"


@dataclass(frozen=True, kw_only=True)
class MLPRegressorProgram(MLPProgram):
    """Train a perceptron to tell a number; the result is the model's record."""

    target_kind = Target.NUMBER
    estimator_name = "muskox.learn:MLPRegressor"
    model_name = "muskox.learn:MLPRegressorModel"


class MLPClassifierModel(Classifier):
    """A perceptron that tells classes, made from its record."""

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self.encoder = Encoder(record["encoder"])
        self.network = network_of(record)

    def probabilities(self, batch: Any) -> Floats:
        outputs = self.network.outputs(self.record["weights"], self.encoder.transform_batch(batch))
        return probabilities(self.network.loss, outputs)


class MLPRegressorModel(Regressor):
    """A perceptron that tells a number, made from its record."""

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self.encoder = Encoder(record["encoder"])
        self.network = network_of(record)

    def values(self, batch: Any) -> Floats:
        outputs = self.network.outputs(self.record["weights"], self.encoder.transform_batch(batch))
        told: Floats = outputs[:, 0] * self.record["scale"] + self.record["mean"]
        return told


def network_of(record: Record) -> Network:
    """Return the shape of the network that a state or a model's record describes."""
    told = record["network"]
    return Network(tuple(map(int, told["widths"])), str(told["activation"]), str(told["loss_kind"]))
