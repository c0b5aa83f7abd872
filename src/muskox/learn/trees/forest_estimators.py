"""RandomForestClassifier and RandomForestRegressor: scikit-learn's API over the programs of random forests."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from muskox.learn.base import ClassifierEstimator, Probabilities, RegressorEstimator, plain
from muskox.learn.encoder import CATEGORIES_MAX
from muskox.learn.inputs import Inputs
from muskox.learn.parameters import require_choice
from muskox.learn.trees.forest import ForestProgram
from muskox.learn.trees.forest_kinds import ClassForestProgram, NumberForestProgram
from muskox.learn.trees.shard_forest import ClassShardForest, NumberShardForest, ShardForest
from muskox.records import Record

GLOBAL = "global"
STRATEGIES = (GLOBAL, "shards")
OWN = (
    "n_estimators", "max_depth", "max_bins", "max_features", "min_samples_split", "min_samples_leaf", "bootstrap",
    "max_samples", "oob_score",
)  # fmt: skip  # parameters of the estimators that are the programs'


class RandomForestClassifier(Probabilities, ClassifierEstimator):
    """A random forest that tells classes apart, on tables of numbers, text and missing values.

    Parameters
    ----------
    n_estimators : trees
    max_depth : of a tree, at most 60
    max_features : that each node looks at: "sqrt", "log2", a share of them, or a number
    min_samples_split : rows of a node that may be split
    min_samples_leaf : rows of a leaf at least; weighted, their weight in average rows
    max_bins : of a numeric feature, at most 255
    bootstrap : whether each tree sees a sample of the rows, or all
    max_samples : the size of that sample, as a share of the rows
    strategy : "global": every tree sees all rows; "shards": each grows on one shard, as a task, without rounds
    oob_score : whether to tell the accuracy on rows by the trees that did not see them
    class_weight : "balanced", or a dict of each class's factor for a row's weight
    seed : of all that is drawn
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error

    Attributes
    ----------
    feature_importances_ : the share of each feature in all that impurity decreased, shape (features,)
    oob_score_ : accuracy, where asked for
    classes_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> X = [[float(i % 10)] for i in range(60)]
    >>> model = RandomForestClassifier(n_estimators=10).fit(X, ["low" if x[0] < 5.0 else "high" for x in X])
    >>> model.predict([[1.0], [8.0]]).tolist()
    ['low', 'high']
    """

    standardise: ClassVar[bool] = False  # bins need no deviation

    def __init__(  # noqa: PLR0913  # the estimator's parameters
        self,
        *,
        n_estimators: int = 100,
        max_depth: int = 16,
        max_features: str | int | float = "sqrt",
        min_samples_split: int = 2,
        min_samples_leaf: int = 1,
        max_bins: int = 64,
        bootstrap: bool = True,
        max_samples: float = 1.0,
        strategy: str = "global",
        oob_score: bool = False,
        class_weight: str | Mapping[Any, float] | None = None,
        seed: int = 0,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.max_features = max_features
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.max_bins = max_bins
        self.bootstrap = bootstrap
        self.max_samples = max_samples
        self.strategy = strategy
        self.oob_score = oob_score
        self.class_weight = class_weight
        self.seed = seed
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max

    def build(self, inputs: Inputs) -> Any:
        return built(self, inputs, ClassForestProgram, ClassShardForest)

    def adopt(self, record: Record) -> None:
        adopt_forest(self, record)


class RandomForestRegressor(RegressorEstimator):
    """A random forest that predicts a number, on tables of numbers, text and missing values.

    Parameters
    ----------
    n_estimators : trees
    max_depth : of a tree, at most 60
    max_features : that each node looks at: "sqrt", "log2", a share of them, or a number
    min_samples_split : rows of a node that may be split
    min_samples_leaf : rows of a leaf at least; weighted, their weight in average rows
    max_bins : of a numeric feature, at most 255
    bootstrap : whether each tree sees a sample of the rows, or all
    max_samples : the size of that sample, as a share of the rows
    strategy : "global": every tree sees all rows; "shards": each grows on one shard, as a task, without rounds
    oob_score : whether to tell R squared on rows by the trees that did not see them
    seed : of all that is drawn
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error

    Attributes
    ----------
    feature_importances_ : the share of each feature in all that variance decreased, shape (features,)
    oob_score_ : R squared, where asked for
    digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> X = [[float(i % 10)] for i in range(60)]
    >>> model = RandomForestRegressor(n_estimators=10).fit(X, [3.0 if x[0] < 5.0 else 7.0 for x in X])
    >>> model.predict([[1.0], [8.0]]).round(1).tolist()
    [3.0, 7.0]
    """

    standardise: ClassVar[bool] = False  # bins need no deviation

    def __init__(  # noqa: PLR0913  # the estimator's parameters
        self,
        *,
        n_estimators: int = 100,
        max_depth: int = 16,
        max_features: str | int | float = 0.333,
        min_samples_split: int = 2,
        min_samples_leaf: int = 1,
        max_bins: int = 64,
        bootstrap: bool = True,
        max_samples: float = 1.0,
        strategy: str = "global",
        oob_score: bool = False,
        seed: int = 0,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.max_features = max_features
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.max_bins = max_bins
        self.bootstrap = bootstrap
        self.max_samples = max_samples
        self.strategy = strategy
        self.oob_score = oob_score
        self.seed = seed
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max

    def build(self, inputs: Inputs) -> Any:
        return built(self, inputs, NumberForestProgram, NumberShardForest)

    def adopt(self, record: Record) -> None:
        adopt_forest(self, record)


def built(estimator: Any, inputs: Inputs, program: type[ForestProgram], tasks: type[ShardForest]) -> Any:
    """Return what grows an estimator's forest: a program, or a list of tasks."""
    require_choice("strategy", estimator.strategy, STRATEGIES)
    made = program(inputs=inputs, **{name: plain(getattr(estimator, name)) for name in OWN})
    return made if estimator.strategy == GLOBAL else tasks(made)


def adopt_forest(estimator: Any, record: Record) -> None:
    estimator.feature_importances_ = record["feature_importances"]
    if "oob_score" in record:
        estimator.oob_score_ = float(record["oob_score"])
