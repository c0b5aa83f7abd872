"""TrainingProgram: what the programs of all estimators share."""

from typing import Any

import numpy as np
import pytest

import muskox.learn as family
from muskox.streams import stream

WHOLE: dict[str, dict[str, int]] = {  # parameters that are floats, as ints
    "LogisticRegression": {"C": 2, "tol": 1},
    "LinearRegression": {"tol": 1},
    "Ridge": {"alpha": 1, "tol": 0},
    "LinearSVC": {"C": 1, "tol": 1},
    "LinearSVR": {"C": 1, "epsilon": 1, "tol": 1},
    "SGDClassifier": {"alpha": 1, "l1_ratio": 0, "eta0": 1, "tol": 0},
    "SGDRegressor": {"alpha": 1, "power_t": 1, "momentum": 0, "eta0": 1},
    "MLPClassifier": {"alpha": 0, "tol": 1, "learning_rate_init": 1, "momentum": 0},
    "MLPRegressor": {"alpha": 1, "power_t": 1, "epsilon": 1, "beta_1": 0},
    "GradientBoostingClassifier": {"learning_rate": 1, "l2_regularization": 1, "subsample": 1},
    "GradientBoostingRegressor": {"learning_rate": 1, "min_child_weight": 1, "tol": 0},
    "RandomForestClassifier": {"max_samples": 1},
    "RandomForestRegressor": {"max_samples": 1},
    "GaussianNB": {"var_smoothing": 1},
    "MultinomialNB": {"alpha": 1},
    "KMeans": {"tol": 1, "oversampling": 2},
}
FEW = {"max_rounds": 3, "max_epochs": 3, "n_estimators": 3}


@pytest.mark.parametrize("name", WHOLE)
def test_an_int_in_the_place_of_a_float_gives_the_same_digest(name: str) -> None:
    make: Any = getattr(family, name)
    X = np.abs(stream(0, "test").normal(size=(60, 3)))
    y = (X[:, 0] > X[:, 1]).astype(float)
    few = {each: value for each, value in FEW.items() if each in make().get_params()}
    ints, floats = WHOLE[name], {each: float(value) for each, value in WHOLE[name].items()}
    assert make(**few, **ints).fit(X, y).digest_ == make(**few, **floats).fit(X, y).digest_
