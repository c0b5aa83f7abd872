"""The promise: kill -9 of any one process at any moment, and the job finishes with the same model, to the bit."""

import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from killing import FEATURES, ROUNDS_MAX, C, Killer, estimator, mend, train, until
from whole_path_data import BY, SEED, SHARDS, TARGET

from muskox.client import down, up
from muskox.coordination import layout
from muskox.runtime import KeeperCommand, try_lock

LATER = 90  # a round after any that is drawn


@pytest.mark.parametrize("role", ["worker", "root", "node", "coordinator", "keeper"])
def test_a_death_changes_no_bit(cluster, dataset, expected, role: str) -> None:
    killer = Killer(cluster, role, random.Random(f"{SEED}/{role}"))
    digest = train(dataset, on_round=killer)
    assert killer.pid, f"the fit ended before round {killer.at}"
    assert digest == expected, f"killed the {role} after round {killer.at}"
    if role in ("worker", "root", "node"):
        assert max(killer.generations) > killer.generation, "the survivors went on in a generation of their own"


def test_the_client_may_die(cluster, dataset, expected) -> None:
    """A process submits, follows to a drawn round and kills itself: the job goes on, and the model is there."""
    at = random.Random(f"{SEED}/client").randrange(2, 40)
    script = f"""
        import os, signal, muskox as mx
        def die(report):
            if report.round >= {at}:
                os.kill(os.getpid(), signal.SIGKILL)
        parameters = dict(C={C}, max_rounds={ROUNDS_MAX}, tol=1e-13, features={FEATURES!r}, categorical=("month", "hour"))
        dataset = mx.connect(dir={str(cluster.folder.path)!r}).dataset("flights")
        mx.LogisticRegression(**parameters).fit(dataset, target={TARGET!r}, name="orphan", on_round=die)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    job = next(job for job in cluster.jobs() if job["model"] == "orphan")
    assert cluster.wait(job["id"])["state"] == "done"
    assert cluster.model_info("orphan")["digest"] == expected


def test_every_process_at_once_goes_on_from_the_checkpoint(tmp_path, flights, expected) -> None:
    """All nodes and the keeper are killed together; started again, the job finishes by itself from its checkpoint."""
    with up(tmp_path, nodes=2) as cluster:
        try:
            cluster.set_config("checkpoint_interval_s", 0.1)
            dataset = cluster.put("flights", flights, shards=12, by="hash:tailnum", replicas=2)
            job = cluster.submit(estimator(), dataset, TARGET, name="late")
            reports = cluster.follow(job)
            while cluster.session.find(layout.checkpoint(job), layout.CheckpointRecord) is None:
                next(reports)
            status = cluster.status()
            for pid in [status["keeper"]["pid"], *(node["pid"] for node in status["nodes"])]:
                os.kill(pid, signal.SIGKILL)
            living = ("node-1", "node-2")
            until(lambda: not any(cluster.folder.node_pid(name) for name in living), "the end of every node")
            with up(tmp_path, nodes=2) as again:
                assert again.wait(job)["state"] == "done"
                assert again.model_info("late")["digest"] == expected
        finally:
            down(tmp_path)


def test_an_outage_of_the_keeper_of_three_session_timeouts_is_sat_out(cluster, dataset, expected) -> None:
    """Nobody can start the keeper while we hold its guard's lock; a job that runs goes on, and what waits is done after."""
    keeper = KeeperCommand.read(cluster.folder.keeper_file)
    outage_s = 3 * cluster.folder.get().session_timeout_s
    killer = Killer(cluster, "keeper", random.Random(f"{SEED}/outage"))
    with try_lock(Path(keeper.data_dir) / "guard.lock") as is_ours:
        assert is_ours
        job = cluster.submit(estimator(), dataset, TARGET, name="patient")
        for report in cluster.follow(job):
            killer(report)
            if killer.pid:
                break
        until(lambda: not cluster.session.is_connected, "the end of the connection")
        assert not cluster.session.wait_connected(outage_s), "nobody else may start it"
    assert cluster.wait(job)["state"] == "done"
    assert cluster.model_info("patient")["digest"] == expected


def test_a_paused_worker_is_left_behind_and_can_do_no_harm(cluster, dataset, expected) -> None:
    """SIGSTOP breaks no connection: silence is what tells. Woken up, it finds that it takes part no more."""
    cluster.set_config("silence_s", 1)
    try:
        killer = Killer(cluster, "worker", random.Random(f"{SEED}/pause"), blow=lambda pid: os.kill(pid, signal.SIGSTOP))
        assert train(dataset, on_round=killer) == expected
        assert killer.pid
    finally:
        cluster.set_config("silence_s", 10)


def test_a_stopped_worker_without_peers_is_replaced(cluster, dataset, expected) -> None:
    """Nobody else would miss it."""
    cluster.set_config("silence_s", 1)
    try:
        killer = Killer(cluster, "worker", random.Random(f"{SEED}/alone"), blow=lambda pid: os.kill(pid, signal.SIGSTOP))
        assert train(dataset, on_round=killer, workers=1) == expected
        assert killer.pid
    finally:
        cluster.set_config("silence_s", 10)


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_the_number_of_workers_changes_no_bit(cluster, dataset, expected, workers: int) -> None:
    assert train(dataset, workers=workers) == expected


def test_two_deaths_in_one_job(cluster, flights, expected) -> None:
    """A node, and later the coordinator: two of three nodes are left, then one. Two deaths at a time need three replicas."""
    dataset = cluster.put("flights-thrice", flights, shards=SHARDS, by=BY, replicas=3)
    first = Killer(cluster, "node", random.Random(f"{SEED}/first"))
    second = Killer(cluster, "coordinator", random.Random(f"{SEED}/second"))
    second.at = LATER

    def both(report) -> None:
        first(report)
        if first.pid and report.round >= second.at:
            second(report)

    assert train(dataset, on_round=both) == expected
    assert first.pid and second.pid
    mend(cluster)
