"""PermutationProgram: how much worse a model becomes when one of its columns is given the values of other rows.

Two rounds. The first draws a sample of the rows of the whole dataset; in the second each shard scores its rows as they are, and
for every column and repeat with that column's values replaced by those of rows drawn from the sample, with replacement. So a
column keeps its distribution over the whole dataset and loses its tie to the row, also where the dataset was cut by that very
column (values exchanged within a shard would all be alike there). Draws are those of streams of seed, column, shard and repeat.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import pyarrow as pa

from muskox.errors import CallerError
from muskox.evaluate import sample
from muskox.evaluate.program import EvaluateProgram
from muskox.evaluate.program import merge as merge_scores
from muskox.program import Block, Done, Manifest, Program, Shard
from muskox.records import Array, Record
from muskox.streams import stream

SAMPLE_ROWS = 4096  # of the whole dataset: the values that replace others
REPEATS_MAX = 1000

SAMPLE, SCORE, PLAIN = "sample", "score", "plain"


@dataclass(frozen=True, eq=False)  # the model holds arrays, which do not compare to one bool
class PermutationProgram:
    """Score a model on a dataset, as it is and with each of its columns drawn anew, `repeats` times.

    The result: "plain" (what :class:`EvaluateProgram` finds of the rows as they are) and "columns", by number: for each of
    "names" what it finds in each repeat, by number.

    Parameters
    ----------
    model, target, weight, is_ranked : as of :class:`EvaluateProgram`
    """

    kind: ClassVar[str] = "importance"

    model: Mapping[str, Any]
    target: str | None
    weight: str | None = None
    repeats: int = 5
    seed: int = 0
    is_ranked: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.repeats <= REPEATS_MAX:
            raise CallerError(f"repeats={self.repeats}: each column is drawn anew 1 to {REPEATS_MAX} times")

    def parameters(self) -> Record:
        how = {"repeats": self.repeats, "seed": self.seed, "is_ranked": self.is_ranked}
        return {"model": dict(self.model), "target": self.target, "weight": self.weight, **how}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        return cls(**parameters)

    @cached_property
    def scores(self) -> EvaluateProgram:
        return EvaluateProgram(self.model, self.target, self.weight, self.is_ranked)

    @property
    def pinned(self) -> bool:
        return self.scores.pinned

    def reads(self) -> list[str]:
        return self.scores.reads()

    def initial(self, manifest: Manifest) -> Record:
        columns = []
        for name in self.scores.scorer.features:
            if name not in manifest.columns:
                known = ", ".join(manifest.columns)
                raise CallerError(f"no column {name!r}, which the model learned from: this dataset has {known}")
            columns.append([name, manifest.columns[name]])
        return {"phase": SAMPLE, "columns": columns, **self.scores.initial(manifest)}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        columns = [(str(name), str(kind)) for name, kind in state["columns"]]
        if state["phase"] == SAMPLE:
            return {SAMPLE: sample.draw(shard, blocks, columns, SAMPLE_ROWS, self.seed, "importance"), "kinds": kinds_of(state)}
        held = list(blocks)  # of one shard, and of the columns that the model looks at
        values = sample.arrays_of(state["sample"], kinds_of(state))
        found: Record = {PLAIN: self._scored(state, shard, held)}
        for index, (name, _) in enumerate(columns):
            repeated = {}
            for repeat in range(self.repeats):
                draw = stream(self.seed, f"importance/{name}", shard.index, repeat)
                chosen = draw.integers(max(len(values[index]), 1), size=shard.rows)
                repeated[str(repeat)] = self._scored(state, shard, replaced(held, name, values[index], chosen))
            found[str(index)] = repeated
        return {SCORE: found}

    def _scored(self, state: Record, shard: Shard, blocks: list[Block]) -> Record:
        return self.scores.partial(state, shard, iter(blocks))

    def merge(self, left: Record, right: Record) -> Record:
        if SAMPLE in left:
            return {SAMPLE: sample.merge(left[SAMPLE], right[SAMPLE], left["kinds"], SAMPLE_ROWS), "kinds": left["kinds"]}
        return {SCORE: {name: self._merged(name, left[SCORE][name], right[SCORE][name]) for name in left[SCORE]}}

    def _merged(self, name: str, left: Record, right: Record) -> Record:
        if name == PLAIN:
            return merge_scores(left, right)
        return {repeat: merge_scores(left[repeat], right[repeat]) for repeat in left}

    def update(self, state: Record, total: Record) -> Record | Done:
        if state["phase"] == SAMPLE:
            return {**state, "phase": SCORE, "sample": total[SAMPLE]}
        found = total[SCORE]
        names = [str(name) for name, _ in state["columns"]]
        columns = {
            str(index): {repeat: self._result(state, found[str(index)][repeat]) for repeat in found[str(index)]}
            for index in range(len(names))
        }
        return Done({"plain": self._result(state, found[PLAIN]), "names": names, "columns": columns})

    def _result(self, state: Record, total: Record) -> Record:
        done = self.scores.update(state, total)
        assert isinstance(done, Done), "evaluation takes one round"
        return done.result


def kinds_of(state: Record) -> list[str]:
    return [str(kind) for _, kind in state["columns"]]


def replaced(blocks: list[Block], name: str, values: Any, chosen: Array) -> list[Block]:
    """Return the blocks with column `name` made of `values`, at the places `chosen` for their rows."""
    out, first = [], 0
    for block in blocks:
        batch, here = block.batch, chosen[first : first + block.rows]
        first += block.rows
        position = batch.schema.get_field_index(name)
        column = values.take(pa.array(here))
        out.append(Block(batch.set_column(position, name, column)))
    return out
