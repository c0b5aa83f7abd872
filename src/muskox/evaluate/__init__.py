"""Evaluation: exact metrics of a model over a dataset, as programs. It knows models only by what they promise, not by class."""

from muskox.evaluate.apart import Apart
from muskox.evaluate.attempt import FAILED, Attempt
from muskox.evaluate.checked import CheckedEvaluation
from muskox.evaluate.cross_validation import FoldTrial
from muskox.evaluate.importance import PermutationProgram
from muskox.evaluate.multiclass import of_confusion
from muskox.evaluate.one_column import OneColumnProgram, suspects
from muskox.evaluate.program import EvaluateProgram
from muskox.evaluate.scorer import Scorer, load_scorer

__all__ = [
    "FAILED",
    "Apart",
    "Attempt",
    "CheckedEvaluation",
    "EvaluateProgram",
    "FoldTrial",
    "OneColumnProgram",
    "PermutationProgram",
    "Scorer",
    "load_scorer",
    "of_confusion",
    "suspects",
]
