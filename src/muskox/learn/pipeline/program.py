"""The program of a pipeline: the programs of its steps, one after the other, each over the rows that the one before it leaves.

A step ends with a model; from the next round on every shard's blocks go through it, on their way to the next step's program. So
nothing is written down between steps, and a worker that takes a shard over needs the state only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn.model import load_predictor
from muskox.learn.pipeline.steps import manifest_after, shard_after, transformer_of
from muskox.program import Block, Done, Manifest, Program, Reports, Shard
from muskox.records import Record
from muskox.together import adds_in, all_referred, columns_read, references_to


@dataclass(frozen=True, slots=True)
class PipelineProgram:
    """Train steps one after the other; the result is the record of a model that is all of them.

    Parameters
    ----------
    names : of the steps
    programs : of the steps; all but the last leave a model that transforms
    target : the column to predict, if there is one; it goes through every step, as do `weight` and `validation`
    """

    kind: ClassVar[str] = "train"

    names: tuple[str, ...]
    programs: tuple[Program, ...]
    target: str | None = None
    weight: str | None = None
    validation: str | None = None

    def __post_init__(self) -> None:
        if not self.programs or len(self.programs) != len(self.names):
            raise CallerError("a pipeline has at least one step, and a name for each")

    @property
    def kept(self) -> tuple[str, ...]:
        """The columns that go through every step."""
        return tuple(name for name in (self.target, self.weight, self.validation) if name is not None)

    def parameters(self) -> Record:
        columns = {"target": self.target, "weight": self.weight, "validation": self.validation}
        return {"names": list(self.names), "programs": references_to(self.programs), **columns}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        columns = {name: parameters[name] for name in ("target", "weight", "validation")}
        return cls(tuple(parameters["names"]), all_referred(parameters["programs"]), **columns)

    def reads(self) -> list[str]:
        first = columns_read(self.programs[0])
        return list(dict.fromkeys([*first, *self.kept])) if first else []

    # -- rounds --

    def initial(self, manifest: Manifest) -> Record:
        return self._begin(0, manifest, {}, 0)

    def _begin(self, step: int, manifest: Manifest, models: Record, rounds: int) -> Record:
        return {
            "step": step,
            "columns": list(manifest.columns),
            "types": list(manifest.columns.values()),
            "shard_rows": list(manifest.shard_rows),
            "models": models,
            "key": "pipeline/" + digest({"models": models, "kept": list(self.kept)}),
            "rounds": rounds,
            "state": self._program(step, list(manifest.columns)).initial(manifest),
        }

    def _program(self, step: int, columns: Sequence[str]) -> Program:
        """Return a step's program, whose features are all columns but those that only go through, if it names none."""
        program = self.programs[step]
        inputs: Any = getattr(program, "inputs", None)
        if inputs is None or inputs.features is not None or not self.kept:
            return program
        features = tuple(name for name in columns if name not in self.kept)
        made: Program = replace(program, inputs=replace(inputs, features=features))  # type: ignore[type-var]
        return made

    def _now(self, state: Record) -> Program:
        return self._program(state["step"], state["columns"])

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:  # noqa: ARG002  # all from the first
        models, step = state["models"], state["step"]
        if step > 0:
            shard.forget(state["past"])

        def part() -> Shard:
            return shard_after(shard, [load_predictor(models[str(index)]) for index in range(step)], self.kept)

        seen = shard.cached(state["key"], part)
        return {str(step): self._now(state).partial(state["state"], seen, seen.blocks)}

    def merge(self, left: Record, right: Record) -> Record:
        return {key: self.programs[int(key)].merge(left[key], right[key]) for key in left}

    def update(self, state: Record, total: Record) -> Record | Done:
        after = self._now(state).update(state["state"], total[str(state["step"])])
        state = {**state, "rounds": state["rounds"] + 1}
        if not isinstance(after, Done):
            return {**state, "state": after}
        step, models = state["step"], {**state["models"], str(state["step"]): after.result}
        if step + 1 == len(self.programs):
            return Done(self._model(models, state["rounds"]))
        columns = dict(zip(state["columns"], state["types"], strict=True))
        model = transformer_of(load_predictor(after.result), self.names[step])
        manifest = manifest_after(Manifest(columns, tuple(state["shard_rows"])), model, self.kept, self.names[step])
        return {**self._begin(step + 1, manifest, models, state["rounds"]), "past": state["key"]}

    def adds(self, state: Record) -> bool:
        return adds_in(self._now(state), state["state"])

    def report(self, state: Record) -> Mapping[str, float]:
        """Return what the step at work tells, and which it is."""
        program = self._now(state)
        told = program.report(state["state"]) if isinstance(program, Reports) else {}
        return {**told, "step": float(state["step"])}

    def _model(self, models: Record, rounds: int) -> Record:
        first, last = models["0"], models[str(len(models) - 1)]
        record: Record = {
            "model": "muskox.learn:PipelineModel",
            "estimator": "muskox.learn:Pipeline",
            "kind": "pipeline",
            "parameters": self.parameters(),
            "encoder": first["encoder"],
            "target": last["target"],
            "names": list(self.names),
            "steps": models,
            "rounds": rounds,
        }
        return record | ({"classes": last["classes"]} if "classes" in last else {})
