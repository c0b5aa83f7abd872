"""Learning: pure mathematics from rows to models. Data comes as shards, results go as records; a cluster is reached only
through a dataset that runs programs.

Names are imported when first used: a worker that runs a program need not load scikit-learn, which the estimator stands on.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    "Encoder": "encoder",
    "EncoderProgram": "encoder",
    "LeastSquaresDescent": "least_squares",
    "LogisticModel": "model",
    "LogisticProgram": "logistic",
    "LogisticRegression": "estimator",
    "distributed_gradient_descent": "least_squares",
    "load_model": "estimator",
    "load_predictor": "model",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
