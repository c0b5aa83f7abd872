"""Together: several programs as one, in the same rounds over the same shards: tasks that are themselves data parallel.

Each program's state, partials and result keep to themselves, under its number, so that its bits are those of a run of its own.
What they share is the rounds: one exchange, one state and one checkpoint serve them all.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from muskox.errors import CallerError
from muskox.program import Adds, Block, Done, Manifest, Program, Reads, Reports, Shard, is_portable, reference, resolve
from muskox.records import Record, pack, unpack


@dataclass(frozen=True, slots=True)
class Together:
    """Run `programs` side by side; the result holds that of each under its number: ``{"0": {...}, "1": {...}}``.

    Parameters
    ----------
    programs : each finishes when it does
    at_once : how many run at a time; the next begins with the round after one has ended. None means all
    """

    kind: ClassVar[str] = "together"
    parallelism: ClassVar[str] = "hybrid"

    programs: tuple[Program, ...]
    at_once: int | None = None

    def __post_init__(self) -> None:
        if not self.programs:
            raise CallerError("there is no program to run together: give at least one")
        if self.at_once is not None and self.at_once < 1:
            raise CallerError(f"at_once={self.at_once}: at least one program runs at a time")

    def parameters(self) -> Record:
        return {"programs": references_to(self.programs), "at_once": self.at_once}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        return cls(all_referred(parameters["programs"]), parameters["at_once"])

    def reads(self) -> list[str]:
        """Return the columns that any of them looks at; none, which means all, if one of them looks at all."""
        return all_columns_read(self.programs)

    def initial(self, manifest: Manifest) -> Record:
        """Return a state that holds those that run, how many have begun, results as bytes, and what the others begin with.

        A state is digested every round, so what waits is not in it.
        """
        for number, program in enumerate(self.programs):
            with refusals_of(str(number)):
                program.initial(manifest)  # what it refuses is told before any work is done
        return self._filled({"running": {}, "begun": 0, "done": {}, "manifest": of_manifest(manifest)})

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        parts, passes = {}, self._passes(shard, blocks)
        for key in in_order(state["running"]):
            with refusals_of(key):
                parts[key] = self.programs[int(key)].partial(state["running"][key], shard, next(passes))
        return parts

    def _passes(self, shard: Shard, blocks: Iterator[Block]) -> Iterator[Iterator[Block]]:
        """Yield the shard's blocks from the first one, for each program anew; whether one looks at them is its own affair."""
        yield blocks
        while True:
            yield shard.blocks

    def merge(self, left: Record, right: Record) -> Record:
        return {key: self.programs[int(key)].merge(left[key], right[key]) for key in left}

    def update(self, state: Record, total: Record) -> Record | Done:
        running, done = {}, dict(state["done"])
        for key in in_order(state["running"]):
            with refusals_of(key):
                after = self.programs[int(key)].update(state["running"][key], total[key])
            if isinstance(after, Done):
                done[key] = np.frombuffer(pack(after.result), dtype=np.uint8)
            else:
                running[key] = after
        state = self._filled({**state, "running": running, "done": done})
        if state["running"]:
            return state
        return Done({key: unpack(done[key].data) for key in in_order(done)})

    def _filled(self, state: Record) -> Record:
        """Return `state` with as many of those that wait, by number, begun as may run."""
        running, begun = dict(state["running"]), int(state["begun"])
        room = len(self.programs) if self.at_once is None else self.at_once
        last = min(begun + room - len(running), len(self.programs))
        for number in range(begun, last):
            with refusals_of(str(number)):
                running[str(number)] = self.programs[number].initial(manifest_of(state["manifest"]))
        begun = max(begun, last)
        manifest = state["manifest"] if begun < len(self.programs) else None  # nobody needs it any more
        return {**state, "running": running, "begun": begun, "manifest": manifest}

    def adds(self, state: Record) -> bool:
        return all(adds_in(self.programs[int(key)], part) for key, part in state["running"].items())

    def report(self, state: Record) -> Mapping[str, float]:
        """Return what each running program tells, as ``loss.3`` for the loss of program 3, and how many run and are done."""
        told = {"running": float(len(state["running"])), "done": float(len(state["done"]))}
        for key in in_order(state["running"]):
            program = self.programs[int(key)]
            if isinstance(program, Reports):
                told |= {f"{name}.{key}": value for name, value in program.report(state["running"][key]).items()}
        return told


def of_manifest(manifest: Manifest) -> Record:
    """Return a manifest as a record, from which :func:`manifest_of` makes it again."""
    rows = np.array(manifest.shard_rows, dtype=np.int64)
    return {"names": list(manifest.columns), "kinds": list(manifest.columns.values()), "shard_rows": rows}


def manifest_of(record: Record) -> Manifest:
    columns = dict(zip(record["names"], record["kinds"], strict=True))
    return Manifest(columns, tuple(record["shard_rows"].tolist()))


@contextmanager
def refusals_of(number: str) -> Iterator[None]:
    """Tell with what a program refuses which of them it was."""
    try:
        yield
    except CallerError as error:
        raise CallerError(f"program {number}: {error}") from error


def in_order(numbered: Mapping[str, object]) -> list[str]:
    """Return the numbers: as text they would have another order, and after a journey they come in that one."""
    return sorted(numbered, key=int)


def adds_in(program: Program, state: Record) -> bool:
    """Return whether `program` does nothing but add in the round that begins with `state`."""
    return isinstance(program, Adds) and program.adds(state)


def columns_read(program: Program) -> list[str]:
    """Return the columns that `program` looks at; none means all."""
    return list(program.reads()) if isinstance(program, Reads) else []


def all_columns_read(programs: Sequence[Program]) -> list[str]:
    """Return the columns that any of `programs` looks at; none, which means all, if one of them looks at all."""
    wanted = [columns_read(program) for program in programs]
    return sorted({column for columns in wanted for column in columns}) if all(wanted) else []


def reference_to(program: Program) -> Record:
    """Return the reference of a program that others are made of."""
    if not is_portable(program):
        raise CallerError(f"{type(program).__name__} is no program of muskox: it travels as code, as does what is made of it")
    return reference(program)


def referred(record: Mapping[str, object]) -> Program:
    """Return the program that :func:`reference_to` described."""
    program = resolve(record)
    if not isinstance(program, Program):
        raise CallerError(f"{record['program']!r} is a list of tasks, where a program is needed")
    return program


def references_to(programs: Sequence[Program]) -> Record:
    """Return the references of programs, by number."""
    return {str(number): reference_to(program) for number, program in enumerate(programs)}


def all_referred(references: Mapping[str, Mapping[str, object]]) -> tuple[Program, ...]:
    """Return the programs that :func:`references_to` described."""
    return tuple(referred(references[key]) for key in in_order(references))
