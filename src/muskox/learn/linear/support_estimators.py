"""LinearSVC and LinearSVR: scikit-learn's API over the programs of linear support vector machines."""

from collections.abc import Mapping, Sequence
from typing import Any

from muskox.learn.base import ClassifierEstimator, Margins, RegressorEstimator, plain
from muskox.learn.encoder import CATEGORIES_MAX
from muskox.learn.inputs import Inputs
from muskox.learn.linear.estimators import LinearEstimator
from muskox.learn.linear.support import SupportProgram, SupportRegressionProgram
from muskox.records import Record


class LinearSVC(LinearEstimator, Margins, ClassifierEstimator):
    """Linear support vector classifier, on tables of numbers, text and missing values; of more classes each against all.

    Parameters
    ----------
    C : weight of the losses against the penalty; the intercept is not penalised
    loss : "squared_hinge" or "hinge"
    class_weight : None, "balanced", or a factor for each class
    max_rounds : evaluations of the objective at most
    tol : stop when no component of the mean objective's gradient (over standardised columns) exceeds it
    warm_start : begin where the last fit ended
    standardise : penalise the coefficients of standardised columns; False penalises those of the raw columns
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error
    sparse : text columns of sparse features, "3:1.5 17:2" (index:value; an index counts from 0)
    hashed : text columns whose words are counted by their hashes
    hash_features : how many indexes the words of a column share

    Attributes
    ----------
    coef_ : for raw columns, in the order of ``encoder_.feature_names_out()``, shape (1, encoded features), or
        (classes, encoded features) of more than two
    intercept_ : shape (1,) or (classes,)
    loss_ : the objective over C and the number of rows, summed over the classes where there are more than two
    status_ : "converged"; or "max_rounds", or "stalled" where rounding hid any further descent: then `tol` was not reached
    classes_, encoder_, n_rounds_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> model = LinearSVC().fit([[0.0], [1.0], [2.0], [3.0]], ["no", "no", "yes", "yes"])
    >>> model.predict([[0.5], [2.5]]).tolist()
    ['no', 'yes']
    """

    def __init__(  # noqa: PLR0913  # scikit-learn's contract: every parameter is an argument
        self,
        *,
        C: float = 1.0,
        loss: str = "squared_hinge",
        class_weight: str | Mapping[Any, float] | None = None,
        max_rounds: int = 1000,
        tol: float = 1e-5,
        warm_start: bool = False,
        standardise: bool = True,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
        sparse: Sequence[str] = (),
        hashed: Sequence[str] = (),
        hash_features: int = 1 << 18,
    ) -> None:
        self.C = C
        self.loss = loss
        self.class_weight = class_weight
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

    def build(self, inputs: Inputs) -> SupportProgram:
        return SupportProgram(
            inputs=inputs,
            **self.sparse_columns(),
            C=plain(self.C),
            loss=self.loss,
            max_rounds=plain(self.max_rounds),
            tol=plain(self.tol),
            begin_at=self.last(),
        )


class LinearSVR(LinearEstimator, RegressorEstimator):
    """Linear support vector regression, on tables of numbers, text and missing values.

    Parameters
    ----------
    epsilon : how far off a prediction costs nothing
    C : weight of the losses against the penalty; the intercept is not penalised
    loss : "epsilon_insensitive" or "squared_epsilon_insensitive"
    max_rounds : evaluations of the objective at most
    tol : stop when no component of the mean objective's gradient (over standardised columns and target) exceeds it
    warm_start : begin where the last fit ended
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
    intercept_ : shape (1,)
    loss_ : the objective over C and the number of rows
    status_ : "converged"; or "max_rounds", or "stalled" where rounding hid any further descent: then `tol` was not reached
    encoder_, n_rounds_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> model = LinearSVR(C=100.0).fit([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0])
    >>> model.predict([[4.0]]).round(2).tolist()
    [9.0]
    """

    def __init__(  # noqa: PLR0913  # scikit-learn's contract: every parameter is an argument
        self,
        *,
        epsilon: float = 0.0,
        C: float = 1.0,
        loss: str = "epsilon_insensitive",
        max_rounds: int = 1000,
        tol: float = 1e-5,
        warm_start: bool = False,
        standardise: bool = True,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
        sparse: Sequence[str] = (),
        hashed: Sequence[str] = (),
        hash_features: int = 1 << 18,
    ) -> None:
        self.epsilon = epsilon
        self.C = C
        self.loss = loss
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

    def build(self, inputs: Inputs) -> SupportRegressionProgram:
        return SupportRegressionProgram(
            inputs=inputs,
            **self.sparse_columns(),
            epsilon=plain(self.epsilon),
            C=plain(self.C),
            loss=self.loss,
            max_rounds=plain(self.max_rounds),
            tol=plain(self.tol),
            begin_at=self.last(),
        )

    def adopt(self, record: Record) -> None:
        super().adopt(record)
        self.coef_ = self.coef_[0]
