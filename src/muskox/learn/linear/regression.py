"""Least squares, with and without a penalty: exactly by the normal equations in one round, or by L-BFGS where columns are many.

Minimised is sum((z - y)**2) + alpha * sum(w**2), scikit-learn's objective of Ridge, the intercept unpenalised; divided by twice
the sum of the weights it is what the solver sees. The target is scaled to deviation 1 meanwhile.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from muskox.learn.columns import Floats
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import Target
from muskox.learn.linear import normal
from muskox.learn.linear.encoded import encode_shard
from muskox.learn.linear.losses import SQUARED, Loss
from muskox.learn.linear.model import coefficients
from muskox.learn.linear.program import LinearProgram
from muskox.learn.linear.sparse_training import width_of
from muskox.learn.parameters import require_number
from muskox.program import Block, Done, Shard
from muskox.records import Record


@dataclass(frozen=True, kw_only=True)
class RegressionProgram(LinearProgram):
    """Train a linear regression by least squares; the result is the model's record.

    Parameters
    ----------
    alpha : strength of the penalty; 0 for none
    solver : "exact" (normal equations), "lbfgs", or "auto": exact up to 256 encoded features
    estimator : what the record calls itself
    """

    target_kind = Target.NUMBER
    solvers = ("auto", "exact", "lbfgs")

    solver: str = "auto"
    alpha: float = 0.0
    estimator: str = "LinearRegression"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("alpha", self.alpha, above=-1e-300)

    def loss_of(self, prepared: Record) -> Loss:  # noqa: ARG002
        return SQUARED

    def strengths(self, prepared: Record) -> tuple[float, float]:
        return self.alpha / prepared["weight_sum"], 0.0

    def is_exact(self, prepared: Record) -> bool:
        if self.inputs.holds_out or self.solver == "lbfgs":
            return False
        return self.solver == "exact" or width_of(prepared) <= normal.WIDTH_MAX

    def start(self, prepared: Record) -> Record:
        if self.is_exact(prepared):
            return {"exact": True}
        return {**super().start(prepared), "exact": False}

    def fit_partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        if not state["exact"]:
            return super().fit_partial(state, shard, blocks)
        prepared = state["prepared"]
        return {"products": normal.products(encode_shard(prepared, shard, blocks), width_of(prepared))}

    def fit_update(self, state: Record, total: Record) -> Record | Done:
        if not state["exact"]:
            return super().fit_update(state, total)
        prepared = state["prepared"]
        encoder = Encoder(prepared["encoder"])
        norm = np.ones(width_of(prepared))
        norm[: len(encoder.numeric)] = 1.0 / (encoder.scale * encoder.scale)
        penalty = np.ones(width_of(prepared)) if self.inputs.standardise else norm
        point, loss = normal.solve(total["products"], prepared["weight_sum"], self.strengths(prepared)[0] * penalty, norm)
        told = {"rounds": 1, "status": "exact", "loss": loss, "gradient_norm": 0.0}
        return Done(self.model(state, point[None], told))

    def model(self, state: Record, points: Floats, told: Record) -> Record:
        prepared = state["prepared"]
        unit = prepared["scale"]
        points = points * unit
        points[:, -1] += prepared["mean"]
        return self.model_record(
            prepared,
            model="muskox.learn:LinearModel",
            estimator=f"muskox.learn:{self.estimator}",
            kind="ridge" if self.estimator == "Ridge" else "linear regression",
            **coefficients(points, prepared),
            **for_target(told, unit * unit),
        )


def for_target(told: Record, unit: float) -> Record:
    """Return what is told of losses, in units of the target as it is, not as the solver scaled it."""
    return {name: value * unit if name.endswith("loss") else value for name, value in told.items()}
