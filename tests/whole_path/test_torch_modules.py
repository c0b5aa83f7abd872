"""PyTorch modules on a real cluster: a user's own class travels as code; a registered one runs where it is trusted."""

import numpy as np
import pytest
from estimator_promise import killed
from whole_path_data import BY, SHARDS, TARGET

import muskox as mx
from muskox import trusted_code

torch = pytest.importorskip("torch")

FEATURES = ["hour", "origin", "distance"]


class Deep(torch.nn.Module):
    """A module of a user's own, which no node has."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(inputs, 10), torch.nn.Linear(10, outputs)

    def forward(self, rows):
        return self.last(torch.tanh(self.first(rows)))


SOURCE = "from torch import nn\n\ndef build(inputs, outputs):\n    return nn.Linear(inputs, outputs)\n"
QUICK = {"features": FEATURES, "batch_size": 5000, "max_rounds": 8, "learning_rate_init": 0.05}


DRAWING = """
from torch import nn

def build(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, outputs))
"""


def test_a_module_keeps_its_digest_whoever_computes_and_dies(cluster, dataset, flights) -> None:
    """As the other estimators do, by 1, 2, 3 and 5 workers, with a kill, and in process."""
    estimator = mx.TorchClassifier(source=DRAWING, features=FEATURES, batch_size=4000, max_rounds=60)
    whole = estimator.fit(flights, target=TARGET, shards=SHARDS, by=BY).digest_
    assert {estimator.fit(dataset, target=TARGET, workers=workers).digest_ for workers in (1, 2, 3, 5)} == {whole}
    assert killed(cluster, dataset, estimator, TARGET, "killed-module", workers=2) == whole


def test_a_module_of_a_users_own_gives_one_digest(cluster, dataset, flights) -> None:
    estimator = mx.TorchClassifier(Deep, **QUICK)
    whole = estimator.fit(flights, target=TARGET, shards=SHARDS, by=BY)
    told = whole.predict_proba(flights.slice(0, 100))
    assert estimator.fit(dataset, target=TARGET, workers=1).digest_ == whole.digest_
    np.testing.assert_array_equal(estimator.predict_proba(flights.slice(0, 100)), told)


def test_a_registered_module_is_evaluated_verified_and_asks_for_trust(cluster, dataset, flights, monkeypatch) -> None:
    mx.TorchClassifier(source=SOURCE, **QUICK).fit(dataset, target=TARGET, name="torch-late", workers=1)
    assert cluster.evaluate("torch-late", dataset, workers=1)["accuracy"] > 0.6
    assert cluster.verify_model("torch-late", workers=1).verdict == "same"
    assert "source" in cluster.model_info("torch-late")["lineage"]["parameters"]
    monkeypatch.setattr(trusted_code, "_trusted", {})
    with pytest.raises(mx.CallerError, match="trust_code=True"):
        cluster.model("torch-late").predict(flights.slice(0, 5))
    with pytest.raises(mx.CallerError, match="trust_code=True"):
        cluster.evaluate(cluster.model("torch-late"), dataset)
    assert len(cluster.model("torch-late", trust_code=True).predict(flights.slice(0, 5))) == 5


def test_a_warm_start_goes_on_where_the_rows_lie(cluster, dataset) -> None:
    estimator = mx.MLPClassifier(**QUICK, hidden_layer_sizes=(8,), warm_start=True).fit(dataset, target=TARGET)
    first = estimator.loss_
    assert estimator.fit(dataset, target=TARGET, name="warm").loss_ < first
