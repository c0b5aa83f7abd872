"""The promise, for jobs of tasks and for programs that share their rounds: kill -9 of any one process, and the same bits."""

import os
import random
import signal
from typing import Any

import numpy as np
import pytest
from killing import Killer, until
from whole_path_data import BY, SEED, SHARDS, TARGET

import muskox as mx
from muskox import runtime
from muskox.client import down, up
from muskox.client.user_tasks import UserTasks
from muskox.coordination import layout
from muskox.digest import digest
from muskox.program import ArrayPartition, RunOptions, Runs, in_process

TASKS = 30
TURNS = 24  # of a task: a tenth of a second of work each, so that a killer has time to look
FOLD_ROUNDS = 25
ROLES = ["worker", "root", "node", "coordinator", "keeper"]


def search(task: dict[str, Any], shards: mx.Shards) -> dict[str, Any]:
    """Look for the weights of two columns that tell the target best, at random: work that takes a while and leaves an array.

    task : its number "n", and how many "times" the same is done
    """
    table = shards.to_arrow()
    late = table.column(TARGET).to_numpy(zero_copy_only=False)
    columns = np.stack([table.column(name).to_numpy() for name in ("distance", "month")], axis=1).astype(np.float64)
    for turn in range(TURNS * task["times"]):
        if turn % TURNS == 0:
            draw, best, found = mx.stream(SEED, "search", round=task["n"]), -1.0, np.zeros(2)
        weights = draw.normal(size=2)
        order = np.argsort(columns[:, 0] * weights[0] + columns[:, 1] * weights[1], kind="stable")
        score = float(np.mean(late[order[: len(order) // 4]]))
        if score > best:
            best, found = score, weights
    return {"n": task["n"], "best": best, "weights": found, "rows": len(late)}


def wanted(task: dict[str, Any], manifest: mx.Manifest) -> list[int]:
    """Three shards of all: most lie with another worker."""
    return [(task["n"] + step) % manifest.shards for step in (0, 4, 7)]


def listed(times: int = 1) -> UserTasks:
    return UserTasks([{"n": n, "times": times} for n in range(TASKS)], search, None, wanted)


def run(dataset: Runs, **options: Any) -> str:
    return digest(dataset.run(listed(), RunOptions(**options)).result)


@pytest.fixture(scope="module")
def whole(flights) -> str:
    """The digest of the undisturbed tasks, in process."""
    return run(in_process(flights, ArrayPartition(SHARDS, BY)))


@pytest.mark.parametrize("role", ROLES)
def test_a_death_changes_no_bit_of_any_task(cluster, dataset, whole, role: str) -> None:
    killer = Killer(cluster, role, random.Random(f"{SEED}/tasks/{role}"))
    killer.at = killer.at % (TASKS // 4) + 1  # there is time to look who it is
    assert run(dataset, on_round=killer) == whole, f"killed the {role} after {killer.at} tasks"
    assert killer.pid, f"the tasks ended before {killer.at} were told of"


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_number_of_workers_changes_no_bit_of_any_task(cluster, dataset, whole, workers: int) -> None:
    assert run(dataset, workers=workers) == whole


def test_a_dataset_of_one_shard_keeps_no_worker_from_its_tasks(cluster, flights) -> None:
    one = cluster.put("one-shard", flights.slice(0, 2000), shards=1)
    found = mx.tasks(one, tasks=[{"n": n} for n in range(6)], run=lambda task, shards: {"n": task["n"], "rows": shards.rows})
    assert found == [{"n": n, "rows": 2000} for n in range(6)]
    job = cluster.jobs()[0]["id"]
    generation, _ = cluster.session.get(layout.generation(job), layout.GenerationRecord, "generation")
    assert len(generation.members) > 1


def test_a_paused_worker_of_a_task_job_is_left_behind(cluster, dataset, whole) -> None:
    cluster.set_config("silence_s", 1)
    try:
        killer = Killer(cluster, "root", random.Random(f"{SEED}/tasks/pause"), blow=lambda pid: os.kill(pid, signal.SIGSTOP))
        killer.at = 3
        assert run(dataset, on_round=killer) == whole
        assert killer.pid
    finally:
        cluster.set_config("silence_s", 10)


def test_a_task_that_fails_fails_its_job_with_a_sentence(cluster, dataset) -> None:
    def fail(task: dict[str, Any], shards: mx.Shards) -> dict[str, Any]:
        return {"x": [1, 2][task["n"]]}

    with pytest.raises(mx.CallerError, match=r"the program raised IndexError in run \(task 2\): list index out of range"):
        mx.tasks(dataset, tasks=[{"n": n} for n in range(3)], run=fail)


def test_all_tasks_may_be_audited_and_a_result_that_is_not_pure_is_found(cluster, dataset, whole) -> None:
    assert run(dataset, audit=1.0) == whole
    with pytest.raises(mx.CallerError, match=r"different results on .* workers, and there is no other to decide"):
        mx.tasks(
            dataset,
            tasks=[{"n": n} for n in range(3)],
            run=lambda task, shards: {"x": np.random.default_rng().random(3)},
            options=RunOptions(audit=1.0),
        )


def test_a_job_says_what_runs_side_by_side_in_it(cluster, dataset, whole) -> None:
    run(dataset)
    job = cluster.jobs()[0]
    assert (job["kind"], job["round"], job["state"]) == ("tasks", TASKS, "done")
    assert cluster.session.get(layout.job(job["id"]), layout.JobRecord, "job")[0].parallelism == "task"


def test_every_process_at_once_and_the_tasks_go_on_from_what_is_durable(tmp_path, flights, whole) -> None:
    with up(tmp_path, nodes=2) as cluster:
        try:
            cluster.set_config("checkpoint_interval_s", 0.1)
            dataset = cluster.put("flights", flights, shards=SHARDS, by=BY, replicas=2)
            job = runtime.submit(cluster.home, cluster._engine.spec(listed(), dataset, RunOptions()))
            reports = cluster.follow(job)
            while next(reports).round < TASKS // 2 or not cluster.session.children(layout.pieces(job)):
                pass
            status = cluster.status()
            for pid in [status["keeper"]["pid"], *(node["pid"] for node in status["nodes"])]:
                os.kill(pid, signal.SIGKILL)
            until(lambda: not any(cluster.folder.node_pid(f"node-{n}") for n in (1, 2)), "the end of every node")
            with up(tmp_path, nodes=2) as again:
                assert next(again.follow(job)).round > 1, "what was durable was not run again"
                assert again.wait(job)["state"] == "done"
                state = runtime.job_state(again.session, job)
                assert digest(runtime.result(again.home, job, state)) == whole
                until(lambda: not again.session.children(layout.pieces(job)), "the end of the pieces")
        finally:
            down(tmp_path)


def short() -> mx.LogisticRegression:
    return mx.LogisticRegression(max_rounds=FOLD_ROUNDS, tol=1e-13, features=["month", "hour", "distance", "carrier"])


def test_tasks_make_room_for_an_urgent_job_and_go_on_from_all_that_was_finished(tmp_path, flights, whole) -> None:
    with up(tmp_path, nodes=1) as cluster:
        try:
            cluster.set_config("checkpoint_interval_s", 3600)
            dataset = cluster.put("flights", flights, shards=SHARDS, by=BY)
            cores = cluster.status()["nodes"][0]["cores"]
            low = runtime.submit(cluster.home, cluster._engine.spec(listed(4), dataset, RunOptions(cores=cores)))
            reports = cluster.follow(low)
            while next(reports).round < TASKS // 2:
                pass
            mx.tasks(dataset, tasks=[{}], run=lambda task, shards: {}, options=RunOptions(cores=cores, priority=5))
            assert next(report.round for report in reports if report.generation > 1) >= TASKS // 2, "none ran again"
            assert cluster.wait(low)["state"] == "done"
            state = runtime.job_state(cluster.session, low)
            assert digest(runtime.result(cluster.home, low, state)) == whole
        finally:
            down(tmp_path)


@pytest.fixture(scope="module")
def folds(flights) -> list[str]:
    """The digests of the undisturbed folds, in process."""
    partition = ArrayPartition(SHARDS, BY)
    return [digest(fold) for fold in mx.cross_validate(short(), flights, target=TARGET, folds=3, partition=partition)]


@pytest.mark.parametrize("role", ROLES)
def test_a_death_changes_no_bit_of_programs_that_share_their_rounds(cluster, dataset, folds, role: str) -> None:
    killer = Killer(cluster, role, random.Random(f"{SEED}/folds/{role}"))
    killer.at = killer.at % (FOLD_ROUNDS // 2) + 1  # two folds of three run at a time: there are twice as many rounds
    options = RunOptions(on_round=killer)
    found = mx.cross_validate(short(), dataset, target=TARGET, folds=3, at_once=2, options=options)
    assert [digest(fold) for fold in found] == folds, f"killed the {role} after round {killer.at}"
    assert killer.pid
