"""How a model is evaluated on a dataset: one job that scores it and, in the same round, looks for what makes scores deceive."""

from typing import Any

from muskox.client import suspicion
from muskox.client.suspicion import LeakageWarning, warn_of
from muskox.evaluate import CheckedEvaluation, EvaluateProgram
from muskox.program import RunOptions, Runs
from muskox.records import Record


def evaluate(  # a model, what it is compared with, and how
    record: Record, dataset: Runs, target: str | None, weight: str | None, *, checks: bool, options: RunOptions
) -> dict[str, Any]:
    """Return the metrics of the model that `record` describes on `dataset`, and "warnings", as plain Python values."""
    sentences: list[str] = []
    if checks and target is not None:
        result = dataset.run(CheckedEvaluation(record, target, weight), options).result
        found, sentences = result["scores"], suspicion.about_columns(result["columns"], target)
    else:
        found = dataset.run(EvaluateProgram(record, target, weight), options).result
    told = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in found.items()}
    return {**told, "warnings": warn_of(sentences, LeakageWarning, depth=4)}
