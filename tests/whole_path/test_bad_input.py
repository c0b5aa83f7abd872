"""What a user or a stranger gets wrong on a running cluster: one sentence, nothing left behind, nobody else disturbed."""

import os
import socket

import pyarrow as pa
import pytest
from killing import estimator, train
from whole_path_data import TARGET

import muskox as mx
from muskox.coordination import layout


def test_a_job_with_an_unknown_column_fails_with_a_sentence(cluster, dataset) -> None:
    with pytest.raises(mx.CallerError, match=r"'lat'.*month"):
        mx.LogisticRegression(features=["month"]).fit(dataset, target="lat")
    job = cluster.jobs()[0]
    assert job["state"] == "failed" and "\n" not in job["reason"]


def test_a_target_with_one_class_fails_with_a_sentence_and_leaves_no_model(cluster) -> None:
    table = pa.table({"x": [1.0, 2.0, 3.0, 4.0], "late": [True] * 4})
    single = cluster.put("single", table, shards=2, overwrite=True)
    with pytest.raises(mx.CallerError, match="late"):
        mx.LogisticRegression().fit(single, target="late", name="single")
    assert "single" not in [model["name"] for model in cluster.models()]


def test_infinity_is_refused_where_it_lies(cluster) -> None:
    table = pa.table({"x": [1.0, float("inf"), 3.0, 4.0], "late": [True, False, True, False]})
    infinite = cluster.put("infinite", table, shards=2, overwrite=True)
    with pytest.raises(mx.CallerError, match="'x'"):
        mx.LogisticRegression().fit(infinite, target="late")


def test_a_program_that_raises_fails_its_job_and_says_where(cluster, dataset) -> None:
    with pytest.raises(mx.CallerError, match=r"ZeroDivisionError in partial \(round 1, shard \d+\)"):
        mx.rounds(
            dataset,
            initial=lambda manifest: {"n": 0},
            partial=lambda state, shard, blocks: {"n": 1 // state["n"]},
            merge=lambda left, right: {"n": left["n"] + right["n"]},
            update=lambda state, total: mx.Done(total),
        )


def test_a_program_of_a_users_own_runs_on_the_cluster(cluster, dataset, flights) -> None:
    result = mx.rounds(
        dataset,
        initial=lambda manifest: {},
        partial=lambda state, shard, blocks: {"rows": sum(block.rows for block in blocks)},
        merge=lambda left, right: {"rows": left["rows"] + right["rows"]},
        update=lambda state, total: mx.Done(total),
    )
    assert result == {"rows": flights.num_rows}


def test_a_cancelled_job_stops_and_leaves_no_workers(cluster, dataset) -> None:
    endless = mx.LogisticRegression(max_rounds=100_000, solver="gd", learning_rate=1e-9, tol=0.0)
    job = cluster.submit(endless, dataset, TARGET, name="never", features=["month"])
    next(cluster.follow(job))
    assert cluster.cancel(job)
    assert cluster.wait(job)["state"] == "cancelled"
    assert not cluster.cancel(job), "it is over already"
    with pytest.raises(mx.CallerError, match="no model"):
        cluster.model_info("never")


def test_a_wrong_secret_opens_nothing(cluster, tmp_path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("0" * 64)
    secret.chmod(0o600)
    with pytest.raises(mx.CallerError, match="the secret does not open the cluster"):
        mx.connect(cluster.url, secret_file=secret)


def test_garbage_on_every_port_disturbs_nobody(cluster, dataset, expected) -> None:
    """Flight's, the collective's and the keeper's ports get random bytes while a job runs."""
    sent: set[str] = set()

    def throw(report) -> None:
        job = cluster.status()["jobs"]
        if sent or not job:
            return
        generation = cluster.session.find(layout.generation(job[0]["id"]), layout.GenerationRecord)
        workers = [member.address for member in generation[0].members]
        nodes = [node["address"] for node in cluster.status()["nodes"]]
        for address in [*workers, *nodes, cluster.session.address.hosts]:
            host, _, port = address.rpartition(":")
            with socket.create_connection((host, int(port)), 5) as connection:
                connection.sendall(os.urandom(4096))
            sent.add(address)

    generations = set()
    model = estimator().fit(dataset, target=TARGET, on_round=lambda report: (throw(report), generations.add(report.generation)))
    assert model.digest_ == expected
    assert len(sent) == 7 and generations == {1}, "three workers, three nodes, one keeper, and nobody put out"


def test_a_removed_dataset_is_gone_and_its_name_free(cluster) -> None:
    cluster.put("brief", pa.table({"x": [1, 2, 3]}), shards=1)
    with pytest.raises(mx.CallerError, match="brief"):
        cluster.put("brief", pa.table({"x": [1, 2, 3]}), shards=1)
    cluster.remove_dataset("brief")
    with pytest.raises(mx.CallerError, match="brief"):
        cluster.dataset("brief")
    assert cluster.put("brief", pa.table({"x": [4]}), shards=1).rows == 1


def test_a_fit_after_all_that_is_as_before(cluster, dataset, expected) -> None:
    assert train(dataset) == expected
