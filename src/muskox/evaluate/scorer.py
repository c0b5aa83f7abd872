"""Scorer: what evaluation asks of a model, and how a model is found again from its record."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

from muskox.errors import CallerError
from muskox.records import Array

BINARY, MULTICLASS, REGRESSION, CLUSTERING = "binary", "multiclass", "regression", "clustering"
TASKS = (BINARY, MULTICLASS, REGRESSION, CLUSTERING)


class Scorer(Protocol):
    """A fitted model."""

    @property
    def task(self) -> str:
        """What its answers are: one of `TASKS`, or something that no truth is compared with."""

    @property
    def features(self) -> Sequence[str]:
        """The columns that it looks at."""

    @property
    def target(self) -> str | None:
        """The column that it was trained to predict; None where there is none."""

    def predict_batch(self, batch: Any) -> Mapping[str, Array]:
        """Return what is told of each row of an Arrow record batch, by name.

        Of a classifier "prediction" and "probability" (of the second class of two), or "score" where it has no probabilities;
        of a regressor "prediction"; of a clusterer "cluster" and "distance".
        """


class ClassScorer(Scorer, Protocol):
    """A fitted classifier."""

    @property
    def classes_(self) -> Array:
        """Its classes; of two, the second is the positive one."""

    @property
    def has_probabilities(self) -> bool:
        """Whether it tells them."""

    def decide(self, batch: Any) -> tuple[Array, Array]:
        """Return the index of each row's class, and the probabilities, shape (rows, classes), or scores where it has none."""


def load_scorer(record: Mapping[str, Any]) -> Any:
    """Return the model that `record` describes, by the class that its entry "model" names: a :class:`Scorer`.

    Raises
    ------
    CallerError
        If that is no model of muskox.
    """
    name = str(record.get("model"))
    module, _, qualname = name.partition(":")
    if not module.startswith("muskox."):
        raise CallerError(f"{name!r} is not a model of muskox")
    try:
        make = getattr(import_module(module), qualname).from_record
    except (ImportError, AttributeError) as error:
        raise CallerError(f"this version of muskox has no model {name!r}") from error
    return make(record)
