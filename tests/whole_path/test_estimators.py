"""Every estimator on a real cluster: whoever computes, and whoever dies meanwhile, one digest."""

from collections.abc import Iterator
from typing import Any

import pytest
from estimator_promise import check_one_digest
from whole_path_data import BY, FEATURES, SHARDS, TARGET

import muskox as mx

FAMILY: list[tuple[Any, str | None]] = [
    (mx.GaussianNB(features=FEATURES), TARGET),
    (mx.GradientBoostingClassifier(features=FEATURES, n_estimators=4, max_depth=4), TARGET),
    (mx.GradientBoostingRegressor(features=["month", "hour", "carrier"], n_estimators=4, max_depth=3), "distance"),
    (mx.KMeans(features=FEATURES, n_clusters=8, n_init=2, tol=0.0, standardise=True), None),
    (mx.LinearRegression(features=["month", "hour", "carrier"]), "distance"),
    (mx.LinearSVC(features=FEATURES, loss="hinge", max_rounds=30), TARGET),
    (mx.LinearSVR(features=["month", "hour", "carrier"], epsilon=10.0, max_rounds=30), "distance"),
    (mx.LogisticRegression(features=["distance", "hour"], max_rounds=12), "origin"),
    (mx.LogisticRegression(features=FEATURES, hashed=["carrier"], hash_features=256, penalty="l1", max_rounds=20), TARGET),
    (mx.MLPClassifier(features=FEATURES, hidden_layer_sizes=(16,), batch_size=2000, max_rounds=30), TARGET),
    (mx.MLPRegressor(features=["hour", "origin"], hidden_layer_sizes=(8,), batch_size=5000, max_rounds=15), "distance"),
    (mx.PCA(features=FEATURES, n_components=0.8, standardise=True), None),
    (mx.RandomForestClassifier(features=FEATURES, n_estimators=24, max_depth=8, strategy="shards"), TARGET),
    (mx.RandomForestClassifier(features=FEATURES, n_estimators=4, max_depth=8), TARGET),
    (mx.RandomForestRegressor(features=["month", "hour", "carrier"], n_estimators=4, max_depth=6), "distance"),
    (mx.MultinomialNB(features=FEATURES), TARGET),
    (mx.PCA(features=["month", "hour", "carrier", "distance"], n_components=0.8, standardise=True), None),
    (
        mx.Pipeline([("scale", mx.Encode(features=FEATURES[:4])), ("axes", mx.PCA(3)), ("last", mx.LinearSVC(max_rounds=20))]),
        TARGET,
    ),
    (mx.Ridge(features=["month", "hour", "carrier"], solver="lbfgs", max_rounds=30), "distance"),
    (mx.SGDClassifier(features=FEATURES, loss="log_loss", batch_size=64, max_epochs=1, early_stopping=True), TARGET),
    (mx.SGDClassifier(features=FEATURES, solver="adam", batch_size=4096, max_rounds=15), TARGET),
    (mx.SGDClassifier(features=FEATURES, solver="average", penalty="elasticnet", max_rounds=8, tol=None), TARGET),
    (mx.SGDRegressor(features=["hour", "origin"], momentum=0.9, average=True, batch_size=1, max_epochs=1), "distance"),
]


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory) -> Iterator[mx.Cluster]:
    """A cluster of our own: whoever looks at one with hundreds of jobs is too late for a blow at a short one."""
    with mx.local(nodes=3, dir=tmp_path_factory.mktemp("family")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def dataset(three_nodes, flights):
    return three_nodes.put("flights", flights, shards=SHARDS, by=BY, replicas=2)


@pytest.mark.parametrize(("estimator", "target"), FAMILY, ids=lambda value: type(value).__name__)
def test_an_estimator_keeps_its_digest(cluster, dataset, flights, estimator: Any, target: str | None) -> None:
    check_one_digest(cluster, dataset, flights, estimator, target, shards=SHARDS, by=BY)
