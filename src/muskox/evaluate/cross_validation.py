"""FoldTrial: one fold of a cross-validation as a program: train on all other rows, then score the fold's own.

All folds together are one job, :class:`muskox.together.Together` of these; each is data parallel by itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from muskox.evaluate.binary import EvaluateProgram
from muskox.fold import Fold
from muskox.program import Block, Done, Manifest, Program, Shard
from muskox.records import Record
from muskox.together import adds_in, columns_read, reference_to, referred

FIT, SCORE = "fit", "score"


@dataclass(frozen=True, slots=True)
class FoldTrial:
    """Train by `program`, whose result is the record of a binary classifier of `target`, without fold `fold`; score it there.

    The result: "model", and what :class:`EvaluateProgram` finds on the fold's rows.
    """

    kind: ClassVar[str] = "validate"

    program: Program
    target: str
    fold: int
    folds: int
    seed: int = 0

    @property
    def programs(self) -> tuple[Program, ...]:
        return (self.program,)

    def parameters(self) -> Record:
        place = {"target": self.target, "fold": self.fold, "folds": self.folds, "seed": self.seed}
        return {"program": reference_to(self.program), **place}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        return cls(**{**parameters, "program": referred(parameters["program"])})

    def reads(self) -> list[str]:
        columns = columns_read(self.program)
        return sorted({*columns, self.target}) if columns else []

    def _fit(self) -> Fold:
        return Fold(self.program, self.fold, self.folds, self.seed)

    def _score(self, model: Mapping[str, Any]) -> Fold:
        """Return what scores `model` on the fold; to begin and to merge, which is the same for every model, {} will do."""
        return Fold(EvaluateProgram(model, self.target), self.fold, self.folds, self.seed, is_held_out=True)

    def initial(self, manifest: Manifest) -> Record:
        return {"phase": FIT, "state": self._fit().initial(manifest), "then": self._score({}).initial(manifest)}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        if state["phase"] == FIT:
            return {FIT: self._fit().partial(state["state"], shard, blocks)}
        self._fit().forget(shard)  # so that memory holds no more encoded folds than are trained at a time
        return {SCORE: self._score(state["model"]).partial(state["state"], shard, blocks)}

    def merge(self, left: Record, right: Record) -> Record:
        if FIT in left:
            return {FIT: self.program.merge(left[FIT], right[FIT])}
        return {SCORE: self._score({}).merge(left[SCORE], right[SCORE])}

    def update(self, state: Record, total: Record) -> Record | Done:
        if state["phase"] == FIT:
            after = self.program.update(state["state"], total[FIT])
            if isinstance(after, Done):
                return {"phase": SCORE, "state": state["then"], "model": after.result}
            return {**state, "state": after}
        after = self._score(state["model"]).update(state["state"], total[SCORE])
        return Done({"model": state["model"], **after.result}) if isinstance(after, Done) else {**state, "state": after}

    def adds(self, state: Record) -> bool:
        return bool(state["phase"] == FIT) and adds_in(self.program, state["state"])

    def report(self, state: Record) -> Mapping[str, float]:
        return self._fit().report(state["state"]) if state["phase"] == FIT else {}
