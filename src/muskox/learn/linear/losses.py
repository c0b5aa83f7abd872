"""Losses: what is minimised over the rows, and what a solver must know of each.

Of a margin z = w.x + b and a target y (-1 or 1 of two classes):

logistic             log(1 + exp(-y z))
multinomial          log(sum(exp(z_k))) - z_y, one margin a class
squared              (z - y)**2 / 2
squared hinge        max(0, 1 - y z)**2
hinge                max(0, 1 - y z)
insensitive          max(0, abs(z - y) - epsilon)
squared insensitive  max(0, abs(z - y) - epsilon)**2

The two with corners are minimised with the corners rounded: over a width about each corner the loss is a parabola that
meets it at both ends. The rounded loss is at most width / 8 above the true one, and nowhere below it; see `CORNERS`.
"""

from dataclasses import dataclass

import numpy as np

from muskox.learn.columns import Floats
from muskox.learn.linear import kernels

CORNERS = (1.0, 0.1, 0.01)  # widths, one after the other; each minimum is the next one's start


@dataclass(frozen=True, slots=True)
class Loss:
    """One loss.

    code : the kernel's number for it; -1 is the multinomial
    bend : its second derivative by the margin, or a bound of it
    has_corners : whether they are rounded
    """

    name: str
    code: int
    bend: float
    has_corners: bool = False
    epsilon: float = 0.0

    @property
    def is_joint(self) -> bool:
        """Whether the margins of a row depend on each other in the loss."""
        return self.code < 0

    def settings(self, stage: int) -> Floats:
        return np.array([self.epsilon, CORNERS[stage]])


LOGISTIC = Loss("logistic", kernels.LOGISTIC, 0.25)
MULTINOMIAL = Loss("multinomial", -1, 0.5)
SQUARED = Loss("squared", kernels.SQUARED, 1.0)
SQUARED_HINGE = Loss("squared hinge", kernels.SQUARED_HINGE, 2.0)
HINGE = Loss("hinge", kernels.HINGE, 1.0, has_corners=True)


def insensitive(epsilon: float) -> Loss:
    return Loss("insensitive", kernels.INSENSITIVE, 1.0, has_corners=True, epsilon=epsilon)


def squared_insensitive(epsilon: float) -> Loss:
    return Loss("squared insensitive", kernels.SQUARED_INSENSITIVE, 2.0, epsilon=epsilon)
