"""CheckedEvaluation: a model scored, and in the same round its columns looked at, for those that give the target away."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from muskox.evaluate.one_column import OneColumnProgram
from muskox.evaluate.program import EvaluateProgram
from muskox.evaluate.scorer import REGRESSION
from muskox.program import Block, Done, Manifest, Program, Shard
from muskox.records import Record

SCORES, COLUMNS = "scores", "columns"


@dataclass(frozen=True, eq=False)  # the model holds arrays, which do not compare to one bool
class CheckedEvaluation:
    """Score a dataset by a model that predicts a column, `target`.

    The result: "scores", as of :class:`EvaluateProgram`, and "columns", as of :class:`OneColumnProgram`.
    """

    kind: ClassVar[str] = "evaluate"

    model: Mapping[str, Any]
    target: str
    weight: str | None = None

    def parameters(self) -> Record:
        return {"model": dict(self.model), "target": self.target, "weight": self.weight}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        return cls(**parameters)

    @cached_property
    def scores(self) -> EvaluateProgram:
        return EvaluateProgram(self.model, self.target, self.weight)

    @cached_property
    def look(self) -> OneColumnProgram:
        scorer = self.scores.scorer
        return OneColumnProgram(self.target, tuple(scorer.features), scorer.task == REGRESSION)

    @property
    def pinned(self) -> bool:
        return self.scores.pinned

    def reads(self) -> list[str]:
        return self.scores.reads()

    def initial(self, manifest: Manifest) -> Record:
        return {SCORES: self.scores.initial(manifest), COLUMNS: self.look.initial(manifest)}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        scores = self.scores.partial(state[SCORES], shard, blocks)
        return {SCORES: scores, COLUMNS: self.look.partial(state[COLUMNS], shard, shard.blocks)}

    def merge(self, left: Record, right: Record) -> Record:
        scores = self.scores.merge(left[SCORES], right[SCORES])
        return {SCORES: scores, COLUMNS: self.look.merge(left[COLUMNS], right[COLUMNS])}

    def update(self, state: Record, total: Record) -> Record | Done:
        scores = self.scores.update(state[SCORES], total[SCORES])
        columns = self.look.update(state[COLUMNS], total[COLUMNS])
        assert isinstance(scores, Done) and isinstance(columns, Done), "each takes one round"
        return Done({SCORES: scores.result, COLUMNS: columns.result})
