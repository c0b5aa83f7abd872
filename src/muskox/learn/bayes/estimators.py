"""GaussianNB and MultinomialNB: scikit-learn's API over the programs of naive Bayes."""

from collections.abc import Sequence
from typing import Any, ClassVar

from muskox.learn.base import ClassifierEstimator, Probabilities, plain
from muskox.learn.bayes.gaussian import GaussianProgram
from muskox.learn.bayes.multinomial import MultinomialProgram
from muskox.learn.encoder import CATEGORIES_MAX
from muskox.learn.inputs import Inputs
from muskox.records import Record


class GaussianNB(Probabilities, ClassifierEstimator):
    """Gaussian naive Bayes, on tables of numbers, text and missing values, in two rounds.

    Parameters
    ----------
    priors : of the classes, in their order; None takes their shares of the rows
    var_smoothing : times the greatest variance of any feature, added to every variance
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error

    Attributes
    ----------
    theta_, var_ : mean and variance of each feature by class, shape (classes, encoded features)
    epsilon_ : what was added to every variance
    class_count_, class_prior_ : shape (classes,)
    classes_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> model = GaussianNB().fit([[0.0], [1.0], [5.0], [6.0]], ["a", "a", "b", "b"])
    >>> model.predict([[0.4], [5.2]]).tolist()
    ['a', 'b']
    """

    standardise: ClassVar[bool] = False  # numbers as they are

    def __init__(
        self,
        *,
        priors: Sequence[float] | None = None,
        var_smoothing: float = 1e-9,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        self.priors = priors
        self.var_smoothing = var_smoothing
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max

    def build(self, inputs: Inputs) -> GaussianProgram:
        priors = () if self.priors is None else tuple(float(prior) for prior in self.priors)
        return GaussianProgram(inputs=inputs, priors=priors, var_smoothing=plain(self.var_smoothing))

    def adopt(self, record: Record) -> None:
        self.theta_ = record["mean"]
        self.var_ = record["variance"]
        self.epsilon_ = float(record["smoothing"])
        self.class_count_ = record["class_weight_sums"]
        self.class_prior_ = record["priors"]


class MultinomialNB(Probabilities, ClassifierEstimator):
    """Multinomial naive Bayes, on tables of counts and text, in two rounds.

    Parameters
    ----------
    alpha : added to every count
    fit_prior : whether classes are as frequent as in training; otherwise all are equally so
    class_prior : of the classes, in their order, instead of either
    features : columns to learn from, numbers of 0 or above and text; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error

    Attributes
    ----------
    feature_count_ : sums of each feature by class, shape (classes, encoded features)
    feature_log_prob_ : the logarithm of each feature's share in a class, of the same shape
    class_count_, class_log_prior_ : shape (classes,)
    classes_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> model = MultinomialNB().fit([[3, 0], [2, 1], [0, 4], [1, 3]], ["a", "a", "b", "b"])
    >>> model.feature_count_.tolist()
    [[5.0, 1.0], [1.0, 7.0]]
    >>> model.predict([[2, 0], [0, 1]]).tolist()
    ['a', 'b']
    """

    standardise: ClassVar[bool] = False  # numbers as they are

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        fit_prior: bool = True,
        class_prior: Sequence[float] | None = None,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        self.alpha = alpha
        self.fit_prior = fit_prior
        self.class_prior = class_prior
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max

    def build(self, inputs: Inputs) -> MultinomialProgram:
        prior = () if self.class_prior is None else tuple(float(share) for share in self.class_prior)
        return MultinomialProgram(inputs=inputs, alpha=plain(self.alpha), fit_prior=plain(self.fit_prior), class_prior=prior)

    def adopt(self, record: Record) -> None:
        self.feature_count_ = record["counts"]
        self.feature_log_prob_ = self.model_.log_shares
        self.class_count_ = record["class_weight_sums"]
        self.class_log_prior_ = self.model_.log_priors

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.classifier_tags.poor_score = True  # of the checks' data, which are no counts: as scikit-learn has it
        return tags
