"""KMeans: scikit-learn's API over the program of k-means."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from muskox.learn.base import ClustererEstimator, plain
from muskox.learn.clusters.labels import LabelProgram
from muskox.learn.clusters.program import KMeansProgram
from muskox.learn.columns import Floats
from muskox.learn.encoder import CATEGORIES_MAX
from muskox.learn.inputs import Inputs
from muskox.learn.model import DISTANCE
from muskox.learn.tables import to_table
from muskox.program import RunOptions, Runs
from muskox.records import Record


class KMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClustererEstimator):  # type: ignore[misc]
    """k-means, on tables of numbers, text and missing values: k-means|| to begin, then Lloyd's iterations, a round each.

    Parameters
    ----------
    n_clusters : how many
    n_init : how often to begin anew; the least inertia wins
    max_rounds : Lloyd's iterations at most, from each start
    tol : stop when the centres' squared movement is at most this times the mean variance of the columns
    oversampling : candidates drawn a round at the beginning, as a multiple of n_clusters
    seed : of all draws
    standardise : whether distances are those of numeric columns brought to deviation 1; False takes them as they are
    features : columns to look at; None means all
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error

    Attributes
    ----------
    cluster_centers_ : shape (clusters, encoded features), in units of the columns
    labels_ : shape (rows,), the cluster of each row; only where arrays were given, whose rows are here
    inertia_ : the sum of the squared distances of the rows from their centre, each times its weight
    cluster_weights_ : how many rows each cluster has (the sum of their weights), shape (clusters,)
    n_iter_ : Lloyd's iterations from the best start
    encoder_, n_rounds_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> model = KMeans(n_clusters=2).fit([[0.0], [1.0], [10.0], [11.0]])
    >>> sorted(model.cluster_centers_[:, 0].tolist())
    [0.5, 10.5]
    >>> bool(model.predict([[2.0]])[0] == model.labels_[0])
    True
    """

    def __init__(  # noqa: PLR0913  # scikit-learn's contract: every parameter is an argument
        self,
        n_clusters: int = 8,
        *,
        n_init: int = 1,
        max_rounds: int = 300,
        tol: float = 1e-4,
        oversampling: float = 2.0,
        seed: int = 0,
        standardise: bool = False,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_init = n_init
        self.max_rounds = max_rounds
        self.tol = tol
        self.oversampling = oversampling
        self.seed = seed
        self.standardise = standardise
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max

    def build(self, inputs: Inputs) -> KMeansProgram:
        return KMeansProgram(
            inputs=inputs,
            n_clusters=plain(self.n_clusters),
            max_rounds=plain(self.max_rounds),
            tol=plain(self.tol),
            oversampling=plain(self.oversampling),
            n_init=plain(self.n_init),
        )

    def adopt(self, record: Record) -> None:
        self.encoder_ = self.model_.encoder
        self.cluster_centers_ = self.model_.centres
        self.cluster_weights_ = record["masses"]
        self.inertia_ = float(record["inertia"])
        self.n_iter_ = int(record["iterations"])

    def see(self, dataset: Runs, X: Any, by: str) -> None:
        inputs = Inputs.from_parameters(self.model_record_["parameters"])
        is_in_order = by == "rows" and inputs.weight is None and not inputs.holds_out
        if is_in_order:
            self.labels_ = dataset.run(LabelProgram(self.model_record_), RunOptions()).result["labels"]
        else:
            super().see(dataset, X, by)

    def transform(self, X: Any) -> Floats:
        """Return how far each row is from each centre, shape (rows, clusters)."""
        check_is_fitted(self)
        return self.each_batch(X, self.model_.distances)

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> Floats:
        return self.fit(X, y, sample_weight).transform(X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:  # noqa: ARG002  # scikit-learn's
        """Return minus the sum of the squared distances of the rows from their centre."""
        check_is_fitted(self)
        if isinstance(X, Runs):
            return -float(self._evaluated(X)["inertia"])
        distances = self.each_batch(to_table(X, list(self.feature_names_in_), type(self).__name__), self._distances)
        squared = distances * distances
        return -float(np.sum(squared if sample_weight is None else squared * np.asarray(sample_weight, dtype=np.float64)))

    def _distances(self, batch: Any) -> Floats:
        found: Floats = self.model_.predict_batch(batch)[DISTANCE]
        return found

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)
