"""The rehearsal of a rack's loss runs tiny here, so that it never rots; it ends with an error if anything is lost."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parent.parent.parent / "bench" / "rack_loss.py"


def run() -> Any:
    ended = subprocess.run(
        [sys.executable, str(BENCH), "--tiny", "--json"], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_losing_a_rack_loses_nothing_and_each_rehearsal_ends_alike() -> None:
    first, second = run(), run()
    assert first["nodes_gone"] == 5 and first["below"] > 0
    assert first["lost"] == first["still_below"] == 0
    assert first["lost_without_racks"] > 0
    assert first["copied_gb"] == first["below"] * first["shards_a_run"] * 0.064
    assert first["digest"] == second["digest"]
