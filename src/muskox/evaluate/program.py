"""EvaluateProgram: how good a model is on a dataset, in one round. What is measured follows from the model's task."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

from muskox.errors import CallerError
from muskox.evaluate import binary, clustering, multiclass, regression
from muskox.evaluate.scorer import BINARY, CLUSTERING, MULTICLASS, REGRESSION, TASKS, Scorer, load_scorer
from muskox.program import Block, Done, Manifest, Program, Shard
from muskox.records import Record

MERGES: dict[str, Callable[[Record, Record], Record]] = {
    BINARY: binary.merge,
    MULTICLASS: multiclass.merge,
    REGRESSION: regression.merge,
    CLUSTERING: clustering.merge,
}


class Metrics(Protocol):
    """What is measured of one kind of models."""

    def partial(self, blocks: Iterator[Block]) -> Record:
        """Return what some rows contribute: merged by the `merge` of its file."""

    def result(self, total: Record) -> Record:
        """Return the metrics; CallerError if the rows, all in all, cannot be compared with."""


@dataclass(frozen=True, eq=False)  # the model holds arrays, which do not compare to one bool
class EvaluateProgram:
    """Score a dataset by a model and compare with its column `target`.

    The result depends on the model's task: see :class:`muskox.evaluate.binary.BinaryMetrics`,
    :class:`muskox.evaluate.multiclass.MulticlassMetrics`, :class:`muskox.evaluate.regression.RegressionMetrics` and
    :class:`muskox.evaluate.clustering.ClusteringMetrics`.

    Parameters
    ----------
    model : its record
    target : the column to compare with; None for a clustering
    weight : a column of numbers, 0 or above: a row of weight w counts as w rows; None counts each once
    is_ranked : whether a binary classifier's scores are ranked, for "auc": else it is None, and nothing large is merged
    """

    kind: ClassVar[str] = "evaluate"

    model: Mapping[str, Any]
    target: str | None
    weight: str | None = None
    is_ranked: bool = True

    def parameters(self) -> Record:
        return {"model": dict(self.model), "target": self.target, "weight": self.weight, "is_ranked": self.is_ranked}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        target, weight = (parameters.get(name) for name in ("target", "weight"))
        return cls(parameters["model"], target, weight, bool(parameters.get("is_ranked", True)))

    def reads(self) -> list[str]:
        named = [name for name in (self.target, self.weight) if name is not None]
        return [*self.scorer.features, *(name for name in named if name not in self.scorer.features)]

    @property
    def pinned(self) -> bool:
        """Whether the model's answers are those of pinned processes: then all shards are scored in one."""
        return bool(getattr(self.scorer, "pinned", False))

    @cached_property
    def scorer(self) -> Scorer:
        scorer: Scorer = load_scorer(self.model)
        if scorer.task not in TASKS:
            raise CallerError(
                f"a {self.model.get('kind', 'model')} model transforms rows: there is no truth to compare it with"
            )
        if scorer.task != CLUSTERING and self.target is None:
            raise CallerError(f"a {scorer.task} model is compared with a column: say which by target=")
        return scorer

    @cached_property
    def metrics(self) -> Metrics:
        return metrics_of(self.scorer, self.target, self.weight, is_ranked=self.is_ranked)

    def initial(self, manifest: Manifest) -> Record:
        for name, purpose in ((self.target, "compare with"), (self.weight, "weigh by")):
            if name is not None and name not in manifest.columns:
                raise CallerError(f"no column {name!r} to {purpose}: this dataset has {', '.join(manifest.columns)}")
        return {"rows": manifest.rows}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:  # noqa: ARG002  # the contract's
        return {str(self.scorer.task): self.metrics.partial(blocks)}

    def merge(self, left: Record, right: Record) -> Record:
        return merge(left, right)

    def update(self, state: Record, total: Record) -> Record | Done:  # noqa: ARG002  # the contract's
        result = self.metrics.result(total[str(self.scorer.task)])
        for name, value in result.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise CallerError(f"this model predicts what is no finite number: its {name} is {value}")
        return Done(result)


def metrics_of(scorer: Any, target: str | None, weight: str | None, *, is_ranked: bool = True) -> Metrics:
    """Return what is measured of a model whose task is one of `TASKS`; `target` may be None for a clustering."""
    if scorer.task == CLUSTERING:
        return clustering.ClusteringMetrics(scorer, weight)
    assert target is not None, "of a model that predicts something"
    match str(scorer.task):
        case "binary":
            return binary.BinaryMetrics(scorer, target, weight, is_ranked)
        case "multiclass":
            return multiclass.MulticlassMetrics(scorer, target, weight)
        case _:
            return regression.RegressionMetrics(scorer, target, weight)


def merge(left: Record, right: Record) -> Record:
    """Return what two neighbours contribute: the task is that of the model that both were scored by."""
    (task,) = left
    return {task: MERGES[task](left[task], right[task])}
