"""LinearRegression and Ridge: scikit-learn's API over `RegressionProgram`."""

from collections.abc import Sequence

from muskox.learn.base import RegressorEstimator, plain
from muskox.learn.encoder import CATEGORIES_MAX
from muskox.learn.inputs import Inputs
from muskox.learn.linear.estimators import LinearEstimator
from muskox.learn.linear.regression import RegressionProgram
from muskox.records import Record


class LeastSquares(LinearEstimator, RegressorEstimator):
    """What LinearRegression and Ridge share."""

    def adopt(self, record: Record) -> None:
        super().adopt(record)
        self.coef_ = self.coef_[0]
        self.intercept_ = float(self.intercept_[0])


class LinearRegression(LeastSquares):
    """Least squares, on tables of numbers, text and missing values: exactly, in two rounds.

    Parameters
    ----------
    solver : "exact" (normal equations), "lbfgs", or "auto": exact up to 256 encoded features
    max_rounds : of "lbfgs": evaluations of the objective at most
    tol : of "lbfgs": stop when no component of the mean objective's gradient (over standardised columns and target) exceeds it
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error
    sparse : text columns of sparse features, "3:1.5 17:2" (index:value; an index counts from 0)
    hashed : text columns whose words are counted by their hashes
    hash_features : how many indexes the words of a column share

    Attributes
    ----------
    coef_ : for raw columns, in the order of ``encoder_.feature_names_out()``, shape (encoded features,)
    intercept_ : float
    loss_ : mean of (prediction - y)**2 / 2
    status_ : "exact"; or of "lbfgs" "converged", "max_rounds" or "stalled"
    encoder_, n_rounds_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> model = LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    >>> model.coef_.round(9).tolist(), round(model.intercept_, 9)
    ([2.0], 1.0)
    """

    def __init__(  # noqa: PLR0913  # scikit-learn's contract: every parameter is an argument
        self,
        *,
        solver: str = "auto",
        max_rounds: int = 1000,
        tol: float = 1e-8,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
        sparse: Sequence[str] = (),
        hashed: Sequence[str] = (),
        hash_features: int = 1 << 18,
    ) -> None:
        self.solver = solver
        self.max_rounds = max_rounds
        self.tol = tol
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max
        self.sparse = sparse
        self.hashed = hashed
        self.hash_features = hash_features

    def build(self, inputs: Inputs) -> RegressionProgram:
        return RegressionProgram(
            inputs=inputs,
            **self.sparse_columns(),
            solver=self.solver,
            max_rounds=plain(self.max_rounds),
            tol=plain(self.tol),
            alpha=0.0,
        )


class Ridge(LeastSquares):
    """Least squares with an L2 penalty, on tables of numbers, text and missing values.

    Parameters
    ----------
    alpha : strength of the penalty; the objective is scikit-learn's
    solver : "exact" (normal equations), "lbfgs", or "auto": exact up to 256 encoded features
    max_rounds : of "lbfgs": evaluations of the objective at most
    tol : of "lbfgs": stop when no component of the mean objective's gradient (over standardised columns and target) exceeds it
    warm_start : of "lbfgs": begin where the last fit ended
    standardise : penalise the coefficients of standardised columns; False penalises those of the raw columns
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error
    sparse : text columns of sparse features, "3:1.5 17:2" (index:value; an index counts from 0)
    hashed : text columns whose words are counted by their hashes
    hash_features : how many indexes the words of a column share

    Attributes
    ----------
    coef_ : for raw columns, in the order of ``encoder_.feature_names_out()``, shape (encoded features,)
    intercept_ : float
    loss_ : mean of (prediction - y)**2 / 2, and the penalty over twice the number of rows
    status_ : "exact"; or of "lbfgs" "converged", "max_rounds" or "stalled"
    encoder_, n_rounds_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> model = Ridge(alpha=0.0, standardise=False).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    >>> model.predict([[3.0]]).round(9).tolist()
    [7.0]
    """

    def __init__(  # noqa: PLR0913  # scikit-learn's contract: every parameter is an argument
        self,
        *,
        alpha: float = 1.0,
        solver: str = "auto",
        max_rounds: int = 1000,
        tol: float = 1e-8,
        warm_start: bool = False,
        standardise: bool = True,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
        sparse: Sequence[str] = (),
        hashed: Sequence[str] = (),
        hash_features: int = 1 << 18,
    ) -> None:
        self.alpha = alpha
        self.solver = solver
        self.max_rounds = max_rounds
        self.tol = tol
        self.warm_start = warm_start
        self.standardise = standardise
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max
        self.sparse = sparse
        self.hashed = hashed
        self.hash_features = hash_features

    def build(self, inputs: Inputs) -> RegressionProgram:
        return RegressionProgram(
            inputs=inputs,
            **self.sparse_columns(),
            alpha=plain(self.alpha),
            solver=self.solver,
            max_rounds=plain(self.max_rounds),
            tol=plain(self.tol),
            begin_at=self.last(),
            estimator="Ridge",
        )
