"""TorchProgram: trains a PyTorch module by mini-batch steps over all shards; and the models that it leaves.

The module comes as source, a text that defines ``build(inputs, outputs)``, which travels in the parameters and stays in the
model's record; or as an object of the user's, which travels as code and stays with the user: the record then holds parameters
only. What the source says runs in the processes that train, and elsewhere only where it is trusted
(:mod:`muskox.trusted_code`).

PyTorch gives each shard's gradient; the step is ours (:mod:`muskox.learn.neural.optimisers`). Buffers that training changes
(running means, say) become the average over shards, by rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.encoder import Encoder
from muskox.learn.functions import softmax
from muskox.learn.inputs import Target
from muskox.learn.model import Classifier, Model, Regressor
from muskox.learn.neural import module as modules
from muskox.learn.neural.module import CPU, CUDA, LOSSES, OWN_LOSS, Net
from muskox.learn.neural.rows import KeptRows
from muskox.learn.neural.steps import StepsProgram
from muskox.learn.parameters import require_choice
from muskox.learn.training import PREPARE
from muskox.program import BLOCK_ROWS, ArrayPartition, Block, Done, Manifest, RunOptions, Shard, in_process
from muskox.records import Array, Record
from muskox.trusted_code import require_trust

DTYPES = ("float32", "float64")
ROWS, OUTPUTS = "rows", "outputs"
OBJECTS = ("module", "own_loss", "begin")  # what is no parameter of a record


@dataclass(frozen=True, kw_only=True)
class TorchProgram(StepsProgram):
    """What classification and regression share.

    Parameters
    ----------
    source : Python that defines build(inputs, outputs), which returns a torch.nn.Module; "" where there is a `module`
    loss : "cross_entropy", "mse", "l1", "smooth_l1", "huber", or "own": the source's loss(outputs, target), a loss a row
    dtype : "float32" or "float64"
    device : "cpu" or "cuda"
    module, own_loss : objects in place of the source's
    """

    pinned: ClassVar[bool] = True

    source: str = ""
    loss: str = "mse"
    dtype: str = "float32"
    device: str = CPU
    module: Any = None
    own_loss: Any = None

    estimator_name: ClassVar[str]
    model_name: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("loss", self.loss, (*LOSSES, OWN_LOSS))
        require_choice("dtype", self.dtype, DTYPES)
        require_choice("device", self.device, (CPU, CUDA))
        if bool(self.source) == (self.module is not None):
            raise CallerError("give the module: either source=, Python that defines build(inputs, outputs), or module=")
        if (self.loss == "cross_entropy") != (self.target_kind is Target.CLASSES) and self.loss != OWN_LOSS:
            raise CallerError(f"loss={self.loss!r} does not go with a target that is {self.target_kind}: classes, or a number")

    # -- how it travels --

    def carried(self) -> Sequence[object]:
        return [*objects_of(self.module), *([] if self.own_loss is None else [self.own_loss])]

    def parameters(self) -> Record:
        told = super().parameters()
        begin = {} if self.begin is None else {"begin": told["begin"]}
        return {**{name: value for name, value in told.items() if name not in OBJECTS}, **begin}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Self:
        return super().from_parameters({**dict.fromkeys(OBJECTS), **parameters})

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_built"}

    @cached_property
    def _built(self) -> dict[tuple[int, int], Net]:
        return {}

    # -- the contract of TrainingProgram and StepsProgram --

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        found = super().partial(state, shard, blocks)
        if PREPARE in found and self.device == CUDA:
            modules.require_cuda()
            found["devices"] = [modules.device_name()]
        return found

    def merge(self, left: Record, right: Record) -> Record:
        found = super().merge(left, right)
        if "devices" in left:
            found["devices"] = sorted({*left["devices"], *right["devices"]})
        return found

    def update(self, state: Record, total: Record) -> Record | Done:
        if "devices" in total and len(total["devices"]) > 1:
            raise CallerError(
                f"the workers' GPUs differ ({', '.join(total['devices'])}), and so would their bits: use one kind"
            )
        after = super().update(state, total)
        if "devices" in total and not isinstance(after, Done):
            after["device_name"] = total["devices"][0]
        return after

    def network(self, prepared: Record) -> Record:
        net = self._net(prepared)
        return {"parameters": net.parameters(), "buffers": net.buffers(), "torch": modules.version()}

    def slopes(self, state: Record, shard: Shard, rows: KeptRows, chosen: Array) -> Record:
        count = len(chosen)
        given: Record = {"gradient": np.zeros_like(state["parameters"]), "loss": 0.0, "rows": np.array([float(count)])}
        moved = np.zeros_like(state["buffers"])
        if count:
            net = self._loaded(state)
            before = net.buffers()
            X, target, weights = rows.dense(chosen), rows.target[chosen], rows.weights[chosen]
            seed = modules.drawn_seed(self.inputs.seed, "what a module draws", shard.index, state["round"])
            try:
                given["gradient"], given["loss"] = net.gradient(X, target, weights, self.loss, seed)
            except (ValueError, RuntimeError, IndexError, TypeError) as error:
                raise CallerError(refusal(error, count, shard.index)) from error
            moved = (net.buffers() - before) * count
        return {**given, "buffers": moved} if len(moved) else given

    def buffered(self, state: Record, total: Record) -> Record:
        if "buffers" not in total:
            return {}
        return {"buffers": state["buffers"] + total["buffers"] / float(total["rows"][0])}

    def loss_of(self, state: Record, rows: KeptRows, chosen: Array) -> float:
        X, target, weights = rows.dense(chosen), rows.target[chosen], rows.weights[chosen]
        return self._loaded(state).loss_of(X, target, weights, self.loss)

    def penalised(self, state: Record) -> list[slice]:
        return self._net(state["prepared"]).weights()

    def model(self, state: Record) -> Record:
        prepared = state["prepared"]
        inputs, outputs = sizes_of(prepared)
        own: Record = {"estimator": self.estimator_name, "model": self.model_name, "kind": "torch module"}
        own |= {"source": self.source, "torch": state["torch"], "dtype": self.dtype, "device": self.device}
        if "device_name" in state:
            own["device_name"] = state["device_name"]
        if prepared["kind"] == Target.NUMBER:
            own |= {"mean": prepared["mean"], "scale": prepared["scale"]}
        shapes = self._net(prepared).shapes()
        sizes = {"inputs": inputs, "outputs": outputs, "shapes": shapes}
        record = self.model_record(prepared, **own, **sizes, weights=state["parameters"], buffers=state["buffers"])
        del record["parameters"]["source"]
        return record

    def _net(self, prepared: Record) -> Net:
        sizes = sizes_of(prepared)
        if sizes not in self._built:
            given = self.source or self.module
            net = modules.build(given, sizes, self.inputs.seed, self.dtype, self.device, self.own_loss)
            modules.settle()
            if self.loss == OWN_LOSS:
                net.require_own_loss()
            self._built[sizes] = net
        return self._built[sizes]

    def _loaded(self, state: Record) -> Net:
        net = self._net(state["prepared"])
        net.load(state["parameters"], state["buffers"])
        return net


def objects_of(module: Any) -> list[object]:
    """Return a module of the user's, or what builds one, with the classes that it is made of; nothing of None."""
    if module is None:
        return []
    is_built = hasattr(module, "modules") and not isinstance(module, type)
    return [module, *(type(part) for part in module.modules())] if is_built else [module]


def sizes_of(prepared: Record) -> tuple[int, int]:
    """Return how many inputs and outputs the module has: encoded features; classes, or one."""
    return Encoder(prepared["encoder"]).width, len(prepared["classes"]) if "classes" in prepared else 1


def refusal(error: Exception, rows: int, shard: int) -> str:
    """Return a sentence about what a module raised."""
    if "more than 1 value per channel" in str(error):
        return (
            f"batch normalisation needs two rows or more, but shard {shard} gives {rows} to a batch: raise batch_size, "
            f"use fewer shards, or a normalisation of each row (LayerNorm, GroupNorm)"
        )
    return f"the module raised {type(error).__name__} with {rows} rows of shard {shard}: {error}"


@dataclass(frozen=True, kw_only=True)
class TorchClassifierProgram(TorchProgram):
    """Train a module to tell classes; the result is the model's record."""

    target_kind = Target.CLASSES
    estimator_name = "muskox.learn:TorchClassifier"
    model_name = "muskox.learn:TorchClassifierModel"

    loss: str = "cross_entropy"


@dataclass(frozen=True, kw_only=True)
class TorchRegressorProgram(TorchProgram):
    """Train a module to tell a number; the result is the model's record."""

    target_kind = Target.NUMBER
    estimator_name = "muskox.learn:TorchRegressor"
    model_name = "muskox.learn:TorchRegressorModel"


class TorchModel(Model):
    """What models of modules share: the module is built, and so its code run, when the first row is asked for."""

    pinned = True
    module: Any = None  # the user's object, where the record has no source

    @cached_property
    def encoder(self) -> Encoder:
        return Encoder(self.record["encoder"])

    def module_outputs(self, batch: Any) -> Floats:
        """Return the module's outputs for each row, shape (rows, outputs): a pinned process's, which this may be."""
        self._check()
        out = [np.zeros((0, int(self.record["outputs"])))]
        for first in range(0, batch.num_rows, BLOCK_ROWS):
            rows = self.encoder.transform_batch(batch.slice(first, BLOCK_ROWS))
            table = pa.table({ROWS: np.ascontiguousarray(rows, dtype=np.float64).reshape(-1)})
            told = in_process(table, ArrayPartition()).run(self._outputs, RunOptions()).result[OUTPUTS]
            out.append(told)
        return np.concatenate(out)

    def trained(self) -> Any:
        """Return the trained torch.nn.Module, anew."""
        return self.make().trained()

    @cached_property
    def _outputs(self) -> "OutputsProgram":
        return OutputsProgram(self.record, self.module)

    def make(self) -> Net:
        """Return the module, built by its code and with the parameters that were trained."""
        self._check()
        record = self.record
        sizes = (int(record["inputs"]), int(record["outputs"]))
        net = modules.build(record["source"] or self.module, sizes, 0, record["dtype"], CPU)
        if net.shapes() != record["shapes"]:
            raise CallerError("this module has other parameters than the one that the model was trained with")
        net.load(record["weights"], record["buffers"])
        return net

    def _check(self) -> None:
        if self.record["source"]:
            require_trust(self.record)
        elif self.module is None:
            raise CallerError(
                "this model's module was a Python object, which its record does not hold: give it, as "
                "TorchClassifier.from_record(record, module=...); a module given as source= travels with its model"
            )


class TorchClassifierModel(TorchModel, Classifier):
    """A module that tells classes, made from its record."""

    def probabilities(self, batch: Any) -> Floats:
        return softmax(self.module_outputs(batch))


class TorchRegressorModel(TorchModel, Regressor):
    """A module that tells a number, made from its record."""

    def values(self, batch: Any) -> Floats:
        told: Floats = self.module_outputs(batch)[:, 0] * self.record["scale"] + self.record["mean"]
        return told


@dataclass(frozen=True, eq=False)  # the model holds arrays, which do not compare to one bool
class OutputsProgram:
    """Tell what a model's module makes of encoded rows, one after the other in the one column of a table of one shard."""

    pinned: ClassVar[bool] = True
    kind: ClassVar[str] = "outputs"

    model: Record
    module: Any = None

    def carried(self) -> Sequence[object]:
        return objects_of(self.module)

    def parameters(self) -> Record:
        return {"model": self.model}

    @classmethod
    def from_parameters(cls, parameters: Record) -> "OutputsProgram":
        return cls(parameters["model"])

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "module": self.module}

    def initial(self, manifest: Manifest) -> Record:  # noqa: ARG002  # the contract's
        return {}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:  # noqa: ARG002  # the contract's
        numbers = np.concatenate([block.batch.column(ROWS).to_numpy() for block in blocks])
        return {OUTPUTS: self._net.outputs(numbers.reshape(-1, int(self.model["inputs"])))}

    def merge(self, left: Record, right: Record) -> Record:
        return {OUTPUTS: np.concatenate([left[OUTPUTS], right[OUTPUTS]])}

    def update(self, state: Record, total: Record) -> Record | Done:  # noqa: ARG002  # the contract's
        return Done(total)

    @cached_property
    def _net(self) -> Net:
        modules.settle()  # whatever this process did before
        model = TorchModel(self.model)
        model.module = self.module
        return model.make()
