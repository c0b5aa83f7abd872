import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent.parent / "bench" / "planning.py"


def test_the_planning_bench_runs_and_orders_the_same_each_time() -> None:
    command = [sys.executable, str(BENCH), "--tiny", "--json"]
    told = [
        json.loads(subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout) for _ in range(2)
    ]
    assert told[0]["digest"] == told[1]["digest"]
    assert sorted(told[0]["seconds"]) == ["a node died", "all form", "all wait", "nothing new"]
