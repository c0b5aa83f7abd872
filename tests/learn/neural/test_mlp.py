"""Perceptrons: scikit-learn's contract, accuracy beside its own, and one model whatever computes which shard when."""

import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier as PeerClassifier
from sklearn.neural_network import MLPRegressor as PeerRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from muskox import tree
from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn import MLPClassifier, MLPRegressor, load_model
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import Rows, Target
from muskox.learn.neural.rows import KeptRows, keep_rows
from muskox.learn.neural.steps import JUDGED_ROWS
from muskox.program import ArrayPartition, Done, RunOptions, in_process, reference, resolve
from muskox.records import pack, unpack
from muskox.streams import stream
from muskox.together import Together

QUICK: dict[str, Any] = {"hidden_layer_sizes": (16,), "learning_rate_init": 0.02, "max_rounds": 150}


@pytest.mark.filterwarnings("default")  # the checks warn of their own
@parametrize_with_checks([MLPClassifier(**QUICK, batch_size=0), MLPRegressor(**QUICK, batch_size=0)])
def test_they_pass_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_digits_are_told_as_well_as_by_scikit_learn() -> None:
    X, X_test, y, y_test = train_test_split(*load_digits(return_X_y=True), random_state=0)
    ours = MLPClassifier(hidden_layer_sizes=(50,), learning_rate_init=0.003, max_rounds=400).fit(X, y, shards=4)
    scaler = StandardScaler().fit(X)
    peer = fitted(PeerClassifier((50,), learning_rate_init=0.003, max_iter=57, random_state=0), scaler.transform(X), y)
    assert ours.score(X_test, y_test) > peer.score(scaler.transform(X_test), y_test) - 0.015


def test_diabetes_is_told_as_well_as_by_scikit_learn() -> None:
    X, X_test, y, y_test = train_test_split(*load_diabetes(return_X_y=True), random_state=3)
    ours = MLPRegressor(hidden_layer_sizes=(20,), learning_rate_init=0.01, max_rounds=200, alpha=1.0).fit(X, y, shards=3)
    middle, spread, scaler = y.mean(), y.std(), StandardScaler().fit(X)
    peer = PeerRegressor(hidden_layer_sizes=(20,), learning_rate_init=0.01, max_iter=100, alpha=1.0, random_state=0)
    peer = fitted(peer, scaler.transform(X), (y - middle) / spread)
    told = ours.score(X_test, y_test)
    assert told > 0.3
    assert told > peer.score(scaler.transform(X_test), (y_test - middle) / spread) - 0.05


@pytest.mark.parametrize("options", [
    {"solver": "sgd", "learning_rate_init": 0.1},
    {"solver": "sgd", "learning_rate_init": 0.2, "nesterovs_momentum": False, "learning_rate": "invscaling", "power_t": 0.25},
    {"activation": "tanh", "dtype": "float32"},
    {"activation": "logistic", "hidden_layer_sizes": (20, 10), "learning_rate_init": 0.05},
    {"activation": "identity", "batch_size": 30},
    {"hidden_layer_sizes": ()},
])  # fmt: skip
def test_every_option_learns_iris(options: dict[str, Any]) -> None:
    X, y = load_iris(return_X_y=True)
    assert MLPClassifier(**{**QUICK, "max_rounds": 200, **options}).fit(X, y, shards=2).score(X, y) > 0.94


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_row_alone_has_the_bits_that_it_has_in_a_batch(dtype: str) -> None:
    X, y = load_digits(return_X_y=True)
    model = MLPClassifier(**{**QUICK, "max_rounds": 30}, dtype=dtype).fit(X, y)
    alone = np.concatenate([model.predict_proba(X[row : row + 1]) for row in range(700, 720)])
    np.testing.assert_array_equal(model.predict_proba(X)[700:720], alone)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_rounds_computed_by_strangers_in_any_order_give_the_same_bits(kind: Any) -> None:
    """Every shard of every round is computed from the packed state by nobody's cache, last shard first."""
    X, y = load_breast_cancer(return_X_y=True)
    y = y if kind is MLPClassifier else y * 1.5
    estimator = kind(**{**QUICK, "max_rounds": 12}, early_stopping=True, batch_size=100)
    whole = estimator.fit(X, y, shards=5)
    table = pa.table({**{f"x{index}": X[:, index] for index in range(X.shape[1])}, "y": y})
    program = resolve(unpack(pack(reference(estimator.program(target="y")))))
    dataset: Any = in_process(table, ArrayPartition(5))
    state = program.initial(dataset.manifest)
    while not isinstance(state, Done):
        partials = {}
        for index in (4, 2, 0, 3, 1):
            shard = in_process(table, ArrayPartition(5)).shards[index]  # type: ignore[attr-defined]
            partials[0, index] = unpack(pack(program.partial(unpack(pack(state)), shard, shard.blocks)))
        after = program.update(unpack(pack(state)), tree.reduce(partials, tree.root(5), 5, program.merge))
        state = after if isinstance(after, Done) else unpack(pack(after))
    assert digest(state.result) == whole.digest_


def test_shards_of_few_rows_and_of_none_take_part() -> None:
    X, y = load_iris(return_X_y=True)
    table = pa.table({"a": X[:, 2], "b": X[:, 3], "group": np.repeat([1, 2, 3], [148, 1, 1]), "y": y})
    model = MLPClassifier(**QUICK, batch_size=20, features=["a", "b"]).fit(table, target="y", shards=16, by="hash:group")
    assert model.score(table) > 0.94


def test_each_row_is_taken_once_an_epoch_whatever_the_steps() -> None:
    empty = np.zeros((7, 0))
    rows = KeptRows(empty, empty.astype(np.int32), [], 0, np.zeros(7), np.ones(7))
    for steps in (1, 3, 7, 20):
        for epoch in range(3):
            taken = [rows.of_step(0, 5, epoch, step, steps) for step in range(steps)]
            assert sorted(np.concatenate(taken).tolist()) == list(range(7))
    assert rows.of_step(0, 5, 1, 0, 1).tolist() != rows.of_step(0, 5, 2, 0, 1).tolist()


@pytest.mark.parametrize("standardise", [True, False])
def test_training_sees_the_numbers_that_prediction_sees(standardise: bool) -> None:
    batch = pa.record_batch({"a": stream(0, "test").normal(1.0, 1e3, 500), "b": ["x", "y", "y", None, "z"] * 100})
    encoder = Encoder.fit(pa.table(batch), standardise=standardise)
    rows = Rows(batch, np.zeros(500, dtype=np.int32), None)
    kept = keep_rows({"encoder": encoder.record, "kind": Target.CLASSES}, iter([rows]))
    np.testing.assert_array_equal(kept.dense(np.arange(500)), encoder.transform_batch(batch))


def test_a_weight_counts_as_so_many_rows() -> None:
    X, y = load_diabetes(return_X_y=True)
    weights = np.arange(len(y)) % 3
    settings = {**QUICK, "max_rounds": 20, "batch_size": 0, "activation": "tanh"}
    weighted = MLPRegressor(**settings).fit(X, y, weights)
    repeated = MLPRegressor(**settings).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-8)


def test_class_weights_raise_the_rare_class() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    rare = np.r_[np.flatnonzero(y == 1), np.flatnonzero(y == 0)[:12]]
    X, y = X[rare, :4], y[rare]
    settings = {**QUICK, "max_rounds": 25}
    plain = MLPClassifier(**settings).fit(X, y)
    balanced = MLPClassifier(**settings, class_weight="balanced").fit(X, y)
    given = MLPClassifier(**settings, class_weight={0: len(y) / 24, 1: len(y) / (2 * (len(y) - 12))}).fit(X, y)
    assert balanced.predict_proba(X)[:, 0].mean() > 2 * plain.predict_proba(X)[:, 0].mean()
    np.testing.assert_allclose(given.predict_proba(X), balanced.predict_proba(X), atol=1e-6)


def test_text_and_missing_values_are_learned_from() -> None:
    table = pa.table({
        "city": ["Rome", "Oslo", None, "Rome", "Oslo", None] * 20,
        "x": [1.0, 2.0, None, 3.0, None, 4.0] * 20,
        "y": ["a", "b", "c", "a", "b", "c"] * 20,
    })  # fmt: skip
    model = MLPClassifier(**QUICK).fit(table, target="y", shards=3, by="hash:x")
    assert model.score(table) == 1.0
    assert model.predict(pa.table({"city": ["Paris", None], "x": [None, None]}, schema=table.schema.remove(2)))[1] == "c"


def test_early_stopping_keeps_the_best_epoch() -> None:
    X, y = load_diabetes(return_X_y=True)
    held = np.arange(len(y)) % 4 == 0
    settings = {"hidden_layer_sizes": (200,), "learning_rate_init": 0.05, "n_iter_no_change": 4}
    model = MLPRegressor(**settings).fit(X[~held], y[~held], validation=(X[held], y[held]))
    errors = (model.predict(X[held]) - y[held]) / model.model_record_["scale"]
    assert 0.5 * np.mean(errors**2) == pytest.approx(min(model.validation_losses_))
    assert len(model.validation_losses_) == model.n_iter_ == int(np.argmin(model.validation_losses_)) + 1 + 4


def test_few_rows_held_out_are_dense_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, dense = [], KeptRows.dense
    monkeypatch.setattr(KeptRows, "dense", lambda self, rows: counts.append(len(rows)) or dense(self, rows))
    draw = stream(0, "test")
    X, y = draw.normal(size=(3000, 2)), draw.normal(size=3000)
    MLPRegressor(**{**QUICK, "max_rounds": 30}, early_stopping=True, validation_fraction=0.5).fit(X, y)
    assert max(counts) == JUDGED_ROWS


def test_an_adaptive_rate_falls_before_training_ends() -> None:
    X, y = load_iris(return_X_y=True)
    settings = {**QUICK, "max_rounds": 400, "solver": "sgd", "n_iter_no_change": 2, "tol": 0.05}
    told: list[int] = []
    for learning_rate in ("constant", "adaptive"):
        told.append(MLPClassifier(**settings, learning_rate=learning_rate).fit(X, y).n_rounds_)
    assert told[0] < told[1] < 400


def test_the_rate_may_change_while_it_runs_and_the_change_replays() -> None:
    X, y = load_iris(return_X_y=True)
    estimator = MLPClassifier(**{**QUICK, "max_rounds": 10})
    changed = [estimator.fit(X, y, options=RunOptions(changes=[(4, {"learning_rate_init": 0.001})])).digest_ for _ in range(2)]
    assert changed[0] == changed[1] != estimator.fit(X, y).digest_
    with pytest.raises(CallerError, match="learning_rate_init=-1"):
        estimator.fit(X, y, options=RunOptions(changes=[(4, {"learning_rate_init": -1.0})]))


def test_rounds_report_the_loss() -> None:
    X, y = load_iris(return_X_y=True)
    losses: list[float] = []
    MLPClassifier(**QUICK).fit(X, y, on_round=lambda report: losses.append(report.metrics.get("loss", np.nan)))
    assert losses[-1] < losses[1]


def test_programs_that_share_rows_and_rounds_keep_their_own_batches() -> None:
    X, y = load_iris(return_X_y=True)
    table = pa.table({**{f"x{index}": X[:, index] for index in range(4)}, "y": y})
    estimators = [MLPClassifier(**{**QUICK, "max_rounds": 20}, batch_size=size) for size in (20, 70)]
    programs = [estimator.program(target="y") for estimator in estimators]
    together = in_process(table, ArrayPartition(3)).run(Together(tuple(programs)), RunOptions()).result
    for number, estimator in enumerate(estimators):
        assert digest(together[str(number)]) == estimator.fit(table, target="y", shards=3).digest_


def test_a_warm_start_goes_on_from_where_it_was() -> None:
    X, y = load_iris(return_X_y=True)
    model = MLPClassifier(**{**QUICK, "max_rounds": 40}, warm_start=True).fit(X, y)
    first = model.loss_curve_
    again = model.fit(X, y)
    assert again.loss_curve_[0] < first[0] / 2
    assert load_model(unpack(pack(again.model_record_))).digest_ == again.digest_
    with pytest.raises(CallerError, match="of 131 parameters, but these columns and classes need 115"):
        model.fit(X[:, :3], y)


def test_a_model_survives_its_journey() -> None:
    X, y = load_iris(return_X_y=True)
    model = MLPClassifier(**QUICK, class_weight={0: 2.0}).fit(X, y)
    again = load_model(unpack(pack(model.model_record_)))
    assert again.digest_ == model.digest_
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.fit(X, y).digest_ == model.digest_


@pytest.mark.parametrize("given", [{}, {"early_stopping": True, "validation_fraction": 0.25}], ids=str)
def test_a_model_from_its_record_is_fitted_again_alike(given: dict[str, Any]) -> None:
    X, y = load_iris(return_X_y=True)
    model = MLPClassifier(**{**QUICK, "max_rounds": 20}, **given).fit(X, y)
    again = MLPClassifier.from_record(model.model_record_)
    assert (again.early_stopping, again.validation_fraction) == (model.early_stopping, model.validation_fraction)
    assert again.digest_ == model.digest_ == again.fit(X, y).digest_


@pytest.mark.parametrize(("given", "rule"), [
    ({"activation": "sinus"}, "activation='sinus': it is one of"),
    ({"solver": "lbfgs"}, "solver='lbfgs': it is one of adam, sgd"),
    ({"hidden_layer_sizes": (5, 0)}, "hidden_layer_sizes=0"),
    ({"batch_size": -1}, "batch_size=-1"),
    ({"learning_rate_init": 0.0}, "learning_rate_init=0.0"),
    ({"learning_rate": "steep"}, "learning_rate='steep'"),
    ({"learning_rate": 0.1}, "their size is learning_rate_init"),
    ({"beta_1": 1.0}, "must be less than 1"),
    ({"dtype": "float16"}, "dtype='float16'"),
    ({"early_stopping": True, "validation_fraction": 0.0}, "early_stopping needs rows"),
])  # fmt: skip
def test_a_parameter_that_cannot_be_is_refused_with_its_rule(given: dict[str, Any], rule: str) -> None:
    with pytest.raises(CallerError, match=rule):
        MLPClassifier(**given).fit([[0.0], [1.0]], [0, 1])


def test_a_training_that_goes_astray_says_what_to_do() -> None:
    X, y = load_diabetes(return_X_y=True)
    with pytest.raises(CallerError, match="lower learning_rate_init"), np.errstate(all="ignore"):
        MLPRegressor(solver="sgd", learning_rate_init=1e6).fit(X, y)


def fitted(peer: Any, X: Any, y: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it did not converge in so many epochs
        return peer.fit(X, y)
