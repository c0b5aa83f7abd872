"""Least squares by gradient descent over partitions: the first program of every article, as a program of ours."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.tables import from_array, with_target
from muskox.program import ArrayPartition, Block, Done, Manifest, Program, RunOptions, Shard, in_process
from muskox.records import Record

NUMERIC = ("int", "float", "bool")
ROUNDS_MAX = 100_000
TOL = 1e-10  # of the mean gradient's greatest component: converged means converged


@dataclass(frozen=True, slots=True)
class LeastSquaresDescent:
    """Minimise mean((X w - y)**2) / 2 over all columns but the target, from w = 0, by steps of -learning_rate * gradient.

    The result holds "weights" (no intercept: add a column of ones for one), "rounds" and "loss".
    """

    target: str
    learning_rate: float
    tol: float = TOL

    def parameters(self) -> Record:
        return {"target": self.target, "learning_rate": self.learning_rate, "tol": self.tol}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        return cls(str(parameters["target"]), float(parameters["learning_rate"]), float(parameters["tol"]))

    def initial(self, manifest: Manifest) -> Record:
        if self.target not in manifest.columns:
            raise CallerError(f"no column {self.target!r} to use as target: this dataset has {', '.join(manifest.columns)}")
        if not manifest.rows:
            raise CallerError("this dataset has no rows: there is nothing to learn from")
        for name, kind in manifest.columns.items():
            if kind not in NUMERIC:
                raise CallerError(
                    f"column {name!r} is {kind}: least squares needs numbers in every column; drop it or encode it"
                )
        names = [name for name in manifest.columns if name != self.target]
        if not names:
            raise CallerError(f"there is no column beside the target {self.target!r} to learn from")
        return {"names": names, "rows": manifest.rows, "round": 0, "weights": np.zeros(len(names)), "loss": None}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        weights = state["weights"]
        sums = np.zeros(weights.size + 1)
        for columns, target in shard.cached(
            "least_squares/" + self.target, lambda: matrices(state["names"], self.target, blocks)
        ):
            residual = np.einsum("ji,j->i", columns, weights, optimize=False) - target
            sums[:-1] += np.einsum("ji,i->j", columns, residual, optimize=False)
            sums[-1] += 0.5 * np.einsum("i,i->", residual, residual, optimize=False)
        return {"sums": sums}

    def merge(self, left: Record, right: Record) -> Record:
        return {"sums": left["sums"] + right["sums"]}

    def update(self, state: Record, total: Record) -> Record | Done:
        gradient, loss = total["sums"][:-1] / state["rows"], float(total["sums"][-1] / state["rows"])
        if not math.isfinite(loss) or (state["loss"] is not None and loss > 1e6 * max(state["loss"], 1.0)):
            raise CallerError(
                f"gradient descent diverges: learning_rate={self.learning_rate:g} is too large, or X is not finite"
            )
        if float(np.max(np.abs(gradient))) <= self.tol:
            return Done({"weights": state["weights"], "rounds": state["round"], "loss": loss})
        weights = state["weights"] - self.learning_rate * gradient
        return {**state, "weights": weights, "round": state["round"] + 1, "loss": loss}

    def report(self, state: Record) -> Mapping[str, float]:
        return {} if state["loss"] is None else {"loss": state["loss"]}


def matrices(names: list[str], target: str, blocks: Iterator[Block]) -> list[tuple[Floats, Floats]]:
    found = []
    for block in blocks:
        columns = np.array([block[name] for name in names], dtype=np.float64)
        found.append((columns, np.asarray(block[target], dtype=np.float64)))
    return found


def distributed_gradient_descent(data: Any, target: Any, num_partitions: int, learning_rate: float) -> Floats:
    """Return the least-squares weights of `data` (rows, columns) for `target` (rows,), by gradient descent to convergence.

    Every round each partition computes its part of the gradient; the parts are added in a fixed order, so the weights have the
    same bits on every run and on every engine.

    Raises
    ------
    CallerError
        If the learning rate is too large, or 100,000 rounds are not enough.

    Examples
    --------
    >>> import muskox, numpy as np
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
    >>> distributed_gradient_descent(X, X[:, 0] * 2 - X[:, 1], num_partitions=2, learning_rate=0.5).round(6).tolist()
    [2.0, -1.0]
    """
    table, name = with_target(from_array(np.asarray(data, dtype=np.float64), None), np.asarray(target, dtype=np.float64))
    dataset = in_process(table, ArrayPartition(num_partitions))
    weights: Floats = dataset.run(LeastSquaresDescent(name, learning_rate), RunOptions(rounds_max=ROUNDS_MAX)).result["weights"]
    return weights
