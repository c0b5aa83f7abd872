"""The keeper's benchmark runs tiny here, so that it never rots; it ends with an error if a value or a write is missing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BENCH = ROOT / "bench" / "keeper.py"
EVERY_GROUP = {"getData, pipelined", "setData, one in flight, p99", "sessions opened", "start to first reply", "memory, idle"}


def run(*words: str) -> Any:
    ended = subprocess.run(
        [sys.executable, str(BENCH), "--json", *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_the_keepers_bench_measures_everything_and_reads_back_what_was_written() -> None:
    measured = run("--quick", "--alone")
    figures = {figure["name"]: figure for figure in measured["figures"]}
    assert figures.keys() >= EVERY_GROUP
    assert all(figure["muskox"] > 0 for figure in figures.values())
    assert all(figure["ratio"] is None for figure in figures.values())
    assert measured["apache"] is None
    assert measured["generator"] == ("C" if shutil.which("cc") else "Python")
    assert len(measured["digest"]) == 16


@pytest.mark.skipif(not shutil.which("cc"), reason="without a compiler there is only the generator in Python")
def test_both_generators_ask_the_same() -> None:
    """Both digests are those of the values that were to be written, and every acknowledged write was found again."""
    in_c = run("--quick", "--alone", "--only", "latency")
    in_python = run("--quick", "--alone", "--only", "latency", "--python-generator")
    assert (in_c["generator"], in_python["generator"]) == ("C", "Python")
    assert in_c["digest"] == in_python["digest"]


def test_the_bench_of_the_machine_alone_computes_the_same_tree_each_time() -> None:
    words = ("--machine", "--nodes", "300", "--rounds", "2")
    first, second = run(*words), run(*words)
    assert first["digest"] == second["digest"]
    assert first["microseconds"].keys() == {"setData", "getData", "create", "exists", "delete", "getChildren"}


def test_an_unknown_group_is_named() -> None:
    ended = subprocess.run([sys.executable, str(BENCH), "--only", "speed"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "speed" in ended.stderr and "throughput" in ended.stderr
