"""TrainingProgram: what the programs of all estimators share: their inputs, their first round, and how they travel.

Round 1 learns the encoder and the target (see :mod:`muskox.learn.inputs`); what follows is the estimator's own. A subclass is a
frozen dataclass whose fields are its parameters (JSON, or a record of arrays); `target_kind` is what it learns to predict.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn import inputs as rows
from muskox.learn.inputs import Inputs, Target
from muskox.program import Block, Done, Manifest, Program, Shard
from muskox.records import Record

PREPARE, FIT = "prepare", "fit"


@dataclass(frozen=True, kw_only=True)
class TrainingProgram:
    """A program whose result is a model's record. A subclass defines the five methods that raise NotImplementedError here.

    The state is ``{"phase": "prepare", ...}`` in round 1 and ``{"phase": "fit", "prepared": ..., "key": ...}`` in later ones,
    beside what the subclass keeps there: "key" names what depends on the prepared inputs only, for :meth:`Shard.cached`.
    """

    kind: ClassVar[str] = "train"
    target_kind: ClassVar[Target]
    sums: ClassVar[bool] = True  # whether fit_merge is nothing but a sum; see muskox.program.Adds

    inputs: Inputs = field(default_factory=Inputs)

    # -- the subclass's own --

    def start(self, prepared: Record) -> Record | Done:
        """Return what the state holds beside "phase", "prepared" and "key" before the first round of fitting, or the result."""
        raise NotImplementedError

    def fit_partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        """Return a shard's contribution to a round of fitting; :func:`muskox.learn.inputs.rows_of` tells its rows."""
        raise NotImplementedError

    def fit_update(self, state: Record, total: Record) -> Record | Done:
        """Return the state after a round of fitting (all of it), or the result."""
        raise NotImplementedError

    def fit_merge(self, left: Record, right: Record) -> Record:
        """Return the contribution of two neighbours: the sum of their arrays, by name."""
        return {name: left[name] + right[name] for name in left}

    def live(self) -> Record:
        """Return the parameters that may change while the program runs: the state holds them from the start (see Adjusts)."""
        return {}

    def prepare(self, state: Record, total: Record) -> Record:
        """Return what round 1 told of the whole dataset."""
        return rows.prepare(state["begun"], total[PREPARE], self.inputs)

    @property
    def apart(self) -> tuple[str, ...]:
        """The columns that the subclass looks at by itself: the encoder knows nothing of them."""
        return ()

    # -- the contract of Program --

    def parameters(self) -> Record:
        own = {name: travelling(value) for name, value in declared(self).items() if name != "inputs"}
        return {**self.inputs.parameters(), **own}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Self:
        own = {each.name: parameters[each.name] for each in fields(cls) if each.name != "inputs"}
        settled = {name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}
        return cls(inputs=Inputs.from_parameters(parameters), **settled)

    def reads(self) -> list[str]:
        return self.inputs.reads()

    def initial(self, manifest: Manifest) -> Record:
        return {"phase": PREPARE, "begun": rows.begin(manifest, self.inputs, self.target_kind, self.apart), **self.live()}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        if state["phase"] == PREPARE:
            return {PREPARE: rows.look(state["begun"], shard, blocks)}
        return self.fit_partial(state, shard, blocks)

    def merge(self, left: Record, right: Record) -> Record:
        if PREPARE in left:
            return {PREPARE: rows.merge(left[PREPARE], right[PREPARE])}
        return self.fit_merge(left, right)

    def adds(self, state: Record) -> bool:
        return self.sums and bool(state["phase"] == FIT)

    def update(self, state: Record, total: Record) -> Record | Done:
        if state["phase"] == FIT:
            return self.fit_update(state, total)
        prepared = self.prepare(state, total)
        begun = self.start(prepared)
        if isinstance(begun, Done):
            return begun
        live = {name: state[name] for name in self.live()}
        return {"phase": FIT, "prepared": prepared, "key": digest(prepared), **live, **begun}

    def model_record(self, prepared: Record, **own: Any) -> Record:
        """Return a model's record: `own` beside what all models have, which is "parameters", "encoder", "target", "classes"."""
        record: Record = {"parameters": self.parameters(), "encoder": prepared["encoder"], "target": prepared["target"]}
        if "classes" in prepared:
            record["classes"] = prepared["classes"]
        return {**record, **own}


def in_rounds(program: Any, estimator: Any) -> Program:
    """Return the program that trains `estimator`, which is to be part of a job whose rounds others share.

    Raises
    ------
    CallerError
        If it trains by independent tasks instead.
    """
    if not isinstance(program, Program):
        name = type(estimator).__name__
        raise CallerError(
            f"{name} trains here by tasks of its own, not in rounds: choose another strategy, of a forest 'global'"
        )
    return program


def declared(record: Any) -> dict[str, Any]:
    """Return the fields of a dataclass; an int in the place of a float is that float, so that 1 and 1.0 have one digest."""
    told = {each.name: getattr(record, each.name) for each in fields(record)}
    real = {each.name for each in fields(record) if each.type in (float, float | None)}
    return {name: float(value) if name in real and type(value) is int else value for name, value in told.items()}


def travelling(value: Any) -> Any:
    """Return a parameter as it is after a journey: numbers and text as they are, tuples as lists, records as they are."""
    if isinstance(value, tuple):
        return [travelling(part) for part in value]
    return dict(value) if isinstance(value, Mapping) else value
