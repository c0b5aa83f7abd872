"""GradientBoostingClassifier and GradientBoostingRegressor: scikit-learn's API over the programs of boosted trees."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from muskox.learn.base import ClassifierEstimator, Margins, Probabilities, RegressorEstimator, plain
from muskox.learn.encoder import CATEGORIES_MAX
from muskox.learn.inputs import Inputs
from muskox.learn.trees.boosting import ClassBoostingProgram, NumberBoostingProgram
from muskox.program import Program
from muskox.records import Record

OWN = (
    "n_estimators", "learning_rate", "max_depth", "max_bins", "l2_regularization", "min_child_weight", "min_split_gain",
    "subsample", "colsample_bytree", "n_iter_no_change", "tol",
)  # fmt: skip  # parameters of the estimators that are the programs'


class GradientBoostingClassifier(Probabilities, Margins, ClassifierEstimator):
    """Boosted trees that tell classes apart, on tables of numbers, text and missing values, by histograms of whole numbers.

    Parameters
    ----------
    n_estimators : trees at most; of three classes or more as many of each
    learning_rate : the factor of each tree; may change while a job runs
    max_depth : of a tree
    l2_regularization : added to each leaf's hessian
    min_child_weight : the least hessian of a leaf
    min_split_gain : the least gain of a split
    max_bins : of a numeric feature, at most 255
    subsample : the share of the rows that a tree sees
    colsample_bytree : the share of the features that a tree looks at
    validation_fraction : the share of the rows to hold out, to stop by
    n_iter_no_change : trees without a better held-out loss after which to stop; 0 never stops early, yet takes the best
    tol : by how much a held-out loss must be better to count
    class_weight : "balanced", or a dict of each class's factor for a row's weight
    seed : of all that is drawn
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error

    Attributes
    ----------
    feature_importances_ : the share of each feature in all gain, shape (features,)
    n_estimators_ : trees (of each class) that the model has
    validation_losses_ : log loss of the held-out rows after 0, 1, 2, ... trees, if there are any
    classes_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> X = [[float(i % 10)] for i in range(60)]
    >>> model = GradientBoostingClassifier(n_estimators=10).fit(X, ["low" if x[0] < 5.0 else "high" for x in X])
    >>> model.predict([[1.0], [8.0]]).tolist()
    ['low', 'high']
    """

    standardise: ClassVar[bool] = False  # bins need no deviation

    def __init__(  # noqa: PLR0913  # the estimator's parameters
        self,
        *,
        n_estimators: int = 100,
        learning_rate: float = 0.1,
        max_depth: int = 6,
        l2_regularization: float = 1.0,
        min_child_weight: float = 1.0,
        min_split_gain: float = 0.0,
        max_bins: int = 255,
        subsample: float = 1.0,
        colsample_bytree: float = 1.0,
        validation_fraction: float = 0.0,
        n_iter_no_change: int = 10,
        tol: float = 1e-7,
        class_weight: str | Mapping[Any, float] | None = None,
        seed: int = 0,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.l2_regularization = l2_regularization
        self.min_child_weight = min_child_weight
        self.min_split_gain = min_split_gain
        self.max_bins = max_bins
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.class_weight = class_weight
        self.seed = seed
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max

    def build(self, inputs: Inputs) -> Program:
        return ClassBoostingProgram(inputs=inputs, **{name: plain(getattr(self, name)) for name in OWN})

    def adopt(self, record: Record) -> None:
        adopt_boosting(self, record)


class GradientBoostingRegressor(RegressorEstimator):
    """Boosted trees that predict a number, on tables of numbers, text and missing values, by histograms of whole numbers.

    Parameters
    ----------
    n_estimators : trees at most
    learning_rate : the factor of each tree; may change while a job runs
    max_depth : of a tree
    l2_regularization : added to each leaf's weight
    min_child_weight : the least weight of a leaf's rows
    min_split_gain : the least gain of a split
    max_bins : of a numeric feature, at most 255
    subsample : the share of the rows that a tree sees
    colsample_bytree : the share of the features that a tree looks at
    validation_fraction : the share of the rows to hold out, to stop by
    n_iter_no_change : trees without a better held-out loss after which to stop; 0 never stops early, yet takes the best
    tol : by how much a held-out loss must be better to count
    seed : of all that is drawn
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error

    Attributes
    ----------
    feature_importances_ : the share of each feature in all gain, shape (features,)
    n_estimators_ : trees that the model has
    validation_losses_ : half the squared error of the held-out rows after 0, 1, 2, ... trees, if there are any
    digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> X = [[float(i % 10)] for i in range(60)]
    >>> model = GradientBoostingRegressor(n_estimators=50).fit(X, [3.0 if x[0] < 5.0 else 7.0 for x in X])
    >>> model.predict([[1.0], [8.0]]).round(1).tolist()
    [3.0, 7.0]
    """

    standardise: ClassVar[bool] = False  # bins need no deviation

    def __init__(  # noqa: PLR0913  # the estimator's parameters
        self,
        *,
        n_estimators: int = 100,
        learning_rate: float = 0.1,
        max_depth: int = 6,
        l2_regularization: float = 1.0,
        min_child_weight: float = 1.0,
        min_split_gain: float = 0.0,
        max_bins: int = 255,
        subsample: float = 1.0,
        colsample_bytree: float = 1.0,
        validation_fraction: float = 0.0,
        n_iter_no_change: int = 10,
        tol: float = 1e-7,
        seed: int = 0,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.l2_regularization = l2_regularization
        self.min_child_weight = min_child_weight
        self.min_split_gain = min_split_gain
        self.max_bins = max_bins
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.seed = seed
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max

    def build(self, inputs: Inputs) -> Program:
        return NumberBoostingProgram(inputs=inputs, **{name: plain(getattr(self, name)) for name in OWN})

    def adopt(self, record: Record) -> None:
        adopt_boosting(self, record)


def adopt_boosting(estimator: Any, record: Record) -> None:
    estimator.feature_importances_ = record["feature_importances"]
    estimator.n_estimators_ = int(record["iterations"])
    estimator.n_iter_ = max(int(record["iterations"]), 1)
    if record["validation_losses"].size:
        estimator.validation_losses_ = record["validation_losses"]
