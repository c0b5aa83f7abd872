"""SGDProgram: the textbook's steps on shards, states that travel, changes on the way, and when it ends."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from learning_data import mixed_table
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_diabetes

from muskox import tree
from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn import SGDClassifier, SGDRegressor
from muskox.learn.sgd.batches import steps_of_round
from muskox.learn.sgd.rows import order_of, taken
from muskox.program import ArrayPartition, Done, Program, RunOptions, in_process
from muskox.records import pack, unpack
from muskox.together import Together

TABLE = mixed_table(500)


def textbook_order(seed: int, rows: list[int], epoch: int) -> list[tuple[int, int]]:
    """(shard, row) in the order of an epoch's steps."""
    ends, positions = np.append(0, np.cumsum(rows)), np.arange(sum(rows) + 1)
    out = []
    orders = [order_of(seed, shard, epoch, own) for shard, own in enumerate(rows)]
    shares = np.array([taken(ends, shard, positions) for shard in range(len(rows))])
    for step in range(sum(rows)):
        shard = int(np.argmax(shares[:, step + 1] - shares[:, step]))
        out.append((shard, int(orders[shard][shares[shard, step]])))
    return out


@pytest.mark.parametrize("steps_per_round", [1, 7, None])
@pytest.mark.parametrize("shards", [1, 3])
def test_batches_of_one_row_are_the_textbooks_loop(shards: int, steps_per_round: int | None) -> None:
    X, y = load_diabetes(return_X_y=True)
    X, y = 10.0 * X[:90], y[:90] / 100.0
    model = SGDRegressor(
        batch_size=1, eta0=0.05, alpha=0.01, max_epochs=2, tol=None, standardise=False, steps_per_round=steps_per_round, seed=5
    ).fit(X, y, shards=shards)

    w, b, t = np.zeros(X.shape[1]), 0.0, 0
    starts = [0, 30, 60] if shards == 3 else [0]
    for epoch in range(2):
        for shard, row in textbook_order(5, [90 // shards] * shards, epoch):
            x, target, t = X[starts[shard] + row], y[starts[shard] + row], t + 1
            a = 0.05 / t**0.25
            error = w @ x + b - target
            w, b = w - a * (error * x + 0.01 * w), b - a * error
    assert_allclose(model.coef_, w, rtol=1e-10)
    assert_allclose(model.intercept_, [b], rtol=1e-10)
    assert model.t_ == 181


@pytest.mark.parametrize("batch_size", [1, 32, 100])
def test_rows_that_travel_make_the_same_steps_as_gradients(batch_size: int) -> None:
    def fit(steps: int | None) -> Any:
        given = {"batch_size": batch_size, "steps_per_round": steps, "max_epochs": 3, "tol": None}
        return SGDClassifier(loss="log_loss", **given).fit(TABLE, target="late", shards=4)

    one, many = fit(1), fit(None)
    assert_allclose(one.coef_, many.coef_, rtol=1e-9)
    assert one.n_rounds_ == 2 + 3 * -(-500 // batch_size)
    assert many.n_rounds_ < one.n_rounds_


def test_large_batches_send_gradients_and_small_ones_rows() -> None:
    assert SGDClassifier(batch_size=1, max_epochs=1).fit(TABLE, target="late").n_rounds_ == 3
    wide = np.random.default_rng(0).normal(size=(300, 600))
    assert SGDClassifier(batch_size=100, max_epochs=1).fit(wide, wide[:, 0] > 0).n_rounds_ == 2 + 3


def taken_over(program: Program, shards: int, table: pa.Table = TABLE) -> Any:
    """The result of a run whose shards are in other hands each round, backwards, and whose records travel."""
    state: Any = program.initial(in_process(table, ArrayPartition(shards)).manifest)
    while not isinstance(state, Done):
        elsewhere = in_process(table, ArrayPartition(shards))  # nothing is kept from round to round
        partials = {}
        for shard in reversed(elsewhere.shards):
            partials[0, shard.index] = unpack(pack(program.partial(state, shard, shard.blocks)))
        total = tree.reduce(partials, tree.root(shards), shards, lambda left, right: unpack(pack(program.merge(left, right))))
        after = program.update(state, total)
        state = after if isinstance(after, Done) else unpack(pack(after))
    return state.result


@pytest.mark.parametrize("solver", ["sgd", "adam", "average"])
def test_a_state_goes_on_elsewhere_and_shards_in_any_order(solver: str) -> None:
    estimator = SGDClassifier(
        solver=solver, penalty="elasticnet", max_epochs=3, average=2 if solver == "sgd" else 0, early_stopping=True
    )
    program = estimator.program("late")
    whole = digest(in_process(TABLE, ArrayPartition(5)).run(program, RunOptions()).result)
    assert digest(taken_over(program, 5)) == whole


@pytest.mark.parametrize("other", [{"shuffle": False}, {"seed": 1}, {"steps_per_round": 4}], ids=str)
def test_programs_side_by_side_have_the_digests_of_runs_of_their_own(other: dict[str, Any]) -> None:
    """Also where shards change hands all the time, which empties what was kept for them."""
    given: dict[str, Any] = {"loss": "log_loss", "steps_per_round": 2, "tol": None}
    table = TABLE.append_column("mark", pa.array(np.arange(500) % 5 == 0))
    estimators = SGDClassifier(max_epochs=2, **given), SGDClassifier(max_epochs=3, **{**given, **other})
    programs = [estimator.program("late", validation="mark") for estimator in estimators]
    alone = [digest(in_process(table, ArrayPartition(2)).run(program, RunOptions()).result) for program in programs]
    together = Together(tuple(programs))
    for both in (in_process(table, ArrayPartition(2)).run(together, RunOptions()).result, taken_over(together, 2, table)):
        assert [digest(both[number]) for number in ("0", "1")] == alone


def test_its_parameters_travel() -> None:
    program = SGDClassifier(class_weight={True: 2.0, False: 1.0}, tol=None, average=True).program("late")
    again = type(program).from_parameters(unpack(pack(program.parameters())))
    assert again == program


@pytest.mark.parametrize("solver", ["sgd", "average"])
def test_a_rate_set_on_the_way_counts_from_the_next_round_and_can_be_repeated(solver: str) -> None:
    estimator = SGDClassifier(solver=solver, max_epochs=4, tol=None, steps_per_round=None if solver == "average" else 4)
    plain = estimator.fit(TABLE, target="late").digest_
    options = RunOptions(changes=[(3, {"learning_rate": 1e-3})])
    changed = estimator.fit(TABLE, target="late", options=options).digest_
    assert changed != plain
    assert changed == estimator.fit(TABLE, target="late", options=options).digest_


def test_max_rounds_may_be_lowered_on_the_way_and_ends_in_the_middle_of_an_epoch() -> None:
    estimator = SGDClassifier(steps_per_round=2, max_epochs=50, tol=None)
    model = estimator.fit(TABLE, target="late", options=RunOptions(changes=[(4, {"max_rounds": 6})]))
    assert (model.n_rounds_, model.status_, model.t_) == (8, "max_rounds", 13)
    with pytest.raises(CallerError, match=r"max_rounds=2\.5: it must be a whole number"):
        estimator.fit(TABLE, target="late", options=RunOptions(changes=[(4, {"max_rounds": 2.5})]))


def test_held_out_rows_end_a_training_and_the_best_epoch_is_the_model() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    wrong = y ^ (np.arange(len(y)) % 5 == 0)  # few rows, some labels wrong: easily learned by heart
    rows, others = (X[:60], wrong[:60]), (X[60:], y[60:])

    def held_out(model: Any) -> float:
        margins = model.decision_function(others[0]) * np.where(others[1], 1, -1)
        return float(np.logaddexp(0, -margins).mean())

    given = {"loss": "log_loss", "alpha": 1e-8, "learning_rate": "constant", "batch_size": 4}
    model = SGDClassifier(**given).fit(*rows, validation=others)
    assert model.status_ == "converged"
    assert_allclose(held_out(model), model.held_out_loss_)
    epochs = range(1, model.n_iter_ + 1)
    losses = [held_out(SGDClassifier(max_epochs=epoch, tol=None, **given).fit(*rows)) for epoch in epochs]
    assert_allclose(model.held_out_loss_, min(losses))
    assert losses[-1] > min(losses)


def test_rows_to_hold_out_may_be_given() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    model = SGDClassifier(loss="log_loss", max_epochs=20).fit(X[:400], y[:400], validation=(X[400:], y[400:]))
    margins = model.decision_function(X[400:]) * np.where(y[400:], 1, -1)
    assert_allclose(model.held_out_loss_, np.logaddexp(0, -margins).mean())


@pytest.mark.parametrize("target", [None, "third"])
def test_held_out_rows_of_no_known_class_are_left_out(target: str | None) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    mark = np.arange(len(y)) % 5 == 0
    strange = mark & (np.arange(len(y)) % 2 == 0)
    names = np.where(y, "p", "n").astype(object)

    losses: list[float] = []

    def fit(kept: np.ndarray, labels: np.ndarray) -> Any:
        table = pa.table({"x": X[kept, 0], "z": X[kept, 1], "y": labels[kept].tolist(), "mark": mark[kept]})
        once = SGDClassifier(loss="log_loss", shuffle=False, max_epochs=5, warm_start=True).fit(
            table, target="y", validation="mark"
        )
        losses.append(once.held_out_loss_)
        return once.fit(table, target="y", validation="mark")

    without = fit(~strange, names)
    names[strange] = target
    model = fit(np.ones(len(y), dtype=bool), names)
    assert losses[0] == losses[1]
    assert model.held_out_loss_ == without.held_out_loss_
    assert_array_equal(model.coef_, without.coef_)


def test_held_out_rows_without_a_number_are_left_out() -> None:
    X, y = load_diabetes(return_X_y=True)
    mark = np.arange(len(y)) % 5 == 0
    strange = mark & (np.arange(len(y)) % 2 == 0)

    def fit(kept: np.ndarray, numbers: np.ndarray) -> Any:
        table = pa.table({"x": X[kept, 2], "y": pa.array(numbers[kept], from_pandas=True), "mark": mark[kept]})
        return SGDRegressor(shuffle=False, max_epochs=5).fit(table, target="y", validation="mark")

    without = fit(~strange, y)
    model = fit(np.ones(len(y), dtype=bool), np.where(strange, np.nan, y))
    assert model.held_out_loss_ == without.held_out_loss_
    assert_array_equal(model.coef_, without.coef_)


@pytest.mark.parametrize("given", [{}, {"momentum": 0.5}, {"average": 3}, {"solver": "adam"}, {"solver": "average"}], ids=str)
def test_partial_fit_goes_on_from_the_best_epoch_at_the_rate_that_is_given(given: dict[str, Any]) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    steps = {"loss": "log_loss", "learning_rate": "constant", "eta0": 2.0, "batch_size": 4, "max_epochs": 6, "tol": None}
    model = SGDClassifier(early_stopping=True, **{**steps, **given}).fit(X[:100], y[:100])
    coef, point = model.coef_, model.model_record_["point"]
    model.set_params(eta0=1e-12, momentum=0.0).partial_fit(X[:100], y[:100])
    if "average" in given:
        assert_allclose(model.model_record_["point"]["W"], point["W"], atol=1e-8)
    else:
        assert_allclose(model.coef_, coef, rtol=1e-6)


def test_steps_that_are_too_long_say_what_to_do() -> None:
    X, y = load_diabetes(return_X_y=True)
    with pytest.raises(CallerError, match="take a smaller eta0"):
        SGDRegressor(eta0=100.0, learning_rate="constant").fit(X, y)


def test_a_round_of_too_many_rows_is_refused() -> None:
    assert steps_of_round(1_000_000, 50, 60) == 50
    with pytest.raises(CallerError, match="100000000 bytes, at most 67108864 travel in a round"):
        steps_of_round(1_000_000, 500, 100)


def test_an_average_of_models_is_by_the_weights_of_their_rows() -> None:
    X, y = load_diabetes(return_X_y=True)
    X = 10.0 * X[:100]
    given = {
        "eta0": 0.01,
        "learning_rate": "constant",
        "batch_size": 4,
        "shuffle": False,
        "standardise": False,
        "max_epochs": 2,
    }
    of = [
        SGDRegressor(local_epochs=2, solver="average", **given).fit(X[part], y[part]) for part in (slice(0, 50), slice(50, 100))
    ]
    both = SGDRegressor(local_epochs=2, solver="average", **given).fit(X, y[:100], shards=2)
    assert_allclose(both.coef_, (of[0].coef_ + of[1].coef_) / 2.0, rtol=1e-12)
    assert both.n_rounds_ == 3
    alone = SGDRegressor(**given).fit(X[:50], y[:50])
    assert_allclose(of[0].coef_, alone.coef_, rtol=1e-12)

    twice = SGDRegressor(local_epochs=2, solver="average", **given).fit(X, y[:100], np.repeat([1.0, 1e-9], 50), shards=2)
    heavy = {**given, "eta0": 0.02, "alpha": 5e-5}  # weights count in units of the mean: here the first rows' is 2
    assert_allclose(twice.coef_, SGDRegressor(**heavy).fit(X[:50], y[:50]).coef_, rtol=1e-6)


def test_an_average_ends_when_it_hardly_moves() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    given = {"loss": "log_loss", "alpha": 0.01, "solver": "average", "learning_rate": "invscaling", "power_t": 1.0}
    model = SGDClassifier(tol=0.02, n_iter_no_change=2, **given).fit(X, y, shards=3)
    further = SGDClassifier(tol=None, max_epochs=model.n_iter_ + 1, **given).fit(X, y, shards=3)
    before, after = model.model_record_["point"]["W"], further.model_record_["point"]["W"]
    assert model.status_ == "converged"
    assert np.abs(after - before).max() <= 0.02 * max(1.0, np.abs(after).max())
