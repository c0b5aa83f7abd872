"""Nodes come and go, jobs make room for others and go on later: nothing is computed twice, and no bit changes."""

import os
import signal

import pytest
from killing import estimator, train, until
from whole_path_data import BY, SHARDS, TARGET

import muskox as mx
from muskox.client import down, up
from muskox.coordination import layout


@pytest.fixture
def small(tmp_path, flights):
    """A cluster of two nodes of its own, whose checkpoints come too seldom to count: what is kept is kept for a reason."""
    with up(tmp_path, nodes=2) as cluster:
        cluster.set_config("checkpoint_interval_s", 3600)
        cluster.put("flights", flights, shards=SHARDS, by=BY, replicas=2)
        yield cluster
    down(tmp_path)


def submit(cluster: mx.Cluster, name: str, **asked: object) -> str:
    return cluster.submit(estimator(), "flights", TARGET, name=name, options=mx.RunOptions(**asked))


def state_of(cluster: mx.Cluster, job: str) -> tuple[str, int]:
    view = cluster.job(job)
    return view["state"], len(view["workers"])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_node_that_is_stopped_hands_over_and_nothing_is_computed_again(small, expected, workers: int) -> None:
    job = submit(small, "handed", workers=workers)
    for report in small.follow(job):
        if report.round >= 10:
            break
    node = small.job(job)["workers"][0]["node"]  # the root's
    pid = next(one["pid"] for one in small.status()["nodes"] if one["name"] == node)
    os.kill(pid, signal.SIGTERM)
    assert small.wait(job)["state"] == "done"
    assert small.model_info("handed")["digest"] == expected
    until(lambda: small.folder.node_pid(node) is None, f"the end of {node}")
    found = small.session.find(layout.generation(job), layout.GenerationRecord)
    assert found is not None and found[0].number <= 1 + workers, "its successor's, and one for the other's second worker"
    assert {member.node for member in found[0].members} == {"node-1", "node-2"} - {node}
    assert small.session.children(layout.suspects(job)) == [], "it left, and did not die"


def test_a_node_that_joins_takes_its_part(small, expected, tmp_path) -> None:
    job = submit(small, "grown")
    for report in small.follow(job):
        if report.round >= 5:
            break
    up(tmp_path, nodes=3).close()
    until(lambda: state_of(small, job) in {("running", 3), ("done", 0)}, "the third worker", 60)
    assert small.wait(job)["state"] == "done"
    assert small.model_info("grown")["digest"] == expected


def kept_round(cluster, job: str) -> int:
    kept = cluster.session.find(layout.checkpoint(job), layout.CheckpointRecord)
    return -1 if kept is None else kept[0].round


def test_an_urgent_job_takes_the_place_of_another_which_goes_on_later_with_the_same_bits(small, expected) -> None:
    """Both nodes offer four cores: the low job takes all eight of them, the high one needs them all as well."""
    cores = small.status()["nodes"][0]["cores"]
    low = submit(small, "low", workers=2, workers_min=2, cores=cores)
    for report in small.follow(low):
        if report.round >= 10:
            break
    before = small.job(low)
    high = submit(small, "high", workers=2, workers_min=2, cores=cores, priority=5)
    until(lambda: state_of(small, high) == ("running", 2), "the start of the urgent job")
    until(lambda: small.job(low)["state"] == "waiting", "word of the one that waits")
    waiting = small.job(low)
    assert waiting["reason"] == f"suspended: it waits for {2 * cores} cores: {2 * cores} of {2 * cores} cores in use by {high}"
    until(lambda: kept_round(small, low) >= before["round"], "the checkpoint of what was computed")
    assert small.wait(high)["state"] == "done" and small.wait(low)["state"] == "done"
    assert small.model_info("high")["digest"] == small.model_info("low")["digest"] == expected
    record = small.model_info("low")
    assert record["rounds"] == small.model_info("high")["rounds"]


def test_a_job_shrinks_to_its_least_for_another_and_grows_again(small, expected) -> None:
    cores = small.status()["nodes"][0]["cores"]
    wide = submit(small, "wide", workers=2, cores=cores)
    until(lambda: state_of(small, wide) == ("running", 2), "both workers")
    narrow = submit(small, "narrow", workers=1, cores=cores)
    until(lambda: state_of(small, narrow) == ("running", 1) and state_of(small, wide) == ("running", 1), "one worker each")
    assert small.wait(narrow)["state"] == "done" and small.wait(wide)["state"] == "done"
    assert small.model_info("wide")["digest"] == small.model_info("narrow")["digest"] == expected


def test_a_drained_node_works_no_more(small, expected) -> None:
    small.drain("node-2")
    job = submit(small, "elsewhere")
    until(lambda: small.job(job)["workers"] or small.job(job)["state"] == "done", "its workers")
    assert {worker["node"] for worker in small.job(job)["workers"]} <= {"node-1"}
    assert small.wait(job)["state"] == "done"
    assert small.model_info("elsewhere")["digest"] == expected
    assert train(small.dataset("flights"), workers=2) == expected
