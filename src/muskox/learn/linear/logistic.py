"""Logistic regression, of two classes and of more: its loss, its penalties, where it begins.

The objective is scikit-learn's, divided by C and the sum of the weights W: mean log loss + sum(w**2) / (2 C W), or
sum(abs(w)) / (C W) for "l1", or both in shares of `l1_ratio`. Of more than two classes the loss is multinomial.

The solver starts at w = 0 and the intercepts that fit the shares of the classes.
"""

import math
from dataclasses import dataclass

import numpy as np

from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.functions import log
from muskox.learn.inputs import Target
from muskox.learn.linear.losses import LOGISTIC, MULTINOMIAL, Loss
from muskox.learn.linear.model import coefficients
from muskox.learn.linear.program import LinearProgram
from muskox.learn.parameters import require_choice, require_number
from muskox.records import Record

PENALTIES = ("l2", "l1", "elasticnet", None)
BEND_MIN = 1e-12  # of the log loss where one class has no weight
SHARE_MIN = 1e-12


@dataclass(frozen=True, kw_only=True)
class LogisticProgram(LinearProgram):
    """Train a logistic regression on the columns of a dataset; the result is the model's record.

    Parameters
    ----------
    C : inverse strength of the penalty, as in scikit-learn
    penalty : "l2", "l1", "elasticnet" or None
    l1_ratio : of "elasticnet": the share of the absolute values
    """

    target_kind = Target.CLASSES
    solvers = ("lbfgs", "gd")

    C: float = 1.0
    penalty: str | None = "l2"
    l1_ratio: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("C", self.C, above=0.0)
        require_choice("penalty", self.penalty, PENALTIES)
        require_number("l1_ratio", self.l1_ratio, above=-1e-300, most=1.0)
        if self.solver == "gd" and self.penalty in ("l1", "elasticnet"):
            raise CallerError(f"penalty={self.penalty!r} has corners, which solver='gd' cannot see: take solver='lbfgs'")

    def loss_of(self, prepared: Record) -> Loss:
        return LOGISTIC if self.outputs(prepared) == 1 else MULTINOMIAL

    def strengths(self, prepared: Record) -> tuple[float, float]:
        share = {"l2": 0.0, "l1": 1.0, "elasticnet": float(self.l1_ratio)}
        if self.penalty is None:
            return 0.0, 0.0
        strength = 1.0 / (self.C * prepared["weight_sum"])
        return (1.0 - share[self.penalty]) * strength, share[self.penalty] * strength

    def intercepts(self, prepared: Record) -> tuple[Floats, Floats]:
        factors = prepared["class_weights"]
        shares = (prepared["counts"] if factors is None else prepared["counts"] * factors) / prepared["weight_sum"]
        if len(shares) == 2:
            share = float(shares[1])
            begin = math.log(share / (1.0 - share)) if 0.0 < share < 1.0 else 0.0  # a class may have weight 0
            return np.array([begin]), np.array([max(share * (1.0 - share), BEND_MIN)])
        begins = log(np.maximum(shares, SHARE_MIN))
        return begins - np.add.reduce(begins) / len(begins), np.maximum(shares * (1.0 - shares), BEND_MIN)

    def model(self, state: Record, points: Floats, told: Record) -> Record:
        return self.model_record(
            state["prepared"],
            model="muskox.learn:LogisticModel",
            estimator="muskox.learn:LogisticRegression",
            kind="logistic",
            **coefficients(points, state["prepared"]),
            **told,
        )
