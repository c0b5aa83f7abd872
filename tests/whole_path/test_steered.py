"""Changes made while a job runs, whoever dies meanwhile: recorded once, and the record replays to the same bits."""

import os
import random
import signal
import threading
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from killing import Killer, until
from whole_path_data import BY, FEATURES, SEED, SHARDS, TARGET

import muskox as mx
from muskox.coordination import course, layout
from muskox.learn import LogisticRegression
from muskox.program import ArrayPartition, Manifest, RoundReport, RunOptions, Shard, in_process

ROUNDS = 100_000  # more than a test lets it run: max_rounds is changed on the way
LAST = 40  # rounds after the last change


def descent() -> LogisticRegression:
    return LogisticRegression(solver="gd", learning_rate=0.05, max_rounds=ROUNDS, tol=0.0, features=FEATURES)


def replayed(flights: Any, changes: Any) -> str:
    """Return the digest of a run in process with the same changes at the same rounds."""
    options = RunOptions(changes=[(change["round"], change["values"]) for change in changes])
    return descent().fit(flights, target=TARGET, shards=SHARDS, by=BY, options=options).digest_


def recorded(cluster: mx.Cluster, job: str) -> list[course.Change]:
    found = cluster.session.find(layout.changes(job), course.ChangesRecord)
    return [] if found is None else found[0].changes


def end_soon(cluster: mx.Cluster, job: str) -> None:
    """Have the job end a few rounds from now: a change as good as any."""
    cluster.change_job(job, max_rounds=cluster.job(job)["round"] + LAST)


def test_a_steered_training_replays_with_the_same_bits(cluster, dataset, flights) -> None:
    job = cluster.submit(descent(), dataset, TARGET, name="steered")
    assert [parameter["name"] for parameter in cluster.job_parameters(job)] == ["max_rounds", "learning_rate"]
    first = cluster.change_job(job, learning_rate=0.2)
    assert {p["name"]: p["value"] for p in cluster.job_parameters(job)} == {"max_rounds": ROUNDS, "learning_rate": 0.2}
    with pytest.raises(mx.CallerError, match=r"learning_rate=-1\.0: it must be a finite number above 0"):
        cluster.change_job(job, learning_rate=-1.0)
    with pytest.raises(mx.CallerError, match="C cannot change while this job runs: what can is max_rounds, learning_rate"):
        cluster.change_job(job, C=2.0)
    end_soon(cluster, job)
    assert cluster.wait(job)["state"] == "done"
    lineage = cluster.model_info("steered")["lineage"]
    assert [change["round"] for change in lineage["changes"]] == [change.round for change in recorded(cluster, job)]
    assert lineage["changes"][0] == {"round": first, "values": {"learning_rate": 0.2}}
    assert replayed(flights, lineage["changes"]) == cluster.model_info("steered")["digest"]
    assert cluster.verify_model("steered").verdict == "same"
    with pytest.raises(mx.CallerError, match="is done: nothing of it can change any more"):
        cluster.change_job(job, learning_rate=0.1)


def has_come(cluster: mx.Cluster, job: str, moment: str, before: int) -> bool:
    """Return whether a change is recorded, or at least wished for."""
    is_wished = moment == "wished" and bool(cluster.session.children(layout.wishes(job)))
    return is_wished or len(recorded(cluster, job)) > before


class Weighted:
    """A program of a user's own: counts rows with a weight that may change."""

    def initial(self, manifest: Manifest) -> dict[str, Any]:
        return {"round": 0, "weight": 1.0, "sum": 0.0}

    def partial(self, state: Any, shard: Shard, blocks: Any) -> dict[str, Any]:
        return {"rows": shard.rows}

    def merge(self, left: Any, right: Any) -> dict[str, Any]:
        return {"rows": left["rows"] + right["rows"]}

    def update(self, state: Any, total: Any) -> Any:
        after = {**state, "round": state["round"] + 1, "sum": state["sum"] + state["weight"] * total["rows"]}
        is_over = after["weight"] > 1.0 and after["round"] % 50 == 0
        return mx.Done({"sum": after["sum"], "round": after["round"]}) if is_over else after

    def adjustable(self) -> dict[str, str]:
        return {"weight": "how much a row counts; the program ends some time after it is above 1"}

    def adjust(self, state: Any, changes: Any) -> dict[str, Any]:
        if changes["weight"] < 0:
            raise mx.CallerError(f"weight={changes['weight']:g}: it must not be below 0")
        return {**state, **changes}


def test_a_program_of_a_users_own_is_steered_too(cluster, dataset, flights) -> None:
    rounds: list[int] = []
    said: list[str] = []

    def steer() -> None:
        (job,) = [job["id"] for job in cluster.jobs() if job["state"] == "running"]
        with pytest.raises(mx.CallerError) as refused:
            cluster.change_job(job, weight=-1.0)
        said.append(str(refused.value))
        rounds.append(cluster.change_job(job, weight=2.0))

    steering = threading.Thread(target=steer)

    def on_round(report: RoundReport) -> None:
        if steering.ident is None:
            steering.start()

    result = dataset.run(Weighted(), RunOptions(on_round=on_round)).result
    steering.join(60)
    assert said == ["weight=-1: it must not be below 0"]
    changes = [(rounds[0], {"weight": 2.0})]
    here = in_process(flights, ArrayPartition(SHARDS, BY)).run(Weighted(), RunOptions(changes=changes)).result
    assert here == result


def kill_root(cluster: mx.Cluster, job: str) -> None:
    with suppress(ProcessLookupError, IndexError):
        os.kill(cluster.job(job)["workers"][0]["pid"], signal.SIGKILL)


@pytest.mark.parametrize("moment", ["wished", "recorded"])
def test_the_roots_death_loses_no_change_and_doubles_none(cluster, dataset, flights, moment: str) -> None:
    """The root is killed as soon as a wish is there, or the record of it: the total of that round may be out or not."""
    job = cluster.submit(descent(), dataset, TARGET, name=moment)
    until(lambda: bool(cluster.job(job)["round"]), "the first round")
    for rate in (0.2, 0.1, 0.3):
        until(lambda: len(cluster.job(job)["workers"]) > 1, "somebody who outlives the root")  # three deaths may leave nobody
        before = len(recorded(cluster, job))
        asking = threading.Thread(target=cluster.change_job, args=(job,), kwargs={"learning_rate": rate})
        asking.start()
        until(partial(has_come, cluster, job, moment, before), f"the change to {rate}")
        kill_root(cluster, job)
        asking.join(60)
        assert not asking.is_alive()
    end_soon(cluster, job)
    assert cluster.wait(job)["state"] == "done"
    model = cluster.model_info(moment)
    rates = [change["values"]["learning_rate"] for change in model["lineage"]["changes"] if "learning_rate" in change["values"]]
    assert rates == [0.2, 0.1, 0.3]
    assert model["lineage"]["deaths_total"] >= 1
    assert replayed(flights, model["lineage"]["changes"]) == model["digest"]


@pytest.mark.parametrize("role", ["worker", "coordinator", "keeper", "node"])
def test_a_change_in_the_midst_of_a_death_is_made_once(cluster, dataset, flights, role: str) -> None:
    job = cluster.submit(descent(), dataset, TARGET, name=f"steered-{role}")
    killer = Killer(cluster, role, random.Random(f"{SEED}/steered/{role}"))
    asking: list[threading.Thread] = []

    def watch(report: RoundReport) -> None:
        killer(report)
        if killer.pid and not asking:
            asking.append(threading.Thread(target=cluster.change_job, args=(job,), kwargs={"learning_rate": 0.2}))
            asking[0].start()

    for report in cluster.follow(job):
        watch(report)
        if asking and not asking[0].is_alive():
            break
    end_soon(cluster, job)
    assert cluster.wait(job)["state"] == "done"
    model = cluster.model_info(f"steered-{role}")
    assert [change["values"] for change in model["lineage"]["changes"]][:1] == [{"learning_rate": 0.2}]
    assert replayed(flights, model["lineage"]["changes"]) == model["digest"]
