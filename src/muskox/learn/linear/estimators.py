"""LogisticRegression: scikit-learn's API over `LogisticProgram`, on arrays in this process or on a dataset where it lies."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.utils.validation import check_is_fitted

from muskox.errors import CallerError
from muskox.learn.base import ClassifierEstimator, Margins, Probabilities, names, plain
from muskox.learn.columns import Floats
from muskox.learn.encoder import CATEGORIES_MAX, Encoder
from muskox.learn.inputs import Inputs
from muskox.learn.linear.logistic import LogisticProgram
from muskox.learn.linear.sparse import MATRIX, from_matrix, is_sparse
from muskox.records import Record


class LinearEstimator:
    """What the estimators of linear models share: coefficients for raw columns, and beginning where the last fit ended."""

    _matrix_width: int | None = None  # where a SciPy matrix was fitted

    def training_data(self, given: Any, *others: Any) -> Any:
        """Return what to train on as a dataset: a SciPy matrix as a text column."""
        X, y, sample_weight, validation = given
        self._matrix_width = int(X.shape[1]) if is_sparse(X) else None
        if is_sparse(X):
            X = from_matrix(X)
            if isinstance(validation, tuple):
                validation = (self._as_fitted(validation[0], [MATRIX]), validation[1])
        return super().training_data((X, y, sample_weight, validation), *others)  # type: ignore[misc]

    def each_batch(self, X: Any, ask: Any) -> Any:
        check_is_fitted(self)
        return super().each_batch(self._as_fitted(X, list(self.feature_names_in_)), ask)  # type: ignore[misc,attr-defined]

    def _as_fitted(self, X: Any, names: list[str]) -> Any:
        """Return `X`, or a table of one text column for a matrix, if it was trained on such."""
        is_array = is_sparse(X) or not (hasattr(X, "columns") or hasattr(X, "schema"))
        if names != [MATRIX] or not is_array:
            return X.toarray() if is_sparse(X) else X
        matrix = X.tocsr() if is_sparse(X) else csr_matrix(np.atleast_2d(np.asarray(X, dtype=np.float64)))
        found, expected = matrix.shape[1], self._matrix_width
        if expected not in (None, found):
            raise CallerError(f"X has {found} features, but {type(self).__name__} is expecting {expected} features as input")
        return from_matrix(matrix)

    def sparse_columns(self) -> dict[str, Any]:
        """Return which columns are sparse, as the programs want to know it."""
        told = tuple(names("sparse", getattr(self, "sparse", ())))
        return {
            "sparse": (MATRIX,) if self._matrix_width is not None else told,
            "hashed": tuple(names("hashed", getattr(self, "hashed", ()))) if self._matrix_width is None else (),
            "hash_features": plain(getattr(self, "hash_features", 1 << 18)),
        }

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.sparse = True
        return tags

    def adopt(self, record: Record) -> None:
        encoder = self.model_.encoder  # type: ignore[attr-defined]
        coef, intercept = raw_coefficients(encoder, np.atleast_2d(record["coef"]), record["intercept"])
        if self._matrix_width is not None:
            self.n_features_in_ = self._matrix_width
            coef = np.pad(coef, ((0, 0), (0, self._matrix_width - coef.shape[1])))  # the last columns may be empty
        self.encoder_ = encoder
        self.coef_ = coef
        self.intercept_: Any = intercept
        self.status_ = str(record["status"])
        self.loss_ = float(record["loss"])
        if "validation_loss" in record:
            self.validation_loss_ = float(record["validation_loss"])

    def last(self) -> Record | None:
        """Return the coefficients to begin at: those of the last fit, with ``warm_start``."""
        if not getattr(self, "warm_start", False) or not hasattr(self, "coef_"):
            return None
        return {"coef": np.atleast_2d(self.coef_), "intercept": np.atleast_1d(self.intercept_)}


class LogisticRegression(LinearEstimator, Probabilities, Margins, ClassifierEstimator):
    """Logistic regression, binary or multinomial, on tables of numbers, text and missing values.

    Parameters
    ----------
    C : inverse strength of the penalty; the objective is scikit-learn's
    penalty : "l2", "l1", "elasticnet" or None
    l1_ratio : of "elasticnet": the share of the absolute values
    class_weight : None, "balanced", or a factor for each class
    solver : "lbfgs" (OWL-QN where the penalty has corners) or "gd" (gradient descent)
    max_rounds : evaluations of the objective at most
    tol : stop when no component of the mean objective's gradient (over standardised columns) exceeds it
    learning_rate : of "gd"; None finds the step by backtracking
    warm_start : begin where the last fit ended
    validation_fraction : share of the rows to hold out, to stop early and to take the best point
    n_iter_no_change : where rows are held out: stop after so many evaluations without a lower loss on them
    seed : of the rows held out
    standardise : penalise the coefficients of standardised columns; False penalises those of the raw columns
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error
    sparse : text columns of sparse features, "3:1.5 17:2" (index:value; an index counts from 0)
    hashed : text columns whose words are counted by their hashes
    hash_features : how many indexes the words of a column share

    Attributes
    ----------
    coef_ : for raw (not standardised) columns, in the order of ``encoder_.feature_names_out()``, shape (1, encoded features),
        or (classes, encoded features) of more than two
    intercept_ : shape (1,) or (classes,)
    classes_ : of two, ``predict_proba``'s second column belongs to the second
    status_ : "converged"; "stopped_early"; or "max_rounds", or "stalled" where rounding hid any further descent: then `tol` was
        not reached
    encoder_, n_rounds_, loss_, validation_loss_, digest_, model_record_, feature_names_in_, n_features_in_

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
        penalty: str | None = "l2",
        l1_ratio: float = 0.5,
        class_weight: str | Mapping[Any, float] | None = None,
        solver: str = "lbfgs",
        max_rounds: int = 100,
        tol: float = 1e-6,
        learning_rate: float | None = None,
        warm_start: bool = False,
        validation_fraction: float = 0.0,
        n_iter_no_change: int = 10,
        seed: int = 0,
        standardise: bool = True,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
        sparse: Sequence[str] = (),
        hashed: Sequence[str] = (),
        hash_features: int = 1 << 18,
    ) -> None:
        self.C = C
        self.penalty = penalty
        self.l1_ratio = l1_ratio
        self.class_weight = class_weight
        self.solver = solver
        self.max_rounds = max_rounds
        self.tol = tol
        self.learning_rate = learning_rate
        self.warm_start = warm_start
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.seed = seed
        self.standardise = standardise
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max
        self.sparse = sparse
        self.hashed = hashed
        self.hash_features = hash_features

    def build(self, inputs: Inputs) -> LogisticProgram:
        return LogisticProgram(
            inputs=inputs,
            **self.sparse_columns(),
            C=plain(self.C),
            penalty=self.penalty,
            l1_ratio=plain(self.l1_ratio),
            solver=self.solver,
            max_rounds=plain(self.max_rounds),
            tol=plain(self.tol),
            learning_rate=plain(self.learning_rate),
            n_iter_no_change=plain(self.n_iter_no_change),
            begin_at=self.last(),
        )

    def adopt(self, record: Record) -> None:
        super().adopt(record)
        self.n_iter_ = np.array([self.n_rounds_], dtype=np.int32)


def raw_coefficients(encoder: Encoder, coef: Floats, intercept: Floats) -> tuple[Floats, Floats]:
    """Return coefficients (outputs, width) and intercepts for columns that are imputed but not standardised."""
    numeric = len(encoder.numeric)
    raw = coef.copy()
    raw[:, :numeric] /= encoder.scale
    return raw, intercept - np.add.reduce(raw[:, :numeric] * encoder.mean, axis=1)
