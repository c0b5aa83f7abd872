"""A worker whose memory is bounded trains to the same digest, within the bound."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench" / "memory.py"


def test_a_worker_stays_within_its_memory_and_gives_the_same_model() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCH), "--tiny", "--json"], capture_output=True, text=True, timeout=200, check=True
    )
    found = json.loads(done.stdout)
    assert found["same"] and found["under"], found
    assert found["bound"]["bytes"] < found["free"]["bytes"], "the bound changed what was kept"
