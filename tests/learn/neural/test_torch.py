"""PyTorch modules: scikit-learn's contract, accuracy, the same bits in whatever process, and no code run unasked."""

import os
import subprocess
import sys
from copy import deepcopy
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.model_selection import train_test_split
from sklearn.utils.estimator_checks import parametrize_with_checks

from muskox import cross_validate, permutation_importance, trusted_code
from muskox.engines import pinned
from muskox.errors import CallerError
from muskox.evaluate import EvaluateProgram
from muskox.learn import (
    Encode,
    MLPClassifier,
    Pipeline,
    TorchClassifier,
    TorchEstimator,
    TorchRegressor,
    load_model,
    load_predictor,
)
from muskox.program import ArrayPartition, RunOptions, in_process, is_portable, needs_pins
from muskox.records import pack, unpack
from muskox.runtime import pinned_environment

torch = pytest.importorskip("torch")
nn = torch.nn

PERCEPTRON = """
from torch import nn

def build(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, outputs))
"""
DRAWING = """
from torch import nn

def build(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Dropout(0.2), nn.Linear(40, outputs))
"""
TELLING = """
import torch

class Telling(torch.nn.Linear):
    def forward(self, rows):
        return super().forward(rows) * 0.0 + float(torch.are_deterministic_algorithms_enabled())

def build(inputs, outputs):
    return Telling(inputs, outputs)
"""
QUICK: dict[str, Any] = {"source": PERCEPTRON, "learning_rate_init": 0.02, "max_rounds": 60}


class Forked(nn.Module):  # type: ignore[misc]
    """A module of a user's own."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, 8), nn.Linear(inputs, 8)
        self.last = nn.Linear(16, outputs)

    def forward(self, rows: Any) -> Any:
        return self.last(torch.cat([torch.tanh(self.first(rows)), torch.relu(self.second(rows))], dim=1))


@pytest.mark.filterwarnings("default")  # the checks warn of their own
@parametrize_with_checks([
    TorchClassifier(**QUICK, batch_size=0, dtype="float64"),
    TorchRegressor(**QUICK, batch_size=0, dtype="float64"),
])  # fmt: skip
def test_they_pass_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_digits_are_told_with_dropout_and_batch_normalisation() -> None:
    X, X_test, y, y_test = train_test_split(*load_digits(return_X_y=True), random_state=0)
    model = TorchClassifier(source=DRAWING, learning_rate_init=0.005, max_rounds=150).fit(X, y, shards=4)
    peer = MLPClassifier(hidden_layer_sizes=(40,), learning_rate_init=0.005, max_rounds=150).fit(X, y, shards=4)
    assert model.score(X_test, y_test) > max(0.95, peer.score(X_test, y_test) - 0.015)


@pytest.mark.parametrize("loss", ["mse", "l1", "huber", "smooth_l1"])
def test_diabetes_is_told_by_every_loss_of_numbers(loss: str) -> None:
    X, y = load_diabetes(return_X_y=True)
    assert TorchEstimator(nn.Linear, loss=loss, solver="sgd", learning_rate_init=0.02,
                          max_rounds=150).fit(X, y, shards=2).score(X, y) > 0.45  # fmt: skip


PROGRAM = f"""
from sklearn.datasets import load_iris
from muskox.learn import TorchClassifier
X, y = load_iris(return_X_y=True)
model = TorchClassifier(source={DRAWING!r}, max_rounds=20, batch_size=40).fit(X, y, shards=3)
print(model.digest_, model.predict_proba(X).tobytes().hex())
"""


def test_whatever_the_callers_process_is_like_the_bits_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    strange = {"OMP_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "SKYLAKEX", "ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AUTO"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **strange}, capture_output=True, text=True, check=True
    )
    torch.randn(500, 500) @ torch.randn(500, 500)
    exec(PROGRAM, {})  # here, where PyTorch is in use
    assert done.stdout == capsys.readouterr().out != ""


SERVING = """
import sys
from pathlib import Path
import numpy, pyarrow as pa, scipy.special
from muskox.engines import pinned
from muskox.learn import load_predictor
from muskox.records import unpack
from muskox.trusted_code import trust_everything

trust_everything()
folder = Path(sys.argv[1])
batch = pa.ipc.open_file(folder / "rows.arrow").read_all().to_batches()[0]
predictor = load_predictor(unpack((folder / "model").read_bytes()))
print(*(predictor.probabilities(part).tobytes().hex() for part in (batch, batch.slice(7, 1))))
print(len(pinned._idle))
"""


def test_a_process_started_with_the_pins_answers_itself_with_the_same_bits(tmp_path: Any) -> None:
    X, y = load_digits(return_X_y=True)
    model = TorchClassifier(**{**QUICK, "max_rounds": 10}).fit(X, y)
    table = pa.table({f"x{index}": column[:200] for index, column in enumerate(X.T)})
    with pa.ipc.new_file(tmp_path / "rows.arrow", table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "model").write_bytes(pack(model.model_record_))
    done = subprocess.run([sys.executable, "-c", SERVING, str(tmp_path)], env={**os.environ, **pinned_environment()},
                          capture_output=True, check=True, text=True)  # fmt: skip
    told = model.predict_proba(X[:200])
    assert done.stdout.split() == [told.tobytes().hex(), told[7:8].tobytes().hex(), "0"]


def test_whatever_asks_a_model_is_answered_with_the_same_bits() -> None:
    X = np.random.default_rng(0).normal(size=(600, 3))
    wide = PERCEPTRON.replace("16", "33")  # in this process, unpinned, hundreds of rows have other last bits
    model = TorchRegressor(source=wide, learning_rate_init=0.05, max_rounds=30).fit(X, X[:, 0])
    told = model.predict(X)
    columns = dict(zip(model.feature_names_in_, X.T, strict=True))
    batch = pa.record_batch(columns)
    np.testing.assert_array_equal(model.predict_batch(batch)["prediction"], told)
    np.testing.assert_array_equal(load_predictor(model.model_record_).values(batch), told)
    one = load_predictor(model.model_record_).values(batch.slice(5, 1))
    np.testing.assert_array_equal(one, told[5:6])
    exact = in_process(pa.table({**columns, "y": told}), ArrayPartition(shards=3))
    evaluated = EvaluateProgram(model.model_record_, "y")
    assert needs_pins(evaluated) and exact.run(evaluated, RunOptions()).result["max_error"] == 0.0
    assert permutation_importance(model, exact, target="y", repeats=1).num_rows == 3


def test_a_process_that_has_trained_nothing_predicts_deterministically_too() -> None:
    X, y = load_diabetes(return_X_y=True)
    model = TorchRegressor(source=TELLING, max_rounds=1, dtype="float64").fit(X, y)
    pinned._end_idle()
    assert set(model.each_batch(X, model.model_.module_outputs)[:, 0]) == {1.0}


def test_a_pipeline_ends_with_a_module_and_asks_for_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = load_iris(return_X_y=True)
    model = Pipeline([("encode", Encode()), ("net", TorchClassifier(**QUICK))]).fit(X, y)
    batch = pa.record_batch(dict(zip(model.feature_names_in_, X.T, strict=True)))
    np.testing.assert_array_equal(model.predict_batch(batch)["prediction"], model.predict(X))
    data = in_process(pa.table({**batch.to_pydict(), "y": y}), ArrayPartition())
    program = EvaluateProgram(model.model_record_, "y")
    right = data.run(program, RunOptions()).result["accuracy"]
    assert right == model.score(X, y) > 0.9
    monkeypatch.setattr(trusted_code, "_trusted", {})  # as in another process
    stranger = load_model(model.model_record_)
    asked = [lambda: stranger.predict(X), lambda: stranger.fit(X, y), lambda: stranger.score(data),
             lambda: data.run(EvaluateProgram(model.model_record_, "y"), RunOptions())]  # fmt: skip
    for ask in asked:
        with pytest.raises(CallerError, match="trust_code=True"):
            ask()
    assert load_model(model.model_record_, trust_code=True).score(data) == right


@pytest.mark.parametrize("make", [lambda: Forked, lambda: Forked(4, 3)], ids=["a class", "a module"])
def test_an_object_of_the_users_is_trained_and_stays_the_users(make: Any) -> None:
    X, y = load_iris(return_X_y=True)
    torch.manual_seed(0)
    module = make()
    before = [each.clone() for each in module.parameters()] if isinstance(module, nn.Module) else []
    model = TorchClassifier(module, learning_rate_init=0.02, max_rounds=100).fit(X, y, shards=3)
    assert model.score(X, y) > 0.94
    assert not is_portable(model.program(target="y"))
    for each, was in zip(module.parameters() if before else [], before, strict=True):
        assert torch.equal(each, was)
    record = unpack(pack(model.model_record_))
    with pytest.raises(CallerError, match=r"from_record\(record, module=...\)"):
        load_model(record).predict(X)
    again = TorchClassifier.from_record(record, module=module)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_a_row_alone_has_the_bits_that_it_has_in_a_batch() -> None:
    X, y = load_digits(return_X_y=True)
    model = TorchClassifier(**{**QUICK, "max_rounds": 10}).fit(X, y)
    alone = np.concatenate([model.predict_proba(X[row : row + 1]) for row in range(70, 80)])
    np.testing.assert_array_equal(model.predict_proba(X)[70:80], alone)
    batch = pa.RecordBatch.from_arrays([pa.array(column) for column in X.T], names=list(model.feature_names_in_))
    by_itself = [model.model_.probabilities(batch.slice(row, 1)) for row in range(70, 80)]
    np.testing.assert_array_equal(model.model_.probabilities(batch)[70:80], np.concatenate(by_itself))


def test_no_code_of_a_record_runs_unless_it_is_trusted(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = load_iris(return_X_y=True)
    trace = tmp_path / "ran"
    source = f"open({str(trace)!r}, 'w').close()\n" + PERCEPTRON
    record = TorchClassifier(**{**QUICK, "source": source, "max_rounds": 2}).fit(X, y).model_record_
    trace.unlink()
    monkeypatch.setattr(trusted_code, "_trusted", {})  # as in another process
    stranger, predictor = load_model(record), load_predictor(record)
    batch = pa.RecordBatch.from_arrays([pa.array(column) for column in X.T], names=predictor.features)
    data = in_process(pa.table({**batch.to_pydict(), "y": y}), ArrayPartition())
    hidden = {**record, "parameters": {**record["parameters"], "source": source}}
    asked = [lambda: stranger.predict(X), lambda: predictor.probabilities(batch), stranger.trained_module,
             lambda: stranger.score(data), lambda: data.run(EvaluateProgram(record, "y"), RunOptions()),
             lambda: permutation_importance(stranger, data, target="y"),
             lambda: stranger.set_params(warm_start=True).fit(X, y), lambda: clone(stranger).fit(X, y),
             lambda: deepcopy(stranger).fit(X, y), lambda: TorchClassifier(**stranger.get_params()).fit(X, y),
             lambda: cross_validate(stranger, X, y, folds=2), lambda: load_model(hidden).fit(X, y)]  # fmt: skip
    for ask in asked:
        with pytest.raises(CallerError, match="trust_code=True"):
            ask()
    assert not trace.exists() and trusted_code.trusted() == []
    assert load_model(record, trust_code=True).fit(X, y).predict(X).shape == (150,)
    assert trace.exists()


def test_the_trained_module_is_pytorchs() -> None:
    X, y = load_iris(return_X_y=True)
    model = TorchClassifier(**QUICK, standardise=False).fit(X, y)
    module = model.trained_module()
    assert isinstance(module, nn.Sequential) and not module.training
    told = torch.softmax(module(torch.tensor(X, dtype=torch.float32)), dim=1).detach().numpy()
    np.testing.assert_allclose(told, model.predict_proba(X), atol=1e-5)


def test_rows_held_out_stop_it_with_the_best_parameters_and_buffers() -> None:
    X, y = load_diabetes(return_X_y=True)
    held = np.arange(len(y)) % 4 == 0
    settings = {"source": DRAWING, "learning_rate_init": 0.05, "n_iter_no_change": 3}
    model = TorchRegressor(**settings).fit(X[~held], y[~held], validation=(X[held], y[held]))
    errors = (model.predict(X[held]) - y[held]) / model.model_record_["scale"]
    assert np.mean(errors**2) == pytest.approx(min(model.validation_losses_), rel=1e-5)


def test_a_loss_of_ones_own_is_the_sources_or_a_function() -> None:
    X, y = load_diabetes(return_X_y=True)
    source = PERCEPTRON + "\ndef loss(outputs, target):\n    return (outputs[:, 0] - target) ** 2\n"
    settings = {**QUICK, "max_rounds": 10}
    named = TorchRegressor(**{**settings, "source": source}, loss="own").fit(X, y)
    given = TorchRegressor(**settings, loss=lambda outputs, target: (outputs[:, 0] - target) ** 2).fit(X, y)
    np.testing.assert_allclose(named.predict(X), TorchRegressor(**settings).fit(X, y).predict(X))
    np.testing.assert_array_equal(named.predict(X), given.predict(X))


def test_a_weight_counts_as_so_many_rows() -> None:
    X, y = load_diabetes(return_X_y=True)
    weights = np.arange(len(y)) % 3
    settings = {**QUICK, "max_rounds": 15, "batch_size": 0, "dtype": "float64"}
    weighted = TorchRegressor(**settings).fit(X, y, weights)
    repeated = TorchRegressor(**settings).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-6)


def test_frozen_parameters_stay_and_are_not_penalised() -> None:
    X, y = load_iris(return_X_y=True)
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    module[0].requires_grad_(False)
    model = TorchClassifier(module, alpha=1.0, learning_rate_init=0.02, max_rounds=20).fit(X, y)
    found = model.trained_module()
    assert torch.equal(found[0].weight, module[0].weight)
    assert not torch.equal(found[2].weight, module[2].weight)


def test_a_warm_start_and_a_change_of_the_rate_replay() -> None:
    X, y = load_iris(return_X_y=True)
    settings = {**QUICK, "max_rounds": 10}
    changed = [
        TorchClassifier(**settings).fit(X, y, options=RunOptions(changes=[(4, {"learning_rate_init": 0.001})])) for _ in "ab"
    ]
    assert changed[0].digest_ == changed[1].digest_ != TorchClassifier(**settings).fit(X, y).digest_
    warm = TorchClassifier(**settings, warm_start=True).fit(X, y)
    first = warm.loss_
    assert warm.fit(X, y).loss_ < first
    with pytest.raises(CallerError, match="warm_start goes on from"):
        warm.fit(X[:, :2], y)


@pytest.mark.parametrize(("given", "rule"), [
    ({"source": ""}, "give the module: either source="),
    ({"source": "build = 3"}, r"there is no build\(inputs, outputs\)"),
    ({"source": "def build(inputs, outputs):\n    return 3"}, "it must return a torch.nn.Module"),
    ({"source": "import nowhere_to_be_found"}, "the source of the module raised ModuleNotFoundError"),
    ({"source": "def build(inputs, outputs):\n    raise KeyError('x')"}, r"build\(4, 3\) raised KeyError"),
    ({"source": "from torch import nn\ndef build(a, b):\n    return nn.Linear(7, b)"}, "the module raised RuntimeError"),
    ({"source": "from torch import nn\ndef build(a, b):\n    return nn.Identity()"}, "no parameter that can be trained"),
    ({"loss": "own"}, "it defines none"),
    ({"loss": "mse"}, "does not go with a target"),
    ({"loss": "hinge"}, "loss='hinge': it is one of"),
    ({"dtype": "float16"}, "dtype='float16'"),
    ({"source": DRAWING, "batch_size": 1}, "batch normalisation needs two rows"),
])  # fmt: skip
def test_what_cannot_be_is_refused_with_a_sentence(given: dict[str, Any], rule: str) -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(CallerError, match=rule):
        TorchClassifier(**{**QUICK, **given}).fit(X, y)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_missed() -> None:
    with pytest.raises(CallerError, match="no CUDA device"):
        TorchClassifier(**QUICK, device="cuda").fit(*load_iris(return_X_y=True))


def test_the_door_chooses_by_loss_or_task() -> None:
    assert isinstance(TorchEstimator(source=PERCEPTRON), TorchClassifier)
    assert isinstance(TorchEstimator(source=PERCEPTRON, loss="l1"), TorchRegressor)
    assert isinstance(TorchEstimator(source=PERCEPTRON, loss="own", task="regression"), TorchRegressor)
    with pytest.raises(CallerError, match="say task="):
        TorchEstimator(source=PERCEPTRON, loss=lambda outputs, target: outputs)
    with pytest.raises(CallerError, match="task='ranking'"):
        TorchEstimator(source=PERCEPTRON, task="ranking")
