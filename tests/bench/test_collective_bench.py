"""The benchmark of the collective runs tiny here, so that it never rots; it ends with an error if the sum has other bits."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent.parent / "bench" / "collective.py"


def test_the_collective_bench_runs_and_everybody_sums_the_same_bits() -> None:
    ended = subprocess.run(
        [sys.executable, str(BENCH), "--tiny", "--json"], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    rows = json.loads(ended.stdout)
    assert [row["bytes"] for row in rows] == [1000, 100_000]
    for row in rows:
        assert len(row["digest"]) == 64 and row["ours_ms"] > 0.0
        assert row["gloo_same"], "gloo's sum has other bits"
