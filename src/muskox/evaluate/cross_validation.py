"""FoldTrial: one fold of a cross-validation as a program: train on all other rows, then score the fold's own.

All folds together are one job, :class:`muskox.together.Together` of these; each is data parallel by itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from muskox.evaluate.program import EvaluateProgram
from muskox.evaluate.program import merge as merge_scores
from muskox.fold import Fold
from muskox.program import Block, Done, Manifest, Program, Shard
from muskox.records import Record
from muskox.together import adds_in, columns_read, reference_to, referred

FIT, SCORE, TRAINING = "fit", "score", "training"


@dataclass(frozen=True, slots=True)
class FoldTrial:
    """Train by `program`, whose result is a model's record, without fold `fold`; score it there.

    The result: "model", and what :class:`EvaluateProgram` finds on the fold's rows.

    Parameters
    ----------
    target, weight : as of :class:`EvaluateProgram`
    fold, folds, seed : as of :class:`muskox.fold.Fold`
    has_training : whether "training" tells the scores on the rows trained on, too, but for the AUC
    keeps_model : whether the result holds the model
    forgets : whether what was derived of the rows trained on is let go of when it is trained: others in the same job that train
        on the same rows would make it again
    forgets_earlier : whether the same is done for all folds before this one: others of theirs, whose place that was, may have
        been refused, or have run elsewhere
    is_ranked : whether the fold's scores are ranked, for the AUC, as of :class:`EvaluateProgram`
    """

    kind: ClassVar[str] = "validate"

    program: Program
    target: str | None
    fold: int
    folds: int
    seed: int = 0
    weight: str | None = None
    has_training: bool = False
    keeps_model: bool = True
    forgets: bool = True
    forgets_earlier: bool = False
    is_ranked: bool = True

    @property
    def programs(self) -> tuple[Program, ...]:
        return (self.program,)

    def parameters(self) -> Record:
        place = {"target": self.target, "fold": self.fold, "folds": self.folds, "seed": self.seed, "weight": self.weight}
        how = {"has_training": self.has_training, "keeps_model": self.keeps_model, "is_ranked": self.is_ranked}
        lets_go = {"forgets": self.forgets, "forgets_earlier": self.forgets_earlier}
        return {"program": reference_to(self.program), **place, **how, **lets_go}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        return cls(**{**parameters, "program": referred(parameters["program"])})

    def reads(self) -> list[str]:
        columns = columns_read(self.program)
        return sorted({*columns, *(name for name in (self.target, self.weight) if name is not None)}) if columns else []

    def _fit(self) -> Fold:
        return Fold(self.program, self.fold, self.folds, self.seed)

    def _score(self, model: Mapping[str, Any], *, is_held_out: bool = True) -> Fold:
        """Return what scores `model` on the fold, or else on all other rows; to begin, {} will do for a model."""
        program = EvaluateProgram(model, self.target, self.weight, is_ranked=is_held_out and self.is_ranked)
        return Fold(program, self.fold, self.folds, self.seed, is_held_out=is_held_out)

    def initial(self, manifest: Manifest) -> Record:
        return {"phase": FIT, "state": self._fit().initial(manifest), "then": self._score({}).initial(manifest)}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        if state["phase"] == FIT:
            return {FIT: self._fit().partial(state["state"], shard, blocks)}
        for fold in range(0 if self.forgets_earlier else self.fold, self.fold + self.forgets):
            replace(self._fit(), fold=fold).forget(
                shard
            )  # so that memory holds no more encoded folds than are trained at a time
        found = {SCORE: self._score(state["model"]).partial(state["state"], shard, blocks)}
        if self.has_training:
            others = self._score(state["model"], is_held_out=False)
            found[TRAINING] = others.partial(state["state"], shard, shard.blocks)
        return found

    def merge(self, left: Record, right: Record) -> Record:
        if FIT in left:
            return {FIT: self.program.merge(left[FIT], right[FIT])}
        return {name: merge_scores(left[name], right[name]) for name in left}

    def update(self, state: Record, total: Record) -> Record | Done:
        if state["phase"] == FIT:
            after = self.program.update(state["state"], total[FIT])
            if isinstance(after, Done):
                return {"phase": SCORE, "state": state["then"], "model": after.result}
            return {**state, "state": after}
        result: Record = {"model": state["model"]} if self.keeps_model else {}
        result |= self._found(self._score(state["model"]), total[SCORE])
        if TRAINING in total:
            result[TRAINING] = self._found(self._score(state["model"], is_held_out=False), total[TRAINING])
        return Done(result)

    def _found(self, scored: Fold, total: Record) -> Record:
        found = scored.update({}, total)
        assert isinstance(found, Done), "evaluation takes one round"
        return found.result

    def adds(self, state: Record) -> bool:
        return bool(state["phase"] == FIT) and adds_in(self.program, state["state"])

    def report(self, state: Record) -> Mapping[str, float]:
        return self._fit().report(state["state"]) if state["phase"] == FIT else {}
