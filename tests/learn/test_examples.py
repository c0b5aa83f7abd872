"""The examples in the docstrings of this room are run."""

import doctest
from importlib import import_module

import pytest

NAMES = [
    "encoder",
    "linear.estimators",
    "linear.least_squares",
    "linear.regression_estimators",
    "linear.support_estimators",
    "neural.mlp_estimators",
    "neural.torch_estimators",
    "sgd.estimators",
    "trees.boosting_estimators",
    "trees.forest_estimators",
]


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_tell_the_truth(name: str) -> None:
    found = doctest.testmod(import_module(f"muskox.learn.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
