"""Scorer: what evaluation asks of a model, and how a model is found again from its record."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

from muskox.errors import CallerError
from muskox.records import Array


class Scorer(Protocol):
    """A fitted binary classifier."""

    @property
    def classes_(self) -> Array:
        """Its two classes; the second is the positive one."""

    @property
    def features(self) -> Sequence[str]:
        """The columns that it looks at."""

    def predict_batch(self, batch: Any) -> Mapping[str, Array]:
        """Return "probability" (of the second class) and "prediction" of each row of an Arrow record batch."""


def load_scorer(record: Mapping[str, Any]) -> Scorer:
    """Return the model that `record` describes, by the class that its entry "model" names.

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
    scorer: Scorer = make(record)
    return scorer
