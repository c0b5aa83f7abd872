"""What all estimators share: scikit-learn's API over a program, on arrays in this process or on a dataset where it lies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from sklearn.base import BaseEstimator, ClassifierMixin, ClusterMixin, RegressorMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from muskox.digest import digest, outline
from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.functions import log
from muskox.learn.inputs import Inputs, Target
from muskox.learn.model import load_predictor
from muskox.learn.tables import to_table, with_mark, with_target, with_weight
from muskox.program import ArrayPartition, Program, RoundReport, RunOptions, Runs, in_process, resolve, run_options
from muskox.records import Array, Record
from muskox.trusted_code import require_trust


class Estimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A recipe for a model. A subclass says by `build` which program trains it, and by `adopt` what it shows of the model.

    Attributes
    ----------
    model_ : what predicts; see :class:`muskox.learn.model.Model`
    model_record_ : the model as a record, and `digest_` the digest of that
    target_, n_rounds_, n_iter_, feature_names_in_, n_features_in_
    """

    target_kind: ClassVar[Target]

    # -- the subclass's own --

    def build(self, inputs: Inputs) -> Program:
        """Return the program with this estimator's parameters."""
        raise NotImplementedError

    def adopt(self, record: Record) -> None:
        """Set the attributes that a fitted estimator of this class shows, beside those that all have."""

    def see(self, dataset: Runs, X: Any, by: str) -> None:
        """Set what a fitted estimator of this class shows of the arrays `X` it was fitted on, cut into `dataset` by `by`."""

    # -- for users --

    def fit(  # noqa: PLR0913  # one door for arrays and datasets
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        target: str | None = None,
        weight: str | None = None,
        validation: Any = None,
        shards: int | None = None,
        by: str = "rows",
        features: Sequence[str] | None = None,
        name: str | None = None,
        workers: int | None = None,
        on_round: Callable[[RoundReport], None] | None = None,
        options: RunOptions | None = None,
    ) -> Self:
        """Train on arrays or a table with `y` (or with `target`, a column of the table), or on a dataset with `target`.

        Parameters
        ----------
        sample_weight : of arrays, shape (rows,); `weight` is a column's name instead
        validation : rows to hold out, for early stopping: a bool column's name, or of arrays (X, y) of other rows
        shards, by : how to cut arrays into shards, as `put` does; a dataset is cut already
        features : in place of the estimator's own
        name : register the model under this name (datasets of a cluster only)
        workers : at most so many, which changes no bit of the result
        on_round : called with each finished round's report
        options : what else there is to say of a run on a cluster; see :class:`muskox.RunOptions`
        """
        if isinstance(X, Runs) and (shards is not None or by != "rows"):
            raise CallerError("shards= and by= are for arrays: a dataset was cut into shards when it was put")
        partition = ArrayPartition(1 if shards is None else shards, by)
        dataset, columns = self.training_data((X, y, sample_weight, validation), (target, weight), partition)
        program = self.program(features=features, **columns)
        lineage = {"estimator": type(self).__name__, **told(program)}
        given = {"workers": workers, "name": name, "on_round": on_round, "lineage": lineage}
        self._adopt(dataset.run(program, run_options(options, **given)).result)
        if not isinstance(X, Runs):
            self.see(dataset, X, by)
        return self

    def program(
        self,
        target: str | None = None,
        features: Sequence[str] | None = None,
        weight: str | None = None,
        validation: str | None = None,
    ) -> Program:
        """Return what `fit` runs: the program with this estimator's parameters."""
        return self.build(self.inputs(target, features, weight, validation))

    def inputs(
        self,
        target: str | None = None,
        features: Sequence[str] | None = None,
        weight: str | None = None,
        validation: str | None = None,
    ) -> Inputs:
        """Return which columns this estimator looks at, from its parameters of those names and what is given here."""
        chosen = getattr(self, "features", None) if features is None else features
        given: dict[str, Any] = {"target": target, "weight": weight, "validation": validation}
        for each in ("categories_max", "standardise", "validation_fraction", "seed"):
            if hasattr(self, each):
                given[each] = plain(getattr(self, each))
        if validation is not None:
            given.pop("validation_fraction", None)
        return Inputs(
            features=None if chosen is None else names("features", chosen),
            categorical=names("categorical", getattr(self, "categorical", ())),
            class_weight=pairs(getattr(self, "class_weight", None)),
            **given,
        )

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Return the fitted model that `record` (a model's ``model_record_``) describes."""
        return cls(**cls.parameters_of(record))._adopt(record)

    @classmethod
    def parameters_of(cls, record: Record) -> dict[str, Any]:
        """Return what `record` tells of this estimator's parameters."""
        known = set(cls._get_param_names())
        parameters = {name: value for name, value in record["parameters"].items() if name in known}
        if isinstance(parameters.get("class_weight"), list):
            parameters["class_weight"] = dict(parameters["class_weight"])
        return parameters

    def predict_batch(self, batch: Any) -> dict[str, Array]:
        """Return the model's answer for each row of an Arrow record batch: "prediction", and what else it tells, by name.

        One row gives the same bits as in any batch: every row is computed by itself.
        """
        check_is_fitted(self)
        answer: dict[str, Array] = self.model_.predict_batch(batch)
        return answer

    # -- for subclasses --

    def each_batch(self, X: Any, ask: Callable[[Any], Array]) -> Array:
        """Return what `ask` tells of every record batch of `X`, which has the features of the training, joined."""
        check_is_fitted(self)
        table = to_table(X, list(self.feature_names_in_), type(self).__name__)
        batches = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]
        return np.concatenate([ask(batch) for batch in batches])

    def training_data(
        self, given: tuple[Any, Any, Any, Any], columns: tuple[str | None, str | None], partition: ArrayPartition
    ) -> tuple[Runs, dict[str, str | None]]:
        """Return what to train on as a dataset, and which of its columns are the target, the weight and the validation mark."""
        (X, y, sample_weight, validation), (target, weight) = given, columns
        if isinstance(X, Runs):
            self._check_dataset(y, sample_weight, target)
            if validation is not None and not isinstance(validation, str):
                raise CallerError("validation of a dataset is the name of one of its bool columns: true rows are held out")
            return X, {"target": target, "weight": weight, "validation": validation}
        table = to_table(X)
        if self.target_kind is Target.NONE:
            y = None  # scikit-learn's contract: given and ignored
        elif (y is None) == (target is None):
            raise CallerError("requires y to be passed, but the target y is None: fit(X, y), or fit(table, target=column)")
        elif y is not None:
            table, target = with_target(table, y, is_number=self.target_kind is Target.NUMBER)
        rows = table.num_rows
        if validation is not None and not isinstance(validation, str):
            table, validation = with_mark(table, validation, target)
        if sample_weight is not None:
            table, weight = with_weight(table, sample_weight, rows)
        return in_process(table, partition), {"target": target, "weight": weight, "validation": validation}

    def _check_dataset(self, y: Any, sample_weight: Any, target: str | None) -> None:
        if self.target_kind is not Target.NONE and (target is None or y is not None):
            raise CallerError("a dataset is fitted with target=, the name of one of its columns")
        if sample_weight is not None:
            raise CallerError("a dataset's weights are one of its columns: weight=, its name")

    def _adopt(self, record: Record) -> Self:
        model = load_predictor(record)
        self.model_ = model
        self.model_record_ = record
        self.digest_ = digest(record)
        self.target_ = model.target
        self.n_rounds_ = int(record["rounds"])
        self.n_iter_: Any = self.n_rounds_  # scikit-learn's name for it
        self.feature_names_in_ = np.array(model.features, dtype=object)
        self.n_features_in_ = len(model.features)
        self.adopt(record)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def _evaluated(self, dataset: Runs) -> Record:
        require_trust(self.model_record_)  # a cluster's workers run what it holds of code
        parameters = {"model": self.model_record_, "target": self.target_}
        program = resolve({"program": "muskox.evaluate:EvaluateProgram", "parameters": parameters})
        return dataset.run(program, RunOptions()).result

    def _truth(self, X: Any, y: Any) -> Any:
        """Return `y`, or the target's column of the table `X`."""
        if y is not None:
            return y
        table = to_table(X)
        if self.target_ not in table.schema.names:
            raise CallerError(f"no column {self.target_!r} to score against: give y")
        return np.array(table.column(self.target_).to_pylist())


class EarlyStopping(Estimator):
    """What estimators share that hold a share of the rows out only with `early_stopping`."""

    early_stopping: bool

    def inputs(self, *args: Any, **given: Any) -> Inputs:
        found = super().inputs(*args, **given)
        return found if self.early_stopping else replace(found, validation_fraction=0.0)

    @classmethod
    def parameters_of(cls, record: Record) -> dict[str, Any]:
        told = super().parameters_of(record)
        told["early_stopping"] = told["validation_fraction"] > 0.0
        if not told["early_stopping"]:
            del told["validation_fraction"]  # what it was is not told: nothing was held out by it
        return told


class ClassifierEstimator(ClassifierMixin, Estimator):  # type: ignore[misc]
    """What classifiers share; `Probabilities` and `Margins` are for those whose models have them.

    Attributes
    ----------
    classes_ : shape (classes,), sorted
    """

    target_kind = Target.CLASSES

    def predict(self, X: Any) -> Array:
        check_is_fitted(self)
        chosen: Array = self.classes_[self.each_batch(X, lambda batch: self.model_.decide(batch)[0])]
        return chosen

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the accuracy on arrays with `y`, on a table with the target in it, or on a dataset where it lies."""
        check_is_fitted(self)
        if isinstance(X, Runs):
            return float(self._evaluated(X)["accuracy"])
        return float(super().score(X, self._truth(X, y), sample_weight))

    def _adopt(self, record: Record) -> Self:
        super()._adopt(record)
        self.classes_ = self.model_.classes_
        return self


class Probabilities:
    """What classifiers with probabilities have beside."""

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class, shape (rows, classes)."""
        check_is_fitted(self)
        return self.each_batch(X, self.model_.probabilities)  # type: ignore[attr-defined,no-any-return]

    def predict_log_proba(self, X: Any) -> Floats:
        """Return the logarithm of the probability of each class, shape (rows, classes)."""
        return log(self.predict_proba(X))


class Margins:
    """What classifiers with margins have beside."""

    def decision_function(self, X: Any) -> Floats:
        """Return the margin of each class, shape (rows, classes), the greatest of which decides; of two that of the second."""
        check_is_fitted(self)
        return self.each_batch(X, self.model_.scores)  # type: ignore[attr-defined,no-any-return]


class RegressorEstimator(RegressorMixin, Estimator):  # type: ignore[misc]
    """What regressors share."""

    target_kind = Target.NUMBER

    def predict(self, X: Any) -> Floats:
        check_is_fitted(self)
        return self.each_batch(X, self.model_.values)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return R squared on arrays with `y`, on a table with the target in it, or on a dataset where it lies."""
        check_is_fitted(self)
        if isinstance(X, Runs):
            return float(self._evaluated(X)["r2"])
        return float(super().score(X, self._truth(X, y), sample_weight))


class ClustererEstimator(ClusterMixin, Estimator):  # type: ignore[misc]
    """What clusterers share: `labels_` are told for arrays, not for datasets, whose rows stay where they are."""

    target_kind = Target.NONE

    def see(self, dataset: Runs, X: Any, by: str) -> None:  # noqa: ARG002  # the contract's
        self.labels_ = self.predict(X)

    def fit_predict(self, X: Any, y: Any = None, **options: Any) -> Array:
        labels: Array = self.fit(X, y, **options).labels_
        return labels

    def predict(self, X: Any) -> Array:
        """Return the index of the nearest cluster of each row."""
        check_is_fitted(self)
        return self.each_batch(X, lambda batch: self.model_.predict_batch(batch)["cluster"])


class TransformerEstimator(TransformerMixin, Estimator):  # type: ignore[misc]
    """What transformers share: the model's `transformed` tells the new columns, shape (rows, columns)."""

    target_kind = Target.NONE

    def transform(self, X: Any) -> Floats:
        check_is_fitted(self)
        return self.each_batch(X, self.model_.transformed)

    def get_feature_names_out(self, input_features: Any = None) -> Array:  # noqa: ARG002  # scikit-learn's
        """Return the names of the columns that `transform` tells."""
        check_is_fitted(self)
        return np.array(list(self.model_.outputs), dtype=object)


def plain(value: Any) -> Any:
    """Return a NumPy scalar (grids of parameters are made of them) as the Python number it is."""
    return value.item() if isinstance(value, np.generic) else value


def names(parameter: str, value: Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise CallerError(f"{parameter}={value!r}: it must be a list of column names, [{value!r}] for one")
    return tuple(map(str, value))


def pairs(class_weight: Any) -> Any:
    """Return a dict of class weights as pairs, classes as plain Python values; anything else as it is."""
    if isinstance(class_weight, Mapping):
        return tuple((plain(value), plain(factor)) for value, factor in class_weight.items())
    if class_weight is None or isinstance(class_weight, str):
        return class_weight
    raise CallerError(f"class_weight={class_weight!r}: it is None, 'balanced', or a dict from classes to factors")


def told(program: Any) -> Record:
    """Return what a model's lineage tells of its program: "target" and "parameters"."""
    parameters = outline(program.parameters())
    return {"target": parameters.get("target"), "parameters": parameters}
