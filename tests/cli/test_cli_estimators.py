"""Every word of ``muskox train`` on a real cluster: trained, listed, evaluated, predicted with, made again to the same bits."""

import json
import signal
import urllib.request
from pathlib import Path

import pytest
from command_line import Muskox

from muskox import trusted_code
from muskox.runtime import pinned_environment
from muskox.serve import read_output

NUMBERS = ["--features", "amount"]
CLASSES = ["--target", "late", "--features", "amount,city"]
AMOUNTS = ["--target", "key", "--features", "amount,city", "--task", "regression"]
TRAININGS = {
    "linear": (AMOUNTS, "r2"),
    "ridge": ([*AMOUNTS, "--set", "alpha=2"], "r2"),
    "logistic": ([*CLASSES, "--set", "l1_ratio=0.5", "--weight", "key"], "auc"),
    "svm": ([*CLASSES, "--set", "C=0.1"], "auc"),
    "sgd": ([*CLASSES, "--set", "max_rounds=20"], "auc"),
    "forest": ([*CLASSES, "--set", "n_estimators=5", "--set", "max_depth=4"], "auc"),
    "boosting": ([*AMOUNTS, "--set", "n_estimators=5"], "r2"),
    "bayes": (CLASSES, "auc"),
    "counts": (["--target", "late", "--features", "key"], "auc"),
    "mlp": ([*CLASSES, "--set", "hidden_layer_sizes=[8]", "--set", "max_rounds=20"], "auc"),
    "kmeans": ([*NUMBERS, "--set", "n_clusters=3"], "inertia"),
}


@pytest.mark.parametrize("word", TRAININGS)
def test_an_estimator_is_trained_and_used_from_the_command_line(muskox: Muskox, tmp_path: Path, word: str) -> None:
    words, metric = TRAININGS[word]
    trained = muskox.json("train", word, "rides", *words, "--name", f"a-{word}")
    assert muskox.json("models", f"a-{word}")["digest"] == trained["digest"]
    assert muskox.json("evaluate", f"a-{word}", "rides")[metric] is not None
    assert metric.replace("_", " ") in muskox.run("evaluate", f"a-{word}", "rides")[0]
    told = muskox.json("predict", f"a-{word}", "rides", "--output", str(tmp_path), "--columns", "key")
    assert read_output(tmp_path).num_rows == told["rows"] == 6000
    assert muskox.json("models", "verify", f"a-{word}")[0]["verdict"] == "same"


def test_a_module_in_a_file_is_trained_and_served_only_where_it_is_trusted(
    muskox: Muskox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "net.py"
    file.write_text("from torch import nn\n\ndef build(inputs, outputs):\n    return nn.Linear(inputs, outputs)\n")
    words = [*CLASSES, "--set", "max_rounds=20", "--name", "a-net", "--workers", "1"]
    trained = muskox.json("train", f"torch:{file}", "rides", *words)
    assert muskox.json("models", "a-net")["digest"] == trained["digest"]
    told = muskox.json("predict", "a-net", "rides", "--output", str(tmp_path / "out"), "--workers", "1")
    assert read_output(tmp_path / "out").num_rows == told["rows"] == 6000
    monkeypatch.setattr(trusted_code, "_trusted", {})  # as in the process of another command
    assert "this model contains Python code" in muskox.refused("serve", "a-net", "--port", "0")
    endpoint = muskox.start("serve", "a-net", "--port", "0", "--trust-code")
    try:
        assert endpoint.stdout is not None
        first, second = endpoint.stdout.readline(), endpoint.stdout.readline()
        pinned = [f"{name}={value}".encode() for name, value in pinned_environment().items()]
        assert set(pinned) <= set(Path(f"/proc/{endpoint.pid}/environ").read_bytes().split(b"\0"))
        url, key = first.split(" served at ")[1].split(";")[0], second.split()[1]
        asked = urllib.request.Request(f"{url}/predict", b'[{"amount": 1.5}, {}]', {"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert len(json.load(answer)["predictions"]) == 2
    finally:
        endpoint.send_signal(signal.SIGINT)
        _, err = endpoint.communicate(timeout=30)
    assert endpoint.returncode == 0 and not err


def test_components_are_predicted_with(muskox: Muskox, tmp_path: Path) -> None:
    muskox.json("train", "pca", "rides", "--features", "amount,key", "--set", "n_components=1", "--name", "a-pca")
    muskox.json("predict", "a-pca", "rides", "--output", str(tmp_path))
    assert read_output(tmp_path).schema.names == ["component_0"]


def test_the_help_of_an_estimator_lists_its_parameters(muskox: Muskox) -> None:
    out, _ = muskox.run("train", "forest", "--help")
    assert "n_estimators" in out and "RandomForestRegressor" in out and "default" in out
