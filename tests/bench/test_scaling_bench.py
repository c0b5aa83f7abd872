"""The benchmarks of scaling and of what the promise costs run tiny here; they end with an error if a digest differs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parent.parent.parent / "bench"


def run(name: str) -> Any:
    ended = subprocess.run(
        [sys.executable, str(BENCH / name), "--tiny", "--json"], capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_one_worker_two_workers_and_this_process_compute_one_model() -> None:
    for found in run("scaling.py")["trainings"].values():
        assert list(found["fits"]) == ["in process", "1 worker", "2 workers"] and len(found["digest"]) == 64


def test_the_promise_changes_no_bit() -> None:
    found = run("promise.py")
    assert [len(one["ratios"]) for one in found.values()] == [1, 1]
    assert all(len(one["digest"]) == 64 for one in found.values())
