"""Attempt: a program whose refusal is its result, so that of many that share a job one does not end the others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from muskox.errors import CallerError
from muskox.program import Block, Done, Manifest, Program, Reports, Shard
from muskox.records import Record
from muskox.together import columns_read, reference_to, referred

GOING, FAILED = "going", "failed"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Run `program`; where it raises CallerError, the result is ``{"failed": reason}``.

    Of several shards that refuse, the first one's reason is told. Its rounds are not sums (:class:`muskox.program.Adds`), for
    any part may be a refusal.
    """

    kind: ClassVar[str] = "attempt"

    program: Program

    @property
    def programs(self) -> tuple[Program, ...]:
        return (self.program,)

    def parameters(self) -> Record:
        return {"program": reference_to(self.program)}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        return cls(referred(parameters["program"]))

    def reads(self) -> list[str]:
        return columns_read(self.program)

    def initial(self, manifest: Manifest) -> Record:
        try:
            return {GOING: self.program.initial(manifest)}
        except CallerError as error:
            return {FAILED: str(error)}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        if FAILED in state:
            return state
        try:
            return {GOING: self.program.partial(state[GOING], shard, blocks)}
        except CallerError as error:
            return {FAILED: str(error)}

    def merge(self, left: Record, right: Record) -> Record:
        for part in (left, right):
            if FAILED in part:
                return part
        try:
            return {GOING: self.program.merge(left[GOING], right[GOING])}
        except CallerError as error:
            return {FAILED: str(error)}

    def update(self, state: Record, total: Record) -> Record | Done:
        for part in (state, total):
            if FAILED in part:
                return Done({FAILED: part[FAILED]})
        try:
            after = self.program.update(state[GOING], total[GOING])
        except CallerError as error:
            return Done({FAILED: str(error)})
        return after if isinstance(after, Done) else {GOING: after}

    def report(self, state: Record) -> Mapping[str, float]:
        return self.program.report(state[GOING]) if GOING in state and isinstance(self.program, Reports) else {}
