"""Apart: several programs as independent tasks, each run over all its shards by one worker, with the bits of a run of its own.

The counterpart of :class:`muskox.together.Together`: there every worker takes part in every program, and rounds are shared;
here a worker has a program to itself, and no round waits for anybody. The results are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from muskox.errors import CallerError
from muskox.program import Done, Manifest, Program
from muskox.records import Record, normal
from muskox.task_list import Shards, TaskList
from muskox.together import all_columns_read, all_referred, references_to
from muskox.tree import Climb

ROUNDS_MAX = 1_000_000  # of one program: one that never ends is a bug


@dataclass(frozen=True, slots=True)
class Apart:
    """Run each of `programs` as a task; the result holds that of each under its number, as that of `Together` does."""

    kind: ClassVar[str] = "apart"

    programs: tuple[Program, ...]

    def parameters(self) -> Record:
        return {"programs": references_to(self.programs)}

    @classmethod
    def from_parameters(cls, parameters: Record) -> TaskList:
        return cls(all_referred(parameters["programs"]))

    def reads(self) -> list[str]:
        """Return the columns that any of them looks at; none, which means all, if one of them looks at all."""
        return all_columns_read(self.programs)

    def tasks(self, manifest: Manifest) -> Sequence[Record]:  # noqa: ARG002  # the contract's
        return [{"program": index} for index in range(len(self.programs))]

    def shards(self, task: Record, manifest: Manifest) -> Sequence[int] | None:  # noqa: ARG002  # the contract's
        return None

    def run(self, task: Record, shards: Shards) -> Record:
        return run_whole(self.programs[task["program"]], shards)

    def collect(self, results: Sequence[Record]) -> Record:
        return {str(index): result for index, result in enumerate(results)}


def run_whole(program: Program, shards: Shards) -> Record:
    """Return the result of `program` over all of `shards`, summed in the fixed tree."""
    state = normal(program.initial(shards.manifest))
    for _ in range(ROUNDS_MAX):
        after = program.update(state, total(program, state, shards))
        if isinstance(after, Done):
            return after.result
        state = normal(after)
    raise CallerError(f"{type(program).__name__} did not finish within {ROUNDS_MAX} rounds")


def total(program: Program, state: Record, shards: Shards) -> Record:
    """Return what all shards contribute to the round that begins with `state`."""
    climb: Climb[Record] = Climb(shards.manifest.shards, lambda left, right: normal(program.merge(left, right)))
    for shard in shards:
        climb.add(shard.index, normal(program.partial(state, shard, shard.blocks)))
    (whole,) = climb.values.values()
    return whole
