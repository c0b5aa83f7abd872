"""Options: the parameters of stochastic gradient descent, their rules, and the vector of numbers that the kernels read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.parameters import require_choice, require_count, require_number

LOSSES_OF_CLASSES = ("hinge", "squared_hinge", "log_loss", "modified_huber", "perceptron")
LOSSES_OF_NUMBERS = ("squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive")
PENALTIES = ("l2", "l1", "elasticnet", None)
SOLVERS = ("sgd", "adam", "average")
RATES = ("constant", "optimal", "invscaling", "adaptive")
CURVATURE = {"log_loss": 0.25, "squared_hinge": 2.0, "modified_huber": 2.0, "squared_epsilon_insensitive": 2.0}  # others: 1
ADAM_RATE = 0.01  # of "adam" where eta0 is not given: its steps are as long as the rate, so this is of the target's deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent:
    """Everything that is the same for classes and numbers; see :class:`muskox.learn.SGDClassifier` for what each means."""

    loss: str = "hinge"
    penalty: str | None = "l2"
    alpha: float = 1e-4
    l1_ratio: float = 0.15
    epsilon: float = 0.1
    fit_intercept: bool = True
    solver: str = "sgd"
    batch_size: int = 32
    steps_per_round: int | None = None
    local_epochs: int = 1
    max_rounds: int = 10_000
    max_epochs: int = 1000
    tol: float | None = 1e-3
    n_iter_no_change: int = 5
    learning_rate: str = "optimal"
    eta0: float | None = None
    power_t: float = 0.5
    momentum: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    average: int = 0
    shuffle: bool = True

    def check(self, losses: Sequence[str]) -> None:
        """Raise CallerError with the rule for a value that cannot be."""
        require_choice("loss", self.loss, tuple(losses))
        require_choice("penalty", self.penalty, PENALTIES)
        require_choice("solver", self.solver, SOLVERS)
        require_choice("learning_rate", self.learning_rate, RATES)
        require_choice("fit_intercept", self.fit_intercept, (True, False))
        require_choice("shuffle", self.shuffle, (True, False))
        for name in ("alpha", "epsilon", "momentum", "beta_1", "beta_2", "l1_ratio"):
            require_number(name, getattr(self, name), above=-1e-300, most=math.inf if name in ("alpha", "epsilon") else 1.0)
        for name in ("momentum", "beta_1", "beta_2"):
            if getattr(self, name) == 1.0:
                raise CallerError(f"{name}=1.0: it must be below 1, or nothing is ever forgotten")
        require_number("power_t", self.power_t)
        for name in ("tol", "eta0"):
            if getattr(self, name) is not None:
                require_number(name, getattr(self, name), above=0.0 if name == "eta0" else -1e-300)
        for name in ("batch_size", "local_epochs", "max_rounds", "max_epochs", "n_iter_no_change"):
            require_count(name, getattr(self, name))
        if self.steps_per_round is not None:
            require_count("steps_per_round", self.steps_per_round)
        require_count("average", self.average, least=0)
        if self.learning_rate == "optimal" and self.alpha == 0.0:
            raise CallerError("learning_rate='optimal' falls as 1 / (alpha * steps): alpha must be greater than 0 with it")
        if self.solver == "average" and self.average:
            raise CallerError("average=True averages the steps of one model; solver='average' averages models: choose one")
        if self.solver == "adam" and self.momentum:
            raise CallerError("momentum is of solver='sgd' and 'average'; that of 'adam' is beta_1")

    @property
    def l1(self) -> float:
        return self.alpha * {"l1": 1.0, "elasticnet": self.l1_ratio}.get(self.penalty or "", 0.0)

    @property
    def l2(self) -> float:
        return self.alpha * {"l2": 1.0, "elasticnet": 1.0 - self.l1_ratio}.get(self.penalty or "", 0.0)

    @property
    def arrays(self) -> tuple[str, ...]:
        """Which arrays of the coefficients' shape the steps need beside the coefficients."""
        names = []
        if self.momentum or self.solver == "adam":
            names.append("first")
        if self.solver == "adam":
            names.append("second")
        if self.l1:
            names.append("debts")
        if self.average:
            names.append("average")
        return tuple(names)

    def first_rate(self, squared_length: float, scale: float) -> float:
        """Return the rate of the first step, where the mean row has this squared length and the target this deviation.

        Not given, it is 1 / (curvature of the loss * squared length): a plain step along the mean row then goes as far as
        the loss's parabola does, and not beyond. A loss whose slope is bounded takes longer steps where the target asks for
        them, a 10th of its deviation each. Momentum takes each step 1 / (1 - momentum) times.
        """
        if self.eta0 is not None:
            return float(self.eta0)
        if self.solver == "adam":
            return ADAM_RATE * scale
        rate = 1.0 / CURVATURE.get(self.loss, 1.0)
        slope = {"huber": self.epsilon, "epsilon_insensitive": 1.0}.get(self.loss, 0.0)
        if slope > 0.0:
            rate = max(rate, 0.1 * scale / slope)
        return (1.0 - self.momentum) * rate / squared_length

    def vector(self, rate: float, first_rate: float, mean_weight: float, fixed: float | None) -> Floats:
        """Return the options of the kernels; a rate that is `fixed` takes the place of the schedule."""
        from muskox.learn.sgd import kernels as k

        out = np.zeros(k.OPTIONS)
        out[k.LOSS] = k.LOSSES.index(self.loss)
        out[k.EPSILON] = self.epsilon
        out[k.SCHEDULE] = k.CONSTANT if fixed is not None else k.SCHEDULES.index(self.learning_rate)
        out[k.RATE] = rate if fixed is None else fixed
        out[k.POWER] = self.power_t
        out[k.ALPHA] = self.alpha
        out[k.OFFSET] = 1.0 / (self.alpha * first_rate) if self.alpha else 0.0
        out[k.L2], out[k.L1] = self.l2, self.l1
        out[k.STEP_KIND] = k.ADAM if self.solver == "adam" else k.MOMENTUM if self.momentum else k.PLAIN
        out[k.BETA_1] = self.beta_1 if self.solver == "adam" else self.momentum
        out[k.BETA_2] = self.beta_2
        out[k.INTERCEPT] = float(self.fit_intercept)
        out[k.AVERAGE_FROM] = self.average
        out[k.MEAN_WEIGHT] = mean_weight
        return out


def zeros(descent: Descent, shape: tuple[int, int]) -> dict[str, Any]:
    """Return the point before the first step: the coefficients, a clock, and what else the steps need."""
    from muskox.learn.sgd import kernels as k

    clock = np.zeros(k.CLOCK)
    clock[k.POWER_1] = clock[k.POWER_2] = 1.0
    return {"W": np.zeros(shape), "clock": clock, **{name: np.zeros(shape) for name in descent.arrays}}


Moving = tuple[Floats, Floats, Floats, Floats, Floats, Floats]


def moving(point: dict[str, Any]) -> Moving:
    """Return copies of a point's arrays as the kernels take them: they are changed in place."""
    unused = np.zeros((1, 1))
    first, second, debts, average = (np.array(point.get(name, unused)) for name in ("first", "second", "debts", "average"))
    return np.array(point["W"]), first, second, debts, average, np.array(point["clock"])


def moved(point: dict[str, Any], arrays: Moving) -> dict[str, Any]:
    """Return the point after the kernels have changed the arrays that :func:`moving` gave."""
    names = ("W", "first", "second", "debts", "average", "clock")
    return {name: array for name, array in zip(names, arrays, strict=True) if name in point}


def standing(point: dict[str, Any]) -> Floats:
    """Return the coefficients that count: the average of the steps where they are averaged."""
    from muskox.learn.sgd import kernels as k

    averaged = "average" in point and point["clock"][k.AVERAGED] > 0.0
    chosen: Floats = point["average"] if averaged else point["W"]
    return chosen
