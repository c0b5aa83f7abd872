"""Together: each program's bits are those of a run of its own, whoever runs beside it and however many at a time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from muskox.digest import digest
from muskox.engines import in_process_dataset
from muskox.errors import CallerError
from muskox.learn import LogisticRegression
from muskox.learn.linear.least_squares import LeastSquaresDescent
from muskox.program import ArrayPartition, Block, Done, Manifest, Program, RunOptions, Shard, is_portable, reference, resolve
from muskox.records import Record, pack, unpack
from muskox.together import Together


def table(rows: int = 400) -> Any:
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=rows), rng.normal(size=rows)
    return pa.table({"x": x, "z": z, "y": 2.0 * x - z, "late": np.where(x + z + rng.normal(size=rows) > 0, "yes", "no")})


DATASET = in_process_dataset(table(), ArrayPartition(3))


def trainings() -> list[Program]:
    """Three that end after different numbers of rounds."""
    return [
        LogisticRegression(C=C, solver=solver, features=["x", "z"], max_rounds=rounds).program("late")
        for C, solver, rounds in [(1.0, "lbfgs", 50), (0.01, "gd", 7), (100.0, "lbfgs", 3)]
    ]


def run(program: Program) -> Record:
    return DATASET.run(program, RunOptions()).result


ALONE = [digest(run(program)) for program in trainings()]


@pytest.mark.parametrize("at_once", [None, 1, 2, 5])
def test_each_programs_bits_are_those_of_its_own_run(at_once: int | None) -> None:
    result = run(Together(tuple(trainings()), at_once))
    assert [digest(result[str(i)]) for i in range(3)] == ALONE


class Counting:
    """Ends after `rounds` rounds, and says in which round of all it began."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def initial(self, manifest: Manifest) -> Record:
        return {"n": 0}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        return {"rows": sum(block.rows for block in blocks)}

    def merge(self, left: Record, right: Record) -> Record:
        return {"rows": left["rows"] + right["rows"]}

    def update(self, state: Record, total: Record) -> Record | Done:
        assert total["rows"] == 400, "each sees every block, though another has read them in this round"
        return Done(state) if state["n"] + 1 == self.rounds else {"n": state["n"] + 1}

    def report(self, state: Record) -> dict[str, float]:
        return {"n": float(state["n"])}


def test_the_next_begins_with_the_round_after_one_has_ended() -> None:
    seen: list[Any] = []
    together = Together(tuple(Counting(rounds) for rounds in (3, 1, 2)), at_once=2)
    outcome = DATASET.run(together, RunOptions(on_round=lambda report: seen.append(dict(report.metrics))))
    assert seen == [
        {"running": 2.0, "done": 1.0, "n.0": 1.0, "n.2": 0.0},
        {"running": 2.0, "done": 1.0, "n.0": 2.0, "n.2": 1.0},
    ]
    assert (outcome.result, outcome.rounds) == ({"0": {"n": 2}, "1": {"n": 0}, "2": {"n": 1}}, 3)


def test_the_order_is_by_number_also_of_a_state_that_has_travelled() -> None:
    together = Together(tuple(Counting(5) for _ in range(12)), at_once=3)
    state = unpack(pack(together.initial(DATASET.manifest)))
    assert sorted(state["running"]) == ["0", "1", "2"]
    ended = together.update(
        {**state, "running": {"0": {"n": 4}, "1": {"n": 0}, "2": {"n": 0}}}, {k: {"rows": 400} for k in "012"}
    )
    assert isinstance(ended, dict)
    assert sorted(ended["running"]) == ["1", "2", "3"]


def test_what_waits_and_what_is_done_is_hardly_in_the_state() -> None:
    """A state is digested every round: of a search with a thousand trainings nearly all wait, or are done."""
    state: Any = Together(tuple(trainings()) * 100, at_once=1).initial(DATASET.manifest)
    assert len(pack(state)) < 2 * len(pack(Together((trainings()[0],)).initial(DATASET.manifest)))
    together = Together((Counting(1), Counting(1)), at_once=1)
    first = together.initial(DATASET.manifest)
    second = together.update(first, {"0": {"rows": 400}})
    assert isinstance(second, dict)
    assert second["done"]["0"].dtype == np.uint8 and second["manifest"] is None, "all have begun"
    assert together.update(unpack(pack(second)), {"1": {"rows": 400}}) == Done({"0": {"n": 0}, "1": {"n": 0}})


def test_it_only_adds_in_rounds_in_which_all_that_run_do() -> None:
    adding: list[bool] = []

    class Watched(Together):
        def update(self, state: Record, total: Record) -> Record | Done:
            adding.append(self.adds(state))
            return super().update(state, total)

    result = run(Watched(tuple(trainings()[:2]), 1))
    first, second = (result[key]["rounds"] for key in "01")
    assert adding == [False, *[True] * first, False, *[True] * second], "what learns the encoder does more than add"
    assert not Together((Counting(1),)).adds({"running": {"0": {"n": 0}}})


def test_it_travels_by_name_if_its_programs_do() -> None:
    together = Together(tuple(trainings()), 2)
    assert is_portable(together)
    again = resolve(unpack(pack(reference(together))))
    assert isinstance(again, Together)
    assert again == together
    assert sorted(again.reads()) == ["late", "x", "z"]
    assert not is_portable(Together((trainings()[0], Counting(1))))
    assert Together((trainings()[0], LeastSquaresDescent("y", 0.1))).reads() == [], "one looks at all columns"


def test_a_refusal_names_the_program() -> None:
    with pytest.raises(CallerError, match=r"program 1: Unknown label type: continuous"):
        run(Together((trainings()[0], LogisticRegression(features=["x"]).program("y"))))


@pytest.mark.parametrize(("programs", "at_once"), [([], None), (trainings(), 0)])
def test_what_cannot_run_is_refused(programs: list[Program], at_once: int | None) -> None:
    with pytest.raises(CallerError, match="at least one"):
        Together(tuple(programs), at_once)
