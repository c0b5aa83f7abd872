"""The soak plays one history here, so that it never rots; it ends with an error if anything differs or is left behind."""

import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent.parent / "bench" / "soak.py"


def test_the_soak_tells_the_history_that_it_played() -> None:
    ended = subprocess.run(
        [sys.executable, str(BENCH), "--seed", "25"], capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    first, summary, *_ = ended.stdout.splitlines()
    assert first.startswith("seed 25: ") and "same digest" in first
    assert summary.startswith("1 histories") and summary.endswith("no difference:")
