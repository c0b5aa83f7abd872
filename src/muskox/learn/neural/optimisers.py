"""Optimisers on one flat vector of parameters: stochastic gradient descent with momentum, and Adam (Kingma and Ba, 2015).

Their state is a record; every operation is one of IEEE 754's basic ones, element by element: the bits are the same everywhere.
"""

from dataclasses import dataclass

import numpy as np

from muskox.errors import CallerError
from muskox.learn.parameters import require_choice, require_number
from muskox.records import Array, Record

SOLVERS = ("adam", "sgd")


@dataclass(frozen=True, slots=True)
class Optimiser:
    """How a gradient becomes a step; the names are scikit-learn's."""

    solver: str = "adam"
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def check(self) -> None:
        require_choice("solver", self.solver, SOLVERS)
        require_choice("nesterovs_momentum", self.nesterovs_momentum, (True, False))
        require_number("epsilon", self.epsilon, above=0.0)
        for name in ("momentum", "beta_1", "beta_2"):
            require_number(name, getattr(self, name), above=-1e-300, most=1.0)
        if self.beta_1 >= 1.0 or self.beta_2 >= 1.0:
            raise CallerError(f"beta_1={self.beta_1!r}, beta_2={self.beta_2!r}: both must be less than 1")

    def start(self, parameters: Array) -> Record:
        """Return the state before the first step."""
        if self.solver == "sgd":
            return {"velocity": np.zeros_like(parameters)}
        zeros = np.zeros_like(parameters)
        return {"first": zeros, "second": zeros.copy(), "power_1": 1.0, "power_2": 1.0}

    def step(self, parameters: Array, gradient: Array, state: Record, rate: float) -> tuple[Array, Record]:
        """Return parameters and state after a step against `gradient`."""
        if self.solver == "sgd":
            velocity = self.momentum * state["velocity"] - rate * gradient
            move = self.momentum * velocity - rate * gradient if self.nesterovs_momentum else velocity
            return parameters + move, {"velocity": velocity}
        first = self.beta_1 * state["first"] + (1.0 - self.beta_1) * gradient
        second = self.beta_2 * state["second"] + (1.0 - self.beta_2) * (gradient * gradient)
        power_1, power_2 = state["power_1"] * self.beta_1, state["power_2"] * self.beta_2
        scaled = rate * float(np.sqrt(1.0 - power_2)) / (1.0 - power_1)
        moved = parameters - scaled * first / (np.sqrt(second) + self.epsilon)
        return moved, {"first": first, "second": second, "power_1": power_1, "power_2": power_2}
