"""The bench beside scikit-learn does not rot: it runs tiny here, and its digest says what it computed."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench" / "logistic.py"


def test_the_bench_reaches_the_same_objective_as_scikit_learn() -> None:
    command = [sys.executable, str(BENCH), "--tiny", "--shards", "3"]
    child = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert child.returncode == 0, child.stderr
    report = json.loads(child.stdout)
    ours, peers = report["muskox"]["objective"], report["scikit-learn"]["objective"]
    assert abs(ours - peers) <= 2e-6 * report["best_objective"]
    assert report["ratio"] > 0
    assert len(report["digest"]) == 64
