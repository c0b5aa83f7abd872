"""LogisticRegression: scikit-learn's API over `LogisticProgram`, on arrays in this process or on a dataset where it lies."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from muskox.learn.base import ClassifierEstimator, Margins, Probabilities, plain
from muskox.learn.columns import Floats
from muskox.learn.encoder import CATEGORIES_MAX, Encoder
from muskox.learn.inputs import Inputs
from muskox.learn.linear.logistic import LogisticProgram
from muskox.records import Record


class LogisticRegression(Probabilities, Margins, ClassifierEstimator):
    """Binary logistic regression with an L2 penalty, on tables of numbers, text and missing values.

    Parameters
    ----------
    C : inverse strength of the penalty; the objective is scikit-learn's
    solver : "lbfgs" or "gd" (gradient descent)
    max_rounds : evaluations of the objective at most
    tol : stop when no component of the mean objective's gradient (over standardised columns) exceeds it
    learning_rate : of "gd"; None finds the step by backtracking
    standardise : penalise the coefficients of standardised columns; False penalises those of the raw columns
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error

    Attributes
    ----------
    coef_ : shape (1, encoded features), for raw (not standardised) columns, in the order of ``encoder_.feature_names_out()``
    intercept_ : shape (1,)
    classes_ : shape (2,); ``predict_proba``'s second column belongs to the second
    status_ : "converged"; or "max_rounds", or "stalled" where rounding hid any further descent: then `tol` was not reached
    encoder_, n_rounds_, loss_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> import muskox, numpy as np
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["no", "no", "yes", "yes"])
    >>> model = LogisticRegression().fit(X, y)
    >>> model.predict([[0.5], [2.5]]).tolist()
    ['no', 'yes']
    """

    def __init__(  # noqa: PLR0913  # scikit-learn's contract: every parameter is an argument
        self,
        *,
        C: float = 1.0,
        solver: str = "lbfgs",
        max_rounds: int = 100,
        tol: float = 1e-6,
        learning_rate: float | None = None,
        standardise: bool = True,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        self.C = C
        self.solver = solver
        self.max_rounds = max_rounds
        self.tol = tol
        self.learning_rate = learning_rate
        self.standardise = standardise
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max

    def build(self, inputs: Inputs) -> LogisticProgram:
        return LogisticProgram(
            inputs=inputs,
            C=plain(self.C),
            solver=self.solver,
            max_rounds=plain(self.max_rounds),
            tol=plain(self.tol),
            learning_rate=plain(self.learning_rate),
        )

    def adopt(self, record: Record) -> None:
        encoder = self.model_.encoder
        coef, intercept = raw_coefficients(encoder, record["coef"], record["intercept"])
        self.encoder_ = encoder
        self.coef_ = coef.reshape(1, -1)
        self.intercept_ = intercept
        self.status_ = str(record["status"])
        self.n_iter_ = np.array([self.n_rounds_], dtype=np.int32)
        self.loss_ = float(record["loss"])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def raw_coefficients(encoder: Encoder, coef: Floats, intercept: Floats) -> tuple[Floats, Floats]:
    """Return coefficients and intercept for columns that are imputed but not standardised."""
    numeric = len(encoder.numeric)
    raw = coef.copy()
    raw[:numeric] /= encoder.scale
    shift = np.add.reduce(raw[:numeric] * encoder.mean) if numeric else 0.0
    return raw, intercept - shift
