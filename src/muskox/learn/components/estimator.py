"""PCA: scikit-learn's API over the program of principal components."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from muskox.errors import CallerError
from muskox.learn.base import TransformerEstimator, plain
from muskox.learn.columns import Floats
from muskox.learn.components.model import whitening
from muskox.learn.components.program import PCAProgram
from muskox.learn.encoder import CATEGORIES_MAX
from muskox.learn.inputs import Inputs
from muskox.records import Record


class PCA(TransformerEstimator):
    """Principal components, on tables of numbers, text and missing values, in two rounds.

    Parameters
    ----------
    n_components : how many; or the share of the variance, between 0 and 1, that they must exceed; None keeps all
    whiten : whether components are brought to variance 1
    standardise : whether numeric columns are brought to deviation 1 first
    features : columns to look at; None means all
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error

    Attributes
    ----------
    components_ : shape (components, encoded features), by falling variance; the greatest element of each is positive
    explained_variance_, explained_variance_ratio_, singular_values_ : shape (components,)
    mean_ : of the encoded features, shape (encoded features,)
    noise_variance_ : the mean variance of what was left out
    n_components_ : how many there are
    n_samples_, encoder_, n_rounds_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> model = PCA(n_components=1).fit([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]])
    >>> model.explained_variance_ratio_.round(6).tolist()
    [1.0]
    >>> model.transform([[3.0, 6.0]]).round(4).tolist()
    [[4.4721]]
    """

    def __init__(
        self,
        n_components: int | float | None = None,
        *,
        whiten: bool = False,
        standardise: bool = False,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        self.n_components = n_components
        self.whiten = whiten
        self.standardise = standardise
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max

    def build(self, inputs: Inputs) -> PCAProgram:
        return PCAProgram(inputs=inputs, n_components=plain(self.n_components), whiten=plain(self.whiten))

    def adopt(self, record: Record) -> None:
        self.encoder_ = self.model_.encoder
        self.components_ = record["components"]
        self.explained_variance_ = record["explained_variance"]
        self.explained_variance_ratio_ = record["explained_variance_ratio"]
        self.singular_values_ = np.sqrt(record["explained_variance"] * (record["weight_sum"] - 1.0))
        self.mean_ = record["mean"]
        self.noise_variance_ = float(record["noise_variance"])
        self.n_components_ = len(record["components"])
        self.n_samples_ = int(record["weight_sum"])

    def inverse_transform(self, X: Any) -> Floats:
        """Return the encoded features that have these components, shape (rows, encoded features)."""
        from muskox.learn.products import product

        check_is_fitted(self)
        points = np.ascontiguousarray(X, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.n_components_:
            raise CallerError(f"X has shape {points.shape}: its columns must be the {self.n_components_} components")
        axes = self.components_ / whitening(self.explained_variance_)[:, None] if self.whiten else self.components_
        out = product(points, np.ascontiguousarray(axes))
        out += self.mean_
        return out
