"""The benchmark of recovery runs tiny here, so that it never rots; it ends with an error if a digest differs."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent.parent / "bench" / "recovery.py"


def test_the_recovery_bench_runs_and_every_fit_has_the_same_digest() -> None:
    ended = subprocess.run(
        [sys.executable, str(BENCH), "--tiny", "--json", "--roles", "worker"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    measured = json.loads(ended.stdout)
    assert len(measured["digest"]) == 64
    assert [len(seconds) for seconds in measured["seconds"].values()] == [1]
