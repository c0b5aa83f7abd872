"""What docs/keeper.md shows is so: its commands run, and its tables name what is there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from muskox.keeper import FLAGS, Keeper

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "keeper.md").read_text(encoding="utf-8")
SECONDS_MAX = 60


def block(marked: str) -> str:
    """Return the commands that follow a mark."""
    (found,) = re.findall(rf"^<!-- {marked} -->\n```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def run(commands: str, folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ended = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", commands],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_its_commands_run(tmp_path: Path) -> None:
    with Keeper(data_dir=tmp_path / "keeper") as keeper:
        said = run(
            block("runs while a keeper serves the folder keeper at port 2181").replace("127.0.0.1:2181", keeper.hosts), tmp_path
        )
    assert "world" in said and "item-0000000000" in said
    assert "/hello" in run(block("runs when the keeper has stopped"), tmp_path)


def test_every_flag_it_names_is_there() -> None:
    known = {flag.name for flag in FLAGS} | {"--help", "--json", "--truncate-at"}
    assert set(re.findall(r"--[a-z][a-z-]+", TEXT)) <= known
