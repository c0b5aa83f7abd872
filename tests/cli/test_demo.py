"""The demo as its reader runs it, kills included: it ends by itself, with one model."""

import os
import re
import subprocess
import sys
from pathlib import Path

SECONDS_MAX = 150


def test_the_demo_tells_its_story_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "muskox", "demo"],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env={**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path / "home")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    digests = re.search(r"model digest +(\w+) +(\w+)", done.stdout)
    assert digests is not None and digests[1] == digests[2]
    assert "The same model, bit for bit." in done.stdout
    assert re.search(r"SIGKILL to node-\d .* the next round finished [\d.]+ s later", done.stdout)
    assert re.search(r"SIGKILL to the coordinator, node-\d .* the next round finished [\d.]+ s later", done.stdout)
    assert "late with probability" in done.stderr
    # What a killed node's forkserver had in the temporary folder nobody can remove; it is a socket and its folder.
    assert not [path.name for path in tmp_path.iterdir() if not path.name.startswith("pymp-")]
