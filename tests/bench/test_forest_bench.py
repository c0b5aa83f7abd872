"""The benchmark of forests and boosted trees runs tiny here; it ends with an error if a digest differs or a score is missed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent.parent.parent / "bench" / "forest.py"


def test_trees_are_as_good_as_their_peers() -> None:
    pytest.importorskip("xgboost")
    ended = subprocess.run([sys.executable, str(BENCH), "--tiny"], capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert set(report["forest"]["ratios"]) == {"scikit-learn"} and set(report["boosting"]["ratios"]) == {
        "XGBoost",
        "scikit-learn",
    }
    assert all(len(found["digest"]) == 64 for found in report["on 2 workers"].values())
