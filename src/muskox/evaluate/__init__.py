"""Evaluation: exact metrics of a model over a dataset, as programs. It knows models only by what they promise, not by class."""

from muskox.evaluate.cross_validation import FoldTrial
from muskox.evaluate.program import EvaluateProgram
from muskox.evaluate.scorer import Scorer, load_scorer

__all__ = ["EvaluateProgram", "FoldTrial", "Scorer", "load_scorer"]
