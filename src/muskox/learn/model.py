"""Model: what predicts by a record, without scikit-learn, whose import would cost each worker a second and 90 MB.

A model is its record: "model" names the class here that predicts by it (``muskox.learn:LogisticModel``), "estimator" the class
with scikit-learn's API, "kind" is the word for it in listings. Every row is computed by itself, so one row gives the same bits
as in any batch.
"""

from enum import StrEnum
from importlib import import_module
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from muskox.errors import CallerError
from muskox.learn.columns import Column, Floats, Kind, from_record
from muskox.records import Array, Record
from muskox.trusted_code import trust_held

PREDICTION, PROBABILITY, SCORE, CLUSTER, DISTANCE = "prediction", "probability", "score", "cluster", "distance"


class Task(StrEnum):
    """What a model's answers are, and so how it is evaluated."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    CLUSTERING = "clustering"
    TRANSFORMATION = "transformation"


class Model:
    """A fitted model, made from its record.

    Attributes
    ----------
    record : the model; its digest is the model's identity
    columns : what it reads of a row, in order
    target : the column it was trained to predict; None where there is none
    pinned : whether it asks a pinned process for its answers, unless this is one; see :mod:`muskox.engines.pinned`
    """

    task: ClassVar[Task]
    pinned: bool = False

    def __init__(self, record: Record) -> None:
        self.record = record
        self.columns: list[Column] = from_record(record["encoder"]["columns"])
        names = record["target"]["names"]
        self.target: str | None = str(names[0]) if names else None

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(record)

    @property
    def features(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def outputs(self) -> dict[str, Kind]:
        """The columns of an answer, by name, with their types."""
        raise NotImplementedError

    def predict_batch(self, batch: Any) -> dict[str, Array]:
        """Return the columns of `outputs` for each row of an Arrow record batch.

        Raises
        ------
        CallerError
            If a feature is missing in the batch, of another kind, or infinite.
        """
        raise NotImplementedError


class Classifier(Model):
    """A classifier. A subclass defines `probabilities`, or `scores` with `has_probabilities` false, or both.

    Attributes
    ----------
    classes_ : shape (classes,); of two, the second is the one whose probability is told
    """

    has_probabilities: ClassVar[bool] = True

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self.classes_: Array = np.array(record["classes"])

    @property
    def task(self) -> Task:  # type: ignore[override]  # of a classifier it depends on how many classes there are
        return Task.BINARY if len(self.classes_) == 2 else Task.MULTICLASS

    @property
    def outputs(self) -> dict[str, Kind]:
        kind = Kind(self.record["target"]["kinds"][0])
        return {PREDICTION: kind, PROBABILITY if self.has_probabilities else SCORE: Kind.FLOAT}

    def probabilities(self, batch: Any) -> Floats:
        """Return the probability of each class, shape (rows, classes)."""
        raise NotImplementedError

    def scores(self, batch: Any) -> Floats:
        """Return the margin of each class, shape (rows, classes), the greatest of which decides; of two classes that of the
        second, shape (rows,), above 0 where it is chosen.
        """
        raise NotImplementedError

    def decide(self, batch: Any) -> tuple[Array, Floats]:
        """Return the index of each row's class, shape (rows,), and its probabilities or, where it has none, scores."""
        found = self.probabilities(batch) if self.has_probabilities else self.scores(batch)
        return choose(found), found

    def predict_batch(self, batch: Any) -> dict[str, Array]:
        """Return "prediction" and "probability" of each row: of the second class of two, of the predicted one of more.

        A model without probabilities tells its "score" instead.
        """
        chosen, found = self.decide(batch)
        if len(self.classes_) == 2:
            told = found[:, 1] if found.ndim == 2 else found
        else:
            told = np.take_along_axis(found, chosen[:, None], axis=1)[:, 0]
        return {PREDICTION: self.classes_[chosen], PROBABILITY if self.has_probabilities else SCORE: told}


class Regressor(Model):
    """A regressor. A subclass defines `values`."""

    task = Task.REGRESSION

    @property
    def outputs(self) -> dict[str, Kind]:
        return {PREDICTION: Kind.FLOAT}

    def values(self, batch: Any) -> Floats:
        """Return what is predicted for each row, shape (rows,)."""
        raise NotImplementedError

    def predict_batch(self, batch: Any) -> dict[str, Array]:
        return {PREDICTION: self.values(batch)}


class Transformer(Model):
    """A transformer: its answers are columns. A subclass defines `outputs` and `transformed`."""

    task = Task.TRANSFORMATION

    def transformed(self, batch: Any) -> Floats:
        """Return the new columns of each row of an Arrow record batch, shape (rows, columns)."""
        raise NotImplementedError

    def predict_batch(self, batch: Any) -> dict[str, Array]:
        found = np.ascontiguousarray(self.transformed(batch).T)
        return dict(zip(self.outputs, found, strict=True))

    def transform_batch(self, batch: Any) -> Any:
        """Return the new columns of each row as an Arrow record batch."""
        return pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in self.predict_batch(batch).items()})


def choose(scores: Floats) -> Array:
    """Return the index of the chosen class of each row: of (rows,) scores the second where above 0, else the first greatest."""
    if scores.ndim == 1:
        return (scores > 0.0).astype(np.intp)
    chosen: Array = np.argmax(scores, axis=1)
    return chosen


def named(record: Record, entry: str) -> Any:
    """Return the class that an entry of a record names, such as ``muskox.learn:LogisticModel``.

    Raises
    ------
    CallerError
        If this version of muskox has no such class.
    """
    name = str(record.get(entry))
    module, _, qualname = name.partition(":")
    if module.startswith("muskox."):
        try:
            kind = getattr(import_module(module), qualname)
        except (ImportError, AttributeError) as error:
            raise CallerError(f"this version of muskox has no {entry} {name!r}") from error
        if isinstance(kind, type) and hasattr(kind, "from_record"):
            return kind
    raise CallerError(f"{name!r} is no {entry} of muskox")


def made(record: Record, entry: str) -> Any:
    """Return what the class that an entry names makes of the record; CallerError if it lacks what such a record has."""
    kind = named(record, entry)
    try:
        return kind.from_record(record)
    except (KeyError, TypeError, AttributeError) as error:
        raise CallerError(f"this record is none of {record[entry]!r}: {type(error).__name__}: {error}") from error


def load_predictor(record: Record) -> Any:
    """Return what predicts by the model that `record` describes: a :class:`Model`.

    Raises
    ------
    CallerError
        If this version of muskox knows no such model.
    """
    return made(record, "model")


def load_model(record: Record, *, trust_code: bool = False) -> Any:
    """Return the model that a record describes as a fitted estimator with scikit-learn's API.

    trust_code : let Python code that the record holds run in this process when the model predicts

    Raises
    ------
    CallerError
        If this version of muskox knows no such estimator.
    """
    if trust_code:
        trust_held(record)
    return made(record, "estimator")
