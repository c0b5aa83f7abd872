"""The count of a round's messages runs tiny here, so that it never rots; it ends with an error if a round does not end."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_rehearsal_of_many_workers_counts_rounds_of_every_form() -> None:
    command = [sys.executable, str(ROOT / "bench" / "thousand_workers.py"), "--tiny", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    two, twenty = json.loads(ended.stdout)["clusters"]
    assert [row["messages"] for row in two["rounds"]] == [2, 2, 2, 2], "each its part to the other"
    small, _, large, in_a_row = twenty["rounds"]
    assert small["messages"] == 2 * (twenty["workers"] - 1), "up a tree and down"
    assert (small["form"], large["form"]) == ("sums", "slices")
    assert in_a_row["bytes_most"] < large["bytes_most"] < 4 * large["bytes_of_a_ring"]
