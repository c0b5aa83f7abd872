"""Linear support vector machines, of classes and of numbers: their losses, their penalties.

Minimised is sum(w**2) / 2 + C * (sum of the rows' losses), the intercept unpenalised; divided by C and the sum of the weights
it is what the solver sees. (liblinear, and with it scikit-learn's LinearSVC and LinearSVR, penalises the intercept, too.) Of
more than two classes each is told from all others. A number is scaled to deviation 1 meanwhile, and epsilon with it.
"""

from dataclasses import dataclass

from muskox.learn.columns import Floats
from muskox.learn.inputs import Target
from muskox.learn.linear.losses import HINGE, SQUARED_HINGE, Loss, insensitive, squared_insensitive
from muskox.learn.linear.model import coefficients
from muskox.learn.linear.program import LinearProgram
from muskox.learn.linear.regression import for_target
from muskox.learn.parameters import require_choice, require_number
from muskox.records import Record

CLASS_LOSSES = ("squared_hinge", "hinge")
NUMBER_LOSSES = ("epsilon_insensitive", "squared_epsilon_insensitive")


@dataclass(frozen=True, kw_only=True)
class SupportProgram(LinearProgram):
    """Train a linear support vector classifier; the result is the model's record.

    Parameters
    ----------
    C : weight of the losses against the penalty
    loss : "squared_hinge" or "hinge"
    """

    target_kind = Target.CLASSES

    C: float = 1.0
    loss: str = "squared_hinge"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("C", self.C, above=0.0)
        require_choice("loss", self.loss, CLASS_LOSSES)

    def loss_of(self, prepared: Record) -> Loss:  # noqa: ARG002
        return HINGE if self.loss == "hinge" else SQUARED_HINGE

    def strengths(self, prepared: Record) -> tuple[float, float]:
        return 1.0 / (self.C * prepared["weight_sum"]), 0.0

    def model(self, state: Record, points: Floats, told: Record) -> Record:
        return self.model_record(
            state["prepared"],
            model="muskox.learn:SupportModel",
            estimator="muskox.learn:LinearSVC",
            kind="linear svc",
            **coefficients(points, state["prepared"]),
            **told,
        )


@dataclass(frozen=True, kw_only=True)
class SupportRegressionProgram(LinearProgram):
    """Train a linear support vector regression; the result is the model's record.

    Parameters
    ----------
    C : weight of the losses against the penalty
    loss : "epsilon_insensitive" or "squared_epsilon_insensitive"
    epsilon : how far off a prediction costs nothing
    """

    target_kind = Target.NUMBER

    C: float = 1.0
    loss: str = "epsilon_insensitive"
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("C", self.C, above=0.0)
        require_number("epsilon", self.epsilon, above=-1e-300)
        require_choice("loss", self.loss, NUMBER_LOSSES)

    @property
    def is_squared(self) -> bool:
        return self.loss == "squared_epsilon_insensitive"

    def loss_of(self, prepared: Record) -> Loss:
        epsilon = self.epsilon / prepared["scale"]
        return squared_insensitive(epsilon) if self.is_squared else insensitive(epsilon)

    def strengths(self, prepared: Record) -> tuple[float, float]:
        unit = 1.0 if self.is_squared else prepared["scale"]
        return unit / (self.C * prepared["weight_sum"]), 0.0

    def model(self, state: Record, points: Floats, told: Record) -> Record:
        prepared = state["prepared"]
        unit = prepared["scale"]
        told = for_target(told, unit * unit if self.is_squared else unit)
        points = points * unit
        points[:, -1] += prepared["mean"]
        return self.model_record(
            prepared,
            model="muskox.learn:LinearModel",
            estimator="muskox.learn:LinearSVR",
            kind="linear svr",
            **coefficients(points, prepared),
            **told,
        )
