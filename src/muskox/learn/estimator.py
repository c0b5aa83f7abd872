"""LogisticRegression: scikit-learn's API over `LogisticProgram`, on arrays in this process or on a dataset where it lies."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.encoder import CATEGORIES_MAX, Encoder
from muskox.learn.logistic import LogisticProgram
from muskox.learn.model import load_predictor
from muskox.learn.tables import to_table, with_target
from muskox.program import ArrayPartition, RoundReport, RunOptions, Runs, in_process, resolve, run_options
from muskox.records import Array, Record


class LogisticRegression(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
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

    def fit(  # noqa: PLR0913  # one door for arrays and datasets
        self,
        X: Any,
        y: Any = None,
        *,
        target: str | None = None,
        shards: int | None = None,
        by: str = "rows",
        features: Sequence[str] | None = None,
        name: str | None = None,
        workers: int | None = None,
        on_round: Callable[[RoundReport], None] | None = None,
        options: RunOptions | None = None,
    ) -> "LogisticRegression":
        """Train on arrays or a table with `y` (or with `target`, a column of the table), or on a dataset with `target`.

        Parameters
        ----------
        shards, by : how to cut arrays into shards, as `put` does; a dataset is cut already
        features : in place of the estimator's own
        name : register the model under this name (datasets of a cluster only)
        workers : at most so many, which changes no bit of the result
        on_round : called with each finished round's report
        options : what else there is to say of a run on a cluster; see :class:`muskox.RunOptions`
        """
        dataset, target = training_data(X, y, target, ArrayPartition(1 if shards is None else shards, by))
        if isinstance(X, Runs) and (shards is not None or by != "rows"):
            raise CallerError("shards= and by= are for arrays: a dataset was cut into shards when it was put")
        program = self.program(target, features)
        lineage = {"estimator": "LogisticRegression", "target": target, "parameters": program.parameters()}
        given = {"workers": workers, "name": name, "on_round": on_round, "lineage": lineage}
        return self._adopt(dataset.run(program, run_options(options, **given)).result)

    def program(self, target: str, features: Sequence[str] | None = None) -> LogisticProgram:
        """Return what `fit` runs: the program with this estimator's parameters."""
        chosen = self.features if features is None else features
        return LogisticProgram(
            target=target,
            features=None if chosen is None else names("features", chosen),
            categorical=names("categorical", self.categorical),
            C=plain(self.C),
            solver=self.solver,
            max_rounds=plain(self.max_rounds),
            tol=plain(self.tol),
            learning_rate=plain(self.learning_rate),
            standardise=plain(self.standardise),
            categories_max=plain(self.categories_max),
        )

    @classmethod
    def from_record(cls, record: Record) -> "LogisticRegression":
        """Return the fitted model that `record` (a model's ``model_record_``) describes."""
        parameters = {name: value for name, value in record["parameters"].items() if name != "target"}
        return cls(**parameters)._adopt(record)

    def predict_batch(self, batch: Any) -> dict[str, Array]:
        """Return "probability" (of the second class, float64) and "prediction" for each row of an Arrow record batch.

        One row gives the same bits as in any batch: every row is computed by itself.
        """
        check_is_fitted(self)
        return self.model_.predict_batch(batch)

    def decision_function(self, X: Any) -> Floats:
        check_is_fitted(self)
        table = to_table(X, list(self.feature_names_in_), type(self).__name__)
        return np.concatenate([np.zeros(0), *(self.model_.margin(batch) for batch in table.to_batches())])

    def predict_proba(self, X: Any) -> Floats:
        margin = self.decision_function(X)
        return np.stack([expit(-margin), expit(margin)], axis=1)

    def predict(self, X: Any) -> Array:
        margin = self.decision_function(X)
        return self.model_.decide(margin)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the accuracy on arrays with `y`, on a table with the target in it, or on a dataset where it lies."""
        check_is_fitted(self)
        if not isinstance(X, Runs):
            if y is None:
                table = to_table(X)
                if self.target_ not in table.schema.names:
                    raise CallerError(f"no column {self.target_!r} to score against: give y")
                y = np.array(table.column(self.target_).to_pylist())
            return float(super().score(X, y, sample_weight))
        parameters = {"model": self.model_record_, "target": self.target_}
        evaluate = resolve({"program": "muskox.evaluate:EvaluateProgram", "parameters": parameters})
        return float(X.run(evaluate, RunOptions()).result["accuracy"])

    def _adopt(self, record: Record) -> "LogisticRegression":
        model = load_predictor(record)
        encoder = model.encoder
        coef, intercept = raw_coefficients(encoder, record["coef"], record["intercept"])
        self.model_ = model
        self.model_record_ = record
        self.encoder_ = encoder
        self.coef_ = coef.reshape(1, -1)
        self.intercept_ = intercept
        self.classes_ = model.classes_
        self.target_ = model.target
        self.n_rounds_ = int(record["rounds"])
        self.status_ = str(record["status"])
        self.n_iter_ = np.array([self.n_rounds_], dtype=np.int32)  # scikit-learn's name for it
        self.loss_ = float(record["loss"])
        self.digest_ = digest(record)
        self.feature_names_in_ = np.array([column.name for column in encoder.columns], dtype=object)
        self.n_features_in_ = len(encoder.columns)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def plain(value: Any) -> Any:
    """Return a NumPy scalar (grids of parameters are made of them) as the Python number it is."""
    return value.item() if isinstance(value, np.generic) else value


def names(parameter: str, value: Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise CallerError(f"{parameter}={value!r}: it must be a list of column names, [{value!r}] for one")
    return tuple(map(str, value))


def training_data(X: Any, y: Any, target: str | None, partition: ArrayPartition) -> tuple[Runs, str]:
    """Return what to train on as a dataset, and the name of its target."""
    if isinstance(X, Runs):
        if target is None or y is not None:
            raise CallerError("a dataset is fitted with target=, the name of one of its columns")
        return X, target
    table = to_table(X)
    if (y is None) == (target is None):
        raise CallerError("requires y to be passed, but the target y is None: fit(X, y), or fit(table, target=column)")
    if target is None:
        table, target = with_target(table, y)
    return in_process(table, partition), target


def raw_coefficients(encoder: Encoder, coef: Floats, intercept: Floats) -> tuple[Floats, Floats]:
    """Return coefficients and intercept for columns that are imputed but not standardised."""
    numeric = len(encoder.numeric)
    raw = coef.copy()
    raw[:numeric] /= encoder.scale
    shift = np.add.reduce(raw[:numeric] * encoder.mean) if numeric else 0.0
    return raw, intercept - shift


def load_model(record: Record) -> LogisticRegression:
    """Return the model that a record describes, by its kind.

    Raises
    ------
    CallerError
        If this version of muskox knows no such model.
    """
    load_predictor(record)
    return LogisticRegression.from_record(record)
