"""The commands against a real cluster: what they print, what they refuse, and that nothing needs the client that asked."""

import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from command_line import SECONDS_MAX, Muskox
from prometheus_client.parser import text_string_to_metric_families

SLOW = ["--set", "solver=gd", "--set", "max_rounds=100000", "--set", "tol=0", "--set", "learning_rate=1e-6"]


def test_status_gives_what_one_needs_to_kill_things_by_hand(muskox: Muskox) -> None:
    view = muskox.json("status")
    assert set(view) == {"zk", "keeper", "nodes", "jobs", "storage"} and view["jobs"] == []
    assert sum(node["coordinator"] for node in view["nodes"]) == 1
    for pid in [view["keeper"]["pid"], *(node["pid"] for node in view["nodes"])]:
        os.kill(pid, 0)
    out, _ = muskox.run("status")
    assert "node-1" in out and "coordinator" in out and f"keeper pid {view['keeper']['pid']}" in out


def test_every_node_of_a_local_cluster_serves_its_figures(muskox: Muskox) -> None:
    nodes = muskox.json("status")["nodes"]
    told: dict[str, float] = {}
    for node in nodes:
        with urllib.request.urlopen(node["metrics"], timeout=30) as answer:
            for family in text_string_to_metric_families(answer.read().decode()):
                for sample in family.samples:
                    told[sample.name] = told.get(sample.name, 0.0) + sample.value
    assert told["muskox_is_coordinator"] == 1 and "muskox_jobs_waiting" in told
    assert told["muskox_results_total"] >= 1, "the fixture trained a model"
    assert told["muskox_rounds_total"] > 1 and told["muskox_rows_total"] >= 6000
    assert told["muskox_generations_total"] >= 1 and told["muskox_cores"] >= 2
    assert nodes[0]["metrics"] in muskox.run("status")[0]


def test_datasets_are_listed_described_and_verified(muskox: Muskox) -> None:
    (listed,) = muskox.json("datasets")
    assert (listed["name"], listed["version"], listed["rows"], listed["shards"]) == ("rides", 1, 6000, 4)
    described = muskox.json("datasets", "rides")
    assert described["columns"] == {"key": "int", "amount": "float", "city": "string", "late": "bool"}
    assert all(len(shard["nodes"]) == 2 for shard in described["placement"])
    assert "rides@1" in muskox.run("datasets")[0] and "amount float" in muskox.run("datasets", "rides@1")[0]
    assert "all 8 replicas of 4 shards are good" in muskox.run("datasets", "verify", "rides")[0]


def test_a_new_version_needs_to_be_asked_for(muskox: Muskox, tmp_path: Path) -> None:
    file = tmp_path / "more.csv"
    file.write_text("a,b\n1,x\n2,y\n")
    assert "more@1" in muskox.run("put", "more", str(file), "--shards", "1")[0]
    assert "--overwrite, --append" in muskox.refused("put", "more", str(file))
    assert muskox.json("put", "more", str(file), "--append")["rows"] == 4
    assert muskox.json("put", "more", str(file), "--overwrite", "--type", "a=string")["columns"]["a"] == "string"
    assert "removed more" in muskox.run("rm", "more", "--yes")[0]
    assert [dataset["name"] for dataset in muskox.json("datasets")] == ["rides"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "empty"), ("a,b\n1,2\n3\n", "line 3"), ("a,a\n1,2\n", "'a'"), ("a,b\n1,2\nx,2\n", "'a'")],
)
def test_a_bad_file_is_told_by_name_and_leaves_nothing(muskox: Muskox, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    sentence = muskox.refused("put", "bad", str(file))
    assert said in sentence and "bad.csv" in sentence
    assert [dataset["name"] for dataset in muskox.json("datasets")] == ["rides"]


def test_a_model_carries_where_it_comes_from(muskox: Muskox) -> None:
    model = muskox.json("models", "late")
    assert {"name", "digest", "dataset", "rounds", "metrics", "lineage"} <= set(model)
    assert (model["dataset"], model["lineage"]["target"]) == ("rides@1", "late")
    assert model["digest"][:12] in muskox.run("models")[0] and model["digest"] in muskox.run("models", "late")[0]
    again = muskox.json(
        "train", "logistic", "rides", "--target", "late", "--features", "amount,city", "--name", "again", "--workers", "1"
    )
    assert again["digest"] == model["digest"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rides", "--target", "nope"], "no column 'nope'"),
        (["rides", "--target", "late", "--features", "nope"], "no column 'nope'"),
        (["nowhere", "--target", "late"], "no dataset 'nowhere'"),
        (["rides", "--target", "late", "--set", "solver=magic"], "solver='magic'"),
        (["rides", "--target", "city", "--features", "amount", "--set", "C=-1"], "C=-1"),
        (["rides", "--target", "key"], "more than 1000 classes"),
    ],
)
def test_a_training_that_cannot_be_says_why(muskox: Muskox, words: list[str], said: str) -> None:
    assert said in muskox.refused("train", "logistic", *words, "--name", "never")
    assert "never" not in {model["name"] for model in muskox.json("models")}


def test_evaluation_prints_scores_and_the_confusion_matrix(muskox: Muskox) -> None:
    found = muskox.json("evaluate", "late", "rides")
    assert found["auc"] > 0.8 and sum(map(sum, found["confusion"])) == found["rows"] == 6000
    out, _ = muskox.run("evaluate", "late", "rides")
    assert f"{found['auc']:.6g}" in out and "predicted True" in out
    assert "no column 'nope'" in muskox.refused("evaluate", "late", "rides", "--target", "nope")


def test_predictions_are_the_files_that_the_manifest_names(muskox: Muskox, tmp_path: Path) -> None:
    manifest = muskox.json("predict", "late", "rides", "--output", str(tmp_path / "out"), "--columns", "key")
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
    parts = [pyarrow.parquet.read_table(tmp_path / "out" / entry["file"]) for entry in manifest["files"]]
    assert sorted(key for part in parts for key in part.column("key").to_pylist()) == list(range(6000))
    assert "6,000 predictions in 4 files" in muskox.run("predict", "late", "rides", "-o", str(tmp_path / "out"))[0]
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 4
    (tmp_path / "file").write_text("")
    assert "cannot write to the output folder" in muskox.refused("predict", "late", "rides", "-o", str(tmp_path / "file"))


def ask(url: str, key: str, rows: Any) -> Any:
    request = urllib.request.Request(f"{url}/predict", json.dumps(rows).encode(), {"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_an_endpoint_answers_whoever_has_its_key(muskox: Muskox) -> None:
    endpoint = muskox.start("serve", "late", "--port", "0")
    try:
        assert endpoint.stdout is not None
        first, second = endpoint.stdout.readline(), endpoint.stdout.readline()
        url, key = first.split(" served at ")[1].split(";")[0], second.split()[1]
        with urllib.request.urlopen(f"{url}/healthz", timeout=30) as answer:
            assert json.load(answer)["model"] == muskox.json("models", "late")["digest"]
        assert len(ask(url, key, [{"amount": 1.5, "city": "Rome"}, {}])["predictions"]) == 2
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(url, "wrong", [{}])
        with refused.value:
            assert refused.value.code == 401
        port = url.rpartition(":")[2]
        assert "in use; choose another --port" in muskox.refused("serve", "late", "--port", port)
    finally:
        endpoint.send_signal(signal.SIGINT)
        _, err = endpoint.communicate(timeout=30)
    assert endpoint.returncode == 0 and not err


def test_an_endpoint_takes_a_key_of_ones_own(muskox: Muskox, tmp_path: Path) -> None:
    (tmp_path / "short").write_text("abc\n")
    assert "at least 16" in muskox.refused("serve", "late", "--port", "0", "--api-key-file", str(tmp_path / "short"))
    assert "cannot read" in muskox.refused("serve", "late", "--port", "0", "--api-key-file", str(tmp_path / "none"))


def test_leaving_a_training_leaves_it_running_and_one_can_come_back(muskox: Muskox) -> None:
    words = ["rides", "--target", "late", "--features", "amount,city", "--name", "slow"]
    training = muskox.start("train", "logistic", *words, *SLOW)
    assert training.stderr is not None
    while not training.stderr.readline().startswith("round "):
        assert training.poll() is None
    training.send_signal(signal.SIGINT)
    _, err = training.communicate(timeout=30)
    assert training.returncode == 1 and "attaches again" in err
    job_id = err.partition("job ")[2].split()[0]
    record = muskox.json("jobs", job_id)
    assert record["state"] == "running" and {worker["node"] for worker in record["workers"]} == {"node-1", "node-2"}
    assert job_id in muskox.run("status")[0] and job_id in muskox.run("jobs")[0] and job_id in muskox.run("logs", job_id)[0]
    following = muskox.start("jobs", job_id, "--follow", "--json")
    assert following.stdout is not None
    assert json.loads(following.stdout.readline())["round"] >= 1
    drained = threading.Thread(target=following.communicate)
    assert f"cancelled {job_id}" in muskox.run("cancel", job_id)[0]
    drained.start()
    drained.join(60)
    assert following.returncode == 1
    assert "was cancelled already" in muskox.run("cancel", job_id)[0]
    assert muskox.json("jobs", job_id)["state"] == "cancelled"


def test_a_detached_training_prints_its_job(muskox: Muskox) -> None:
    words = ["rides", "--target", "late", "--features", "amount,city", "--name", "detached"]
    job_id = muskox.json("train", "logistic", *words, "--detach")["id"]
    last = muskox.run("jobs", job_id, "--follow", "--json")[0].splitlines()[-1]
    assert json.loads(last)["state"] == "done" and json.loads(last)["model"] == "detached"
    assert "done" in muskox.run("jobs", job_id, "--follow")[0]


def test_settings_are_shown_and_changed(muskox: Muskox) -> None:
    assert muskox.json("config", "get")["silence_s"] == 10
    assert "silence_s is 12 now" in muskox.run("config", "set", "silence_s", "12")[0]
    assert muskox.run("config", "get", "silence_s")[0].strip() == "12"
    muskox.run("config", "set", "silence_s", "10")
    assert "silence_s is 11 now" in muskox.run("config", "silence_s=11")[0]
    assert muskox.run("config", "silence_s")[0].strip() == "11" and "seconds without a word" in muskox.run("config")[0]
    muskox.run("config", "set", "silence_s", "10")
    assert "between" in muskox.refused("config", "set", "silence_s", "0")
    assert "there is no setting 'x'" in muskox.refused("config", "get", "x")


def test_logs_are_shown_by_process(muskox: Muskox) -> None:
    assert "node-1 | " in muskox.run("logs")[0]
    assert len(muskox.run("logs", "node-2", "-n", "1")[0].splitlines()) == 1
    assert "there are" in muskox.refused("logs", "node-9")


def test_a_wrong_secret_opens_nothing(muskox: Muskox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("0" * 64)
    secret.chmod(0o600)
    zk = muskox.json("status")["zk"]
    assert "the secret does not open the cluster" in muskox.refused("status", "--zk", zk, "--secret-file", str(secret))
    assert muskox.run("status", "--zk", zk, "--secret-file", str(muskox.folder / "secret"))[0].startswith(zk)


def test_up_starts_what_is_missing(muskox: Muskox) -> None:
    before = {node["name"]: node["pid"] for node in muskox.json("status")["nodes"]}
    os.kill(before["node-2"], signal.SIGKILL)
    muskox.spawn("up")
    deadline = time.monotonic() + SECONDS_MAX  # until its session has expired, the dead node counts as a member
    while (after := {node["name"]: node["pid"] for node in muskox.json("status")["nodes"]})["node-2"] == before["node-2"]:
        assert time.monotonic() < deadline
    assert set(after) == {"node-1", "node-2", "node-3"}, "three is the default, so one was added"
    assert after["node-1"] == before["node-1"]
    muskox.spawn("up")
    assert {node["name"]: node["pid"] for node in muskox.json("status")["nodes"]} == after


def test_a_port_in_use_is_told_by_the_keeper(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        said = Muskox(tmp_path).spawn("keeper", "--data-dir", str(tmp_path / "k"), "--client-port", port, code=1)[1]
    assert port in said and said.count("\n") == 1


def test_a_node_says_why_it_cannot_start(muskox: Muskox, tmp_path: Path) -> None:
    zk, secret = muskox.json("status")["zk"], str(muskox.folder / "secret")
    where = ["node", "--zk", zk, "--secret-file", secret, "--dir"]
    said = muskox.spawn(*where, str(muskox.folder / "nodes" / "node-1"), code=1)[1]
    assert "a node runs in" in said
    said = muskox.spawn(*where, str(tmp_path / "n"), "--tls-cert", "x", code=1)[1]
    assert "all three" in said
    (tmp_path / "node.json").write_text("[]")
    assert "is not what a node wrote" in muskox.spawn(*where, str(tmp_path), code=1)[1]
