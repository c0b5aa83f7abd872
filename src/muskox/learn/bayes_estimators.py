"""GaussianNB: scikit-learn's API over the program of Gaussian naive Bayes."""

from collections.abc import Sequence
from typing import Any

from muskox.learn.base import ClassifierEstimator, Probabilities, plain
from muskox.learn.bayes import GaussianProgram
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
    class_count_, class_prior_ : shape (classes,)
    classes_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> model = GaussianNB().fit([[0.0], [1.0], [5.0], [6.0]], ["a", "a", "b", "b"])
    >>> model.predict([[0.4], [5.2]]).tolist()
    ['a', 'b']
    """

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
        self.class_count_ = record["class_weight_sums"]
        self.class_prior_ = record["priors"]

    def inputs(self, *args: Any, **given: Any) -> Inputs:
        """As all estimators', of raw numbers."""
        from dataclasses import replace

        return replace(super().inputs(*args, **given), standardise=False)
