"""A PyTorch module as a pure function of flat vectors: built from source or an object, its gradient, its outputs.

Parameters lie in one vector of the module's dtype, in the order of ``named_parameters``; buffers in one of float64, in that of
``named_buffers``. PyTorch is imported when a module is built, and only then. Whoever trains is a pinned process (see
:mod:`muskox.runtime.pins`): PyTorch then computes with one thread and its plainest kernels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.records import Array
from muskox.streams import stream

BLOCK_ROWS = 32  # of a prediction: shorter blocks are filled up with zeros, so that every row meets the same kernels
BUILD, LOSS = "build", "loss"  # what a source defines: build(inputs, outputs) and perhaps loss(outputs, target)
LOSSES = {
    "cross_entropy": "cross_entropy",
    "mse": "mse_loss",
    "l1": "l1_loss",
    "smooth_l1": "smooth_l1_loss",
    "huber": "huber_loss",
}
OWN_LOSS = "own"
CPU, CUDA = "cpu", "cuda"


class Net:
    """A module that was built, and where its parameters and buffers lie in the flat vectors."""

    def __init__(self, module: Any, own_loss: Callable[..., Any] | None, dtype: str, device: str) -> None:
        import torch

        if not isinstance(module, torch.nn.Module):
            raise CallerError(f"build(inputs, outputs) returned a {type(module).__name__}: it must return a torch.nn.Module")
        self._torch = torch
        self._module = module.to(getattr(torch, dtype)).to(device)
        self._device = device
        self._dtype = dtype
        self._own_loss = own_loss
        self._parameters = dict(self._module.named_parameters())
        self._buffers = dict(self._module.named_buffers())
        if not any(each.requires_grad for each in self._parameters.values()):
            raise CallerError("the module has no parameter that can be trained")
        for name, each in [*self._parameters.items(), *self._buffers.items()]:
            if each.is_complex():
                raise CallerError(f"{name} of the module is complex: a model's record holds real numbers only")

    def shapes(self) -> dict[str, list[int]]:
        """Return the shape of each parameter and buffer, by name."""
        return {name.replace("/", "|"): list(each.shape) for name, each in [*self._parameters.items(), *self._buffers.items()]}

    def parameters(self) -> Array:
        flat = [each.detach().cpu().numpy().reshape(-1) for each in self._parameters.values()]
        return np.concatenate(flat).astype(self._dtype)

    def buffers(self) -> Floats:
        flat = [each.detach().cpu().numpy().astype(np.float64).reshape(-1) for each in self._buffers.values()]
        return np.concatenate([np.zeros(0), *flat])

    def weights(self) -> list[slice]:
        """Return where the parameters lie that a penalty is of: those that are trained, of two axes or more."""
        out, start = [], 0
        for each in self._parameters.values():
            if each.requires_grad and each.dim() > 1:
                out.append(slice(start, start + each.numel()))
            start += each.numel()
        return out

    def load(self, parameters: Array, buffers: Floats) -> None:
        """Take on these parameters and buffers."""
        torch = self._torch
        with torch.no_grad():
            for each, values in [*_cut(self._parameters, parameters), *_cut(self._buffers, buffers)]:
                each.copy_(torch.from_numpy(np.array(values)).reshape(each.shape))

    def gradient(self, X: Array, target: Array, weights: Floats, loss: str, seed: int) -> tuple[Array, float]:
        """Return the gradient, flat, of the sum of the rows' losses, each times its weight; and that sum.

        `seed` is for what the module draws (dropout). Afterwards the buffers are what the module made of them.
        """
        torch = self._torch
        self._module.train()
        torch.manual_seed(seed)
        for each in self._parameters.values():
            each.grad = None
        total = (self._losses(X, target, loss) * self._tensor(weights)).sum()
        total.backward()
        flat = [np.zeros(each.numel()) if each.grad is None else each.grad.cpu().numpy() for each in self._parameters.values()]
        return np.concatenate([each.reshape(-1) for each in flat]).astype(self._dtype), float(total.detach())

    def loss_of(self, X: Array, target: Array, weights: Floats, loss: str) -> float:
        """Return the sum of the rows' losses, each times its weight, without dropout."""
        if len(X) == 0:
            return 0.0
        self._module.eval()
        with self._torch.no_grad():
            return float((self._losses(X, target, loss) * self._tensor(weights)).sum())

    def outputs(self, X: Array) -> Floats:
        """Return the outputs for each row, shape (rows, outputs), in blocks of `BLOCK_ROWS` rows filled up with zeros."""
        self._module.eval()
        out = []
        with self._torch.no_grad():
            for first in range(0, len(X), BLOCK_ROWS):
                part = X[first : first + BLOCK_ROWS]
                block = np.zeros((BLOCK_ROWS, X.shape[1]), dtype=X.dtype)
                block[: len(part)] = part
                told = self._outputs(block)[: len(part)]
                out.append(told.double().cpu().numpy())
        return np.concatenate(out) if out else np.zeros((0, 1))

    def _losses(self, X: Array, target: Array, loss: str) -> Any:
        """Return the loss of each row, float64."""
        torch = self._torch
        outputs = self._outputs(X)
        if loss == "cross_entropy":
            wanted = torch.from_numpy(target.astype(np.int64)).to(self._device)
            found = torch.nn.functional.cross_entropy(outputs, wanted, reduction="none")
        else:
            wanted = self._tensor(target).to(outputs.dtype)
            if loss == OWN_LOSS:
                found = self._asked_loss(outputs, wanted)
            else:
                found = getattr(torch.nn.functional, LOSSES[loss])(outputs[:, 0], wanted, reduction="none")
        return found.double()

    def _asked_loss(self, outputs: Any, wanted: Any) -> Any:
        assert self._own_loss is not None, "checked when it was built"
        found = self._own_loss(outputs, wanted)
        if tuple(found.shape) != (len(wanted),):
            raise CallerError(f"loss(outputs, target) returned shape {tuple(found.shape)}: it must return one loss a row")
        return found

    def _outputs(self, X: Array) -> Any:
        outputs = self._module(self._tensor(X.astype(self._dtype)))
        if outputs.dim() == 1:
            outputs = outputs[:, None]
        if outputs.dim() != 2 or len(outputs) != len(X):
            shape = tuple(outputs.shape)
            raise CallerError(f"the module made {shape} of {len(X)} rows: it must return (rows, outputs), row by row")
        return outputs

    def _tensor(self, array: Array) -> Any:
        return self._torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def require_own_loss(self) -> None:
        if not callable(self._own_loss):
            raise CallerError(f"loss='{OWN_LOSS}' is what the source calls {LOSS}(outputs, target), but it defines none")

    def trained(self) -> Any:
        """Return the module itself, in evaluation mode."""
        return self._module.eval()


def _cut(tensors: Mapping[str, Any], flat: Array) -> list[tuple[Any, Array]]:
    out, start = [], 0
    for each in tensors.values():
        out.append((each, flat[start : start + each.numel()]))
        start += each.numel()
    return out


def build(given: Any, sizes: Sequence[int], seed: int, dtype: str, device: str, own_loss: Any = None) -> Net:
    """Return the net of `given`: a source, a module, or what builds one when it is called with inputs and outputs.

    Raises
    ------
    CallerError
        If PyTorch is not installed, there is no such device, or the code raises or returns something else.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise CallerError("torch is not installed: pip install 'muskox[torch]'") from error
    if device == CUDA:
        require_cuda()
    if isinstance(given, torch.nn.Module):
        from copy import deepcopy

        return Net(deepcopy(given), own_loss, dtype, device)
    make = given
    with torch.random.fork_rng(devices=[]):  # whoever only predicts keeps the numbers that they would have drawn
        torch.manual_seed(drawn_seed(seed, "weights of a module"))
        if isinstance(given, str):
            names = run_source(given)
            make = names.get(BUILD)
            own_loss = own_loss or names.get(LOSS)
        if not callable(make):
            raise CallerError(f"there is no {BUILD}(inputs, outputs): a source must define it, to return a torch.nn.Module")
        return Net(called(make, *sizes), own_loss, dtype, device)


def settle() -> None:
    """Have PyTorch compute in this process with one thread, and with what is deterministic only."""
    import torch

    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)


def require_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise CallerError(
            "device='cuda', but no CUDA device is to be seen here: run it where there is one, and on a cluster ask for it with "
            "RunOptions(gpus=1) or --gpus 1; or device='cpu'"
        )


def run_source(source: str) -> dict[str, Any]:
    """Return what the source defines. It is code: see :mod:`muskox.trusted_code` for who may have it run."""
    names: dict[str, Any] = {"__name__": "muskox_module"}
    try:
        exec(compile(source, "<source of the module>", "exec"), names)
    except Exception as error:  # bulkhead: it is a user's code
        raise CallerError(f"the source of the module raised {type(error).__name__}: {error}") from error
    return names


def called(make: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return make(*arguments)
    except Exception as error:  # bulkhead: it is a user's code
        told = ", ".join(map(str, arguments))
        raise CallerError(f"{BUILD}({told}) raised {type(error).__name__}: {error}") from error


def drawn_seed(seed: int, purpose: str, shard: int = 0, round_: int = 0) -> int:
    """Return a seed for PyTorch's generator from a named stream."""
    return int(stream(seed, purpose, shard, round_).integers(2**63 - 1))


def version() -> str:
    """Return PyTorch's version, without what it was built for."""
    import torch

    return str(torch.__version__).partition("+")[0]


def device_name() -> str:
    import torch

    return str(torch.cuda.get_device_name())
