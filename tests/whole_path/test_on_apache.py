"""The same whole path, kills included, on a real Apache ZooKeeper: one server, and an ensemble whose leader is killed."""

import os
import random
import signal
from collections.abc import Iterator

import pytest
from apache import REASON, Apache, Ensemble, is_installed
from killing import Killer, estimator, mend, train
from whole_path_data import BY, SEED, SHARDS, TARGET

import muskox as mx
from muskox.client import up

pytestmark = pytest.mark.skipif(not is_installed() and not os.environ.get("CI"), reason=REASON)


@pytest.fixture(scope="module")
def apache() -> Iterator[Apache]:
    with Apache() as server:
        yield server


@pytest.fixture(scope="module")
def on_apache(apache, tmp_path_factory) -> Iterator[mx.Cluster]:
    url = f"zk://{apache.hosts}/teams/muskox"
    with mx.local(nodes=3, dir=tmp_path_factory.mktemp("apache"), zk=url) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def apache_dataset(on_apache, flights):
    return on_apache.put("flights", flights, shards=SHARDS, by=BY, replicas=2)


@pytest.mark.parametrize("role", ["worker", "node", "coordinator"])
def test_a_death_changes_no_bit_on_apache(on_apache, apache_dataset, expected, role: str) -> None:
    killer = Killer(on_apache, role, random.Random(f"{SEED}/apache/{role}"))
    try:
        assert train(apache_dataset, on_round=killer) == expected, f"killed the {role} after round {killer.at}"
        assert killer.pid
    finally:
        mend(on_apache)


def test_evaluation_on_apache_equals_the_one_in_process(on_apache, apache_dataset, flights) -> None:
    model = estimator().fit(apache_dataset, target=TARGET, name="late")
    metrics = on_apache.evaluate("late", apache_dataset)
    assert metrics["rows"] == flights.num_rows
    assert metrics["accuracy"] == model.score(flights, flights[TARGET].to_pylist())


def test_a_kill_of_the_leader_of_an_ensemble_changes_no_bit(tmp_path, flights, expected) -> None:
    with Ensemble(3) as ensemble, mx.local(nodes=3, dir=tmp_path, zk=f"zk://{ensemble.hosts}/muskox") as cluster:
        dataset = cluster.put("flights", flights, shards=SHARDS, by=BY, replicas=2)
        killer = Killer(cluster, "worker", random.Random(f"{SEED}/leader"))
        killed: list[int] = []

        def leader_and_worker(report: mx.RoundReport) -> None:
            """The leader, and at once a worker: the generation without it must wait for the new leader."""
            if report.round >= killer.at and not killed:
                victim = killer.choose(cluster.status())  # while ZooKeeper answers
                killed.append(ensemble.leader())
                ensemble.kill(killed[0])
                os.kill(victim, signal.SIGKILL)

        assert train(dataset, on_round=leader_and_worker) == expected
        assert killed
        up(tmp_path, nodes=3).close()
