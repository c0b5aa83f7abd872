"""Scores: one number to choose models by, from what evaluation found. The greater, the better: those of losses are negative."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from muskox.errors import CallerError
from muskox.evaluate import of_confusion

Found = Mapping[str, Any]


def _entry(name: str, factor: float = 1.0) -> Callable[[Found], float | None]:
    return lambda found: None if found[name] is None else factor * float(found[name])


def _of_second(name: str) -> Callable[[Found], float | None]:
    """Return a metric of the positive one of two classes."""
    return lambda found: float(of_confusion(found["confusion"])[name][1]) if len(found["classes"]) == 2 else None


def _mean(name: str) -> Callable[[Found], float | None]:
    return lambda found: float(np.mean(of_confusion(found["confusion"])[name]))


def _balanced(found: Found) -> float:
    """Return the mean recall of those classes that have rows, as scikit-learn's balanced accuracy."""
    there = np.sum(found["confusion"], axis=1) > 0
    return float(np.mean(of_confusion(found["confusion"])["recall"][there]))


_CLASSES: dict[str, Callable[[Found], float | None]] = {
    "accuracy": _entry("accuracy"),
    "balanced_accuracy": _balanced,
    "auc": lambda found: None if found.get("auc") is None else float(found["auc"]),
    "neg_log_loss": _entry("log_loss", -1.0),
    "f1": _of_second("f1"),
    "precision": _of_second("precision"),
    "recall": _of_second("recall"),
    "f1_macro": _mean("f1"),
    "precision_macro": _mean("precision"),
    "recall_macro": _mean("recall"),
}
_NUMBERS: dict[str, Callable[[Found], float | None]] = {
    "r2": _entry("r2"),
    "neg_root_mean_squared_error": _entry("rmse", -1.0),
    "neg_mean_squared_error": lambda found: -(float(found["rmse"]) ** 2),
    "neg_mean_absolute_error": _entry("mae", -1.0),
    "neg_max_error": _entry("max_error", -1.0),
}
_CLUSTERS: dict[str, Callable[[Found], float | None]] = {
    "neg_inertia": _entry("inertia", -1.0),
    "neg_mean_squared_distance": _entry("mean_squared_distance", -1.0),
}
SHORT = {
    "roc_auc": "auc",
    "neg_rmse": "neg_root_mean_squared_error",
    "neg_mae": "neg_mean_absolute_error",
}  # other words for the same
SCORINGS = tuple(sorted({**_CLASSES, **_NUMBERS, **_CLUSTERS}))


def check_scoring(scoring: str | None) -> None:
    """Raise CallerError if there is no such score."""
    if scoring is None or scoring in SCORINGS or scoring in SHORT:
        return
    hint = f": a greater score is better, say 'neg_{scoring}'" if f"neg_{scoring}" in (*SCORINGS, *SHORT) else ""
    raise CallerError(f"there is no scoring {scoring!r}{hint or ': there are ' + ', '.join(SCORINGS)}")


def scoring_of(scoring: str | None, found: Found) -> str:
    """Return the name of the score that `scoring` asks for: of None accuracy, R squared, or minus the mean squared distance."""
    if scoring is not None:
        return SHORT.get(scoring, scoring)
    return "accuracy" if "confusion" in found else "r2" if "r2" in found else "neg_mean_squared_distance"


def needs_ranks(scoring: str | None) -> bool:
    """Return whether `scoring` needs all scores in order: no other but the AUC does, and what it merges grows with the rows."""
    return scoring is not None and scoring_of(scoring, {}) == "auc"


def score_of(scoring: str | None, found: Found) -> float:
    """Return the score of what evaluation found.

    Raises
    ------
    CallerError
        If these rows or this model have no such score.
    """
    name = scoring_of(scoring, found)
    known = _CLASSES if "confusion" in found else _NUMBERS if "r2" in found else _CLUSTERS
    if name not in known:
        raise CallerError(f"scoring {name!r} is not for a model of this kind: choose from {', '.join(known)}")
    score = known[name](found)
    if score is None:
        raise CallerError(f"these rows or this model have no {name}: {_why(name)}")
    return score


def _why(name: str) -> str:
    if name == "auc":
        return "it is there for two classes, where rows are of both"
    return "the model has no probabilities" if name == "neg_log_loss" else "it is there for two classes"
