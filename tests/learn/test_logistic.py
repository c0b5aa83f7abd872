"""LogisticProgram: optima that are known exactly, one set of bits for any workers, and refusals."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from learning_data import mixed_table

from muskox import tree
from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn import LogisticProgram
from muskox.learn.inputs import Inputs
from muskox.program import (
    Adjusts,
    ArrayPartition,
    Done,
    Portable,
    Program,
    Reports,
    RunOptions,
    adjusted,
    in_process,
    reference,
    resolve,
)
from muskox.records import Record, pack, unpack


def program_of(
    target: str, features: tuple[str, ...] | None = None, categorical: tuple[str, ...] = (), **own: Any
) -> LogisticProgram:
    return LogisticProgram(inputs=Inputs(target=target, features=features, categorical=categorical), **own)


def rows_of(*counts: tuple[Any, Any, int]) -> pa.Table:
    x = [value for value, _, count in counts for _ in range(count)]
    y = [label for _, label, count in counts for _ in range(count)]
    return pa.table({"x": x, "y": y})


def train(table: pa.Table, shards: int = 1, **parameters: Any) -> Record:
    return in_process(table, ArrayPartition(shards)).run(program_of("y", **parameters), RunOptions()).result


def as_workers(program: Program, dataset: Any, workers: int, travel: bool = True) -> Record:
    """Run `program` as `workers` would: each merges its own subtrees, totals and states travel packed."""
    shards = dataset.shards
    bounds = [worker * len(shards) // workers for worker in range(workers + 1)]
    state = program.initial(dataset.manifest)
    while True:
        values: dict[tree.Node, Record] = {}
        for first, end in pairwise(bounds):
            partials = {(0, i): program.partial(state, shards[i], shards[i].blocks) for i in range(first, end)}
            for node in tree.cover(range(first, end), len(shards)):
                values[node] = unpack(pack(tree.reduce(partials, node, len(shards), program.merge)))
        after = program.update(state, tree.reduce(values, tree.root(len(shards)), len(shards), program.merge))
        if isinstance(after, Done):
            return after.result
        state = unpack(pack(after)) if travel else after


@pytest.mark.parametrize("solver", ["lbfgs", "gd"])
def test_a_penalised_optimum_known_exactly_is_found(solver: str) -> None:
    """x = -1, 1, and y agrees with x in 3 of 4 rows: b = 0, and n (expit(w) - 3/4) + w / C = 0, so w = 1 for this C."""
    table = rows_of((1.0, True, 30), (1.0, False, 10), (-1.0, True, 10), (-1.0, False, 30))
    C = 1.0 / (80 * (0.75 - 1 / (1 + math.exp(-1.0))))
    model = train(table, C=C, solver=solver, tol=1e-12, max_rounds=2000)
    np.testing.assert_allclose(model["coef"], [1.0], rtol=1e-9)
    np.testing.assert_allclose(model["intercept"], [0.0], atol=1e-9)


@pytest.mark.parametrize("shards", [1, 3])
def test_without_penalty_categories_get_the_rates_they_have(shards: int) -> None:
    table = rows_of(("a", 1, 3), ("a", 0, 9), ("b", 1, 8), ("b", 0, 2), ("c", 1, 5), ("c", 0, 5))
    model = train(table, shards, C=1e9, tol=1e-10)
    rates = 1 / (1 + np.exp(-(model["coef"] + model["intercept"])))
    np.testing.assert_allclose(rates, [0.25, 0.8, 0.5], atol=1e-7)
    entropy = -(12 * (0.25 * math.log(0.25) + 0.75 * math.log(0.75)) + 10 * (0.8 * math.log(0.8) + 0.2 * math.log(0.2)))
    np.testing.assert_allclose(model["loss"], (entropy + 10 * math.log(2)) / 32, atol=1e-7)
    assert model["status"] == "converged"


@pytest.mark.parametrize("solver", ["lbfgs", "gd"])
@pytest.mark.parametrize("shards", [1, 5, 12])
def test_any_number_of_workers_gives_the_same_bits(shards: int, solver: str) -> None:
    program = program_of("late", categorical=("month",), solver=solver, max_rounds=40)
    expected = digest(in_process(mixed_table(3000), ArrayPartition(shards)).run(program, RunOptions()).result)
    for workers in (1, 2, 3, 5):
        dataset = in_process(mixed_table(3000), ArrayPartition(shards))  # nothing cached
        assert digest(as_workers(program, dataset, min(workers, shards))) == expected


def test_a_worker_that_takes_over_in_the_middle_gives_the_same_bits() -> None:
    program = program_of("late")
    undisturbed = digest(as_workers(program, in_process(mixed_table(2000), ArrayPartition(4)), 2))
    state: Record = {}
    dataset: Any = in_process(mixed_table(2000), ArrayPartition(4))
    for round_ in range(1000):
        if round_ % 5 == 0:
            program = resolve(unpack(pack(reference(program))))  # type: ignore[assignment]
            dataset = in_process(mixed_table(2000), ArrayPartition(4))
        state = unpack(pack(state)) if state else program.initial(dataset.manifest)
        partials = {(0, shard.index): program.partial(state, shard, shard.blocks) for shard in dataset.shards}
        after = program.update(state, tree.reduce(partials, tree.root(4), 4, program.merge))
        if isinstance(after, Done):
            assert digest(after.result) == undisturbed
            return
        state = after
    pytest.fail("did not finish")


def test_update_and_partial_change_nothing_they_were_given() -> None:
    program, dataset = program_of("late"), in_process(mixed_table(500), ArrayPartition())
    shard = dataset.shards[0]  # type: ignore[attr-defined]
    state: Record | Done = program.initial(dataset.manifest)
    while not isinstance(state, Done):
        before = digest(state)
        total = program.partial(state, shard, shard.blocks)
        after = digest(total)
        next_state = program.update(state, total)
        assert (digest(state), digest(total)) == (before, after)
        state = next_state


def test_empty_shards_add_nothing_that_matters() -> None:
    table = mixed_table(5)
    table = table.append_column("x", pa.array([1.0, 2.0, 3.0, 4.0, 5.0])).set_column(
        4, "late", pa.array([True, False] * 2 + [True])
    )
    many = in_process(table, ArrayPartition(40)).run(program_of("late", ("x",)), RunOptions()).result
    one = in_process(table, ArrayPartition(1)).run(program_of("late", ("x",)), RunOptions()).result
    np.testing.assert_allclose(many["coef"], one["coef"], rtol=1e-6)


def test_it_keeps_the_contracts_of_a_program() -> None:
    program = program_of("late", ("a", "b"), ("b",), C=0.5, solver="gd", learning_rate=0.1)
    assert isinstance(program, Program) and isinstance(program, Portable) and isinstance(program, Reports)
    assert isinstance(program, Adjusts)
    assert resolve(unpack(pack(reference(program)))) == program


def test_a_number_is_the_same_parameter_as_int_or_float() -> None:
    table = rows_of((1.0, True, 3), (1.0, False, 1), (-1.0, True, 1), (-1.0, False, 3))
    assert digest(train(table, C=1, tol=0)) == digest(train(table, C=1.0, tol=0.0))


def test_reports_are_finite_and_the_loss_falls() -> None:
    reports: list[Any] = []
    program = program_of("late")
    in_process(mixed_table(2000), ArrayPartition(3)).run(program, RunOptions(on_round=reports.append))
    losses = [report.metrics["loss"] for report in reports if report.metrics]
    assert reports[0].metrics == {}
    assert len(losses) > 3 and all(map(math.isfinite, losses))
    assert all(after <= before for before, after in pairwise(losses))


def test_max_rounds_bounds_the_evaluations_and_keeps_the_best_point() -> None:
    model = in_process(mixed_table(2000), ArrayPartition()).run(program_of("late", max_rounds=1), RunOptions()).result
    assert (model["rounds"], model["status"]) == (1, "max_rounds")
    assert not model["coef"].any()
    more = in_process(mixed_table(2000), ArrayPartition()).run(program_of("late", max_rounds=4), RunOptions()).result
    assert more["rounds"] == 4
    assert more["loss"] < model["loss"]


def trained_with(changes: list[tuple[int, dict[str, float]]], **parameters: Any) -> Record:
    dataset = in_process(mixed_table(2000), ArrayPartition(3))
    return dataset.run(program_of("late", solver="gd", tol=0.0, **parameters), RunOptions(changes=changes)).result


@pytest.mark.parametrize("first", [None, 0.5])
def test_a_learning_rate_that_changes_is_that_of_every_step_from_then_on(first: float | None) -> None:
    expected = trained_with([], learning_rate=0.25, max_rounds=6)
    for round_ in (1, 2):  # the encoder's round, and the evaluation where everybody starts
        changed = trained_with([(round_, {"learning_rate": 0.25})], learning_rate=first, max_rounds=6)
        assert changed["coef"].tolist() == expected["coef"].tolist()
    later = trained_with([(4, {"learning_rate": 0.25})], learning_rate=0.5, max_rounds=6)
    assert later["coef"].tolist() != expected["coef"].tolist()


def test_max_rounds_that_changes_ends_the_training_there() -> None:
    assert trained_with([(2, {"max_rounds": 4})], max_rounds=50)["rounds"] == 4
    assert trained_with([(2, {"max_rounds": 9.0})], max_rounds=3)["rounds"] == 9
    assert trained_with([(6, {"max_rounds": 1})], max_rounds=50)["rounds"] == 6  # already past it: the next one is the last


@pytest.mark.parametrize(
    ("solver", "changes", "says"),
    [
        ("gd", {"learning_rate": -1.0}, "learning_rate=-1.0: it must be a finite number above 0"),
        ("gd", {"max_rounds": 2.5}, "max_rounds=2.5: it must be a whole number, 1 or above"),
        ("gd", {"C": 1.0}, "C cannot change while this job runs: what can is max_rounds, learning_rate"),
        ("lbfgs", {"learning_rate": 1.0}, "learning_rate cannot change while this job runs: what can is max_rounds"),
    ],
)
def test_a_change_that_cannot_be_is_refused_with_the_rule(solver: str, changes: dict[str, float], says: str) -> None:
    program = program_of("late", solver=solver)
    state = program.initial(in_process(mixed_table(20), ArrayPartition()).manifest)
    with pytest.raises(CallerError, match=says):
        adjusted(program, state, changes)


def test_separable_data_and_huge_numbers_stay_finite() -> None:
    table = pa.table({"x": [1e12, 2e12, 3e12, 4e12], "y": [False, False, True, True]})
    model = train(table, C=1e6)
    assert np.isfinite(model["coef"]).all()
    assert model["coef"][0] > 0


@pytest.mark.parametrize(
    ("y", "says"),
    [
        ([True] * 6, "the target 'y' has one class only, True: a classifier needs rows of two"),
        ([0.5, 1.5, 2.5, 3.5, 4.5, 5.5], "Unknown label type: continuous"),
        ([1, 0, None, 0, None, 1], r"'y' is missing \(or infinite\) in 2 of 6 rows: drop those rows first"),
        ([1.0, 0.0, float("nan"), 0.0, 1.0, 1.0], r"'y' is missing \(or infinite\) in 1 of 6 rows"),
    ],
)
def test_a_target_without_classes_is_refused_however_it_is_cut(y: list[Any], says: str) -> None:
    table = pa.table({"x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "y": y})
    for shards in (1, 4, 6):
        with pytest.raises(CallerError, match=says):
            train(table, shards)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"solver": "newton"}, "solver='newton': it is one of lbfgs, gd"),
        ({"C": 0.0}, "C=0.0: it must be a finite number above 0"),
        ({"C": math.nan}, "C=nan: it must be"),
        ({"tol": -1.0}, "tol=-1.0: it must be a finite number, 0 or above"),
        ({"penalty": "l3"}, "penalty='l3': it is one of l2, l1, elasticnet, None"),
        ({"penalty": "elasticnet", "l1_ratio": 1.5}, "l1_ratio=1.5: it must be a finite number, 0 or above, at most 1"),
        ({"penalty": "l1", "solver": "gd"}, "penalty='l1' has corners, which solver='gd' cannot see: take solver='lbfgs'"),
        ({"n_iter_no_change": 0}, "n_iter_no_change=0: it must be a whole number, 1 or above"),
        ({"learning_rate": "fast"}, "learning_rate='fast': it must be"),
        ({"max_rounds": 0}, "max_rounds=0: it must be a whole number, 1 or above"),
        ({"max_rounds": 2.5}, "max_rounds=2.5"),
    ],
)
def test_a_wrong_parameter_is_refused_with_rule_and_value(parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(CallerError, match=says):
        program_of("y", **parameters)


def test_an_unknown_target_lists_the_columns() -> None:
    def refuse() -> Iterator[Any]:
        raise AssertionError("no row is read before the columns are known")

    manifest = in_process(mixed_table(3), ArrayPartition()).manifest
    with pytest.raises(
        CallerError, match="no column 'lat' to use as target: this dataset has amount, city, month, member, late"
    ):
        program_of("lat").initial(manifest)
