"""Learning: pure mathematics from rows to models. Data comes as shards, results go as records; a cluster is reached only
through a dataset that runs programs.

Names are imported when first used: a worker that runs a program need not load scikit-learn, which the estimator stands on.
"""

from typing import TYPE_CHECKING

from muskox.front_door import lazy

if TYPE_CHECKING:
    from muskox.learn.encoder import Encoder, EncoderProgram
    from muskox.learn.estimator import LogisticRegression, load_model
    from muskox.learn.least_squares import LeastSquaresDescent, distributed_gradient_descent
    from muskox.learn.logistic import LogisticProgram
    from muskox.learn.model import LogisticModel, load_predictor

__all__ = [
    "Encoder",
    "EncoderProgram",
    "LeastSquaresDescent",
    "LogisticModel",
    "LogisticProgram",
    "LogisticRegression",
    "distributed_gradient_descent",
    "load_model",
    "load_predictor",
]

_HOMES = {
    "encoder": ("Encoder", "EncoderProgram"),
    "estimator": ("LogisticRegression", "load_model"),
    "least_squares": ("LeastSquaresDescent", "distributed_gradient_descent"),
    "logistic": ("LogisticProgram",),
    "model": ("LogisticModel", "load_predictor"),
}

__getattr__ = lazy(__name__, _HOMES)
