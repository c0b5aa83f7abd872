"""Pipeline and Encode: scikit-learn's API over the programs of pipelines and their first step."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import pyarrow as pa
from sklearn.utils import Bunch, get_tags
from sklearn.utils.metaestimators import _BaseComposition, available_if
from sklearn.utils.validation import check_is_fitted

from muskox.errors import CallerError
from muskox.learn.base import Estimator, TransformerEstimator
from muskox.learn.columns import Floats
from muskox.learn.encoder import CATEGORIES_MAX
from muskox.learn.inputs import Inputs, Target
from muskox.learn.model import load_model
from muskox.learn.pipeline.encode import EncodeProgram
from muskox.learn.pipeline.program import PipelineProgram
from muskox.learn.tables import to_table
from muskox.learn.training import in_rounds
from muskox.program import BLOCK_ROWS, Runs
from muskox.records import Array, Record


class Encode(TransformerEstimator):
    """Columns of numbers: missing ones filled by the mean, standardised, categories as indicators; in one round.

    Parameters
    ----------
    standardise : whether numeric columns are brought to mean 0 and deviation 1
    features : columns to look at; None means all
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error

    Attributes
    ----------
    encoder_, n_rounds_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> import pyarrow as pa
    >>> step = Encode().fit(pa.table({"x": [1.0, 3.0, None], "city": ["Rome", "Oslo", None]}))
    >>> step.get_feature_names_out().tolist()
    ['x', 'city=Oslo', 'city=Rome', 'city is missing']
    """

    def __init__(
        self,
        *,
        standardise: bool = True,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        self.standardise = standardise
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max

    def build(self, inputs: Inputs) -> EncodeProgram:
        return EncodeProgram(inputs=inputs)

    def adopt(self, record: Record) -> None:  # noqa: ARG002  # the model has it
        self.encoder_ = self.model_.encoder


def last_has(name: str) -> Callable[["Pipeline"], bool]:
    """Return what says whether the last step of a pipeline has a method or attribute."""

    def check(pipeline: "Pipeline") -> bool:
        getattr(pipeline.steps[-1][1], name)  # AttributeError says it best
        return True

    return check


class Pipeline(_BaseComposition, Estimator):  # type: ignore[misc]  # scikit-learn has no types
    """Steps that are trained one after the other, as one job: transformers, and last any estimator that trains in
    rounds.

    Parameters
    ----------
    steps : pairs of a name and an estimator; all but the last transform (:class:`Encode`, :class:`PCA`)

    Attributes
    ----------
    named_steps : the estimators by name, fitted in place
    classes_, n_rounds_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> from muskox.learn import PCA, LogisticRegression
    >>> model = Pipeline([("axes", PCA(n_components=1)), ("classify", LogisticRegression())])
    >>> model.fit([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [3.0, 4.0]], ["no", "no", "yes", "yes"]).predict([[0.5, 1.5]]).tolist()
    ['no']
    >>> model.set_params(axes__whiten=True).get_params()["axes__whiten"]
    True
    """

    def __init__(self, steps: Sequence[tuple[str, Any]]) -> None:
        self.steps = steps

    @property
    def target_kind(self) -> Target:  # type: ignore[override]  # of a pipeline it is the last step's
        self._check_steps()
        kind: Target = self._last.target_kind
        return kind

    @property
    def _last(self) -> Any:
        return self.steps[-1][1]

    @property
    def named_steps(self) -> Any:
        return Bunch(**dict(self.steps))

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, which: int | str) -> Any:
        return self.named_steps[which] if isinstance(which, str) else self.steps[which][1]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, those of the steps as ``name__parameter``."""
        found: dict[str, Any] = self._get_params("steps", deep=deep)
        return found

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters, those of the steps as ``name__parameter``."""
        self._set_params("steps", **parameters)
        return self

    def program(
        self,
        target: str | None = None,
        features: Sequence[str] | None = None,
        weight: str | None = None,
        validation: str | None = None,
    ) -> PipelineProgram:
        """Return what `fit` runs: the programs of all steps; `features` are those of the first one.

        Raises
        ------
        CallerError
            If the steps make no pipeline, or one trains by independent tasks, not in rounds.
        """
        has_target = self.target_kind is not Target.NONE
        programs = []
        for index, (_, step) in enumerate(self.steps):
            own = target if step.target_kind is not Target.NONE else None
            programs.append(in_rounds(step.program(own, features if index == 0 else None, weight, validation), step))
        kept = (target if has_target else None, weight, validation)
        return PipelineProgram(tuple(name for name, _ in self.steps), tuple(programs), *kept)

    def _check_steps(self) -> None:
        if not self.steps:
            raise CallerError("a pipeline has at least one step: give pairs of a name and an estimator")
        names = [name for name, _ in self.steps]
        self._validate_names(names)
        for name, step in self.steps[:-1]:
            if not isinstance(step, TransformerEstimator):
                raise CallerError(f"step {name!r} is a {type(step).__name__}: all steps but the last are muskox's transformers")
        if not isinstance(self._last, Estimator):
            raise CallerError(f"step {names[-1]!r} is a {type(self._last).__name__}: the last step is one of muskox's")

    def adopt(self, record: Record) -> None:
        for index, (_, step) in enumerate(self.steps):
            step._adopt(record["steps"][str(index)])

    @classmethod
    def from_record(cls, record: Record) -> Self:
        steps = [(name, load_model(record["steps"][str(index)])) for index, name in enumerate(record["names"])]
        return cls(steps)._adopt(record)

    # -- what the last step has --

    @property
    def classes_(self) -> Array:
        classes: Array = self._last.classes_
        return classes

    def _before_last(self, X: Any) -> Any:
        """Return `X` as a table of what the last step sees."""
        check_is_fitted(self)
        table = to_table(X, list(self.feature_names_in_), type(self).__name__)
        if len(self.steps) == 1:
            return table
        pieces = table.combine_chunks().to_batches(BLOCK_ROWS) or [pa.RecordBatch.from_pylist([], schema=table.schema)]
        return pa.Table.from_batches([self.model_.before_last(piece) for piece in pieces])

    @available_if(last_has("predict"))  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> Array:
        found: Array = self._last.predict(self._before_last(X))
        return found

    @available_if(last_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Floats:
        found: Floats = self._last.predict_proba(self._before_last(X))
        return found

    @available_if(last_has("predict_log_proba"))  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Floats:
        found: Floats = self._last.predict_log_proba(self._before_last(X))
        return found

    @available_if(last_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Floats:
        found: Floats = self._last.decision_function(self._before_last(X))
        return found

    @available_if(last_has("transform"))  # type: ignore[untyped-decorator]
    def transform(self, X: Any) -> Floats:
        found: Floats = self._last.transform(self._before_last(X))
        return found

    @available_if(last_has("transform"))  # type: ignore[untyped-decorator]
    def fit_transform(self, X: Any, y: Any = None, **given: Any) -> Floats:
        found: Floats = self.fit(X, y, **given).transform(X)
        return found

    @available_if(last_has("transform"))  # type: ignore[untyped-decorator]
    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Return the names of the columns that `transform` tells."""
        check_is_fitted(self)
        found: Array = self._last.get_feature_names_out(input_features)
        return found

    @available_if(last_has("score"))  # type: ignore[untyped-decorator]
    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the last step's score of arrays with `y`, of a table with the target in it, or of a dataset where it lies."""
        check_is_fitted(self)
        if isinstance(X, Runs):
            told = self._evaluated(X)
            return float(told["accuracy"] if "accuracy" in told else told["r2"] if "r2" in told else -told["inertia"])
        if self.target_kind is not Target.NONE:
            y = self._truth(X, y)
        return float(self._last.score(self._before_last(X), y, sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.steps and isinstance(self._last, Estimator):
            last = get_tags(self._last)
            for name in ("estimator_type", "target_tags", "transformer_tags", "classifier_tags", "regressor_tags"):
                setattr(tags, name, getattr(last, name))
        return tags
