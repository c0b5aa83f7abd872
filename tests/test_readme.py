"""What the README promises to a newcomer runs: its ten lines of Python, on a csv of the columns that they name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from muskox.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
READMES = ["README.md", "README.zh.md"]


def blocks(readme: str, language: str) -> list[str]:
    text = (ROOT / readme).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def without_comments(code: str) -> list[str]:
    return [line.split("#")[0].rstrip() for line in code.splitlines()]


def test_the_ten_lines_run(tmp_path: Path) -> None:
    rows = [f"N{number % 40},{number % 12 + 1},{number * 7 % 2000},{number % 3 == 0}" for number in range(600)]
    (tmp_path / "flights.csv").write_text("tailnum,month,distance,late\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (code,) = blocks("README.md", "python")
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^[\d.]+ [0-9a-f]{64}$", ended.stdout, re.MULTILINE), "loss and digest are printed"
    assert (tmp_path / "predictions" / "manifest.json").exists()


def test_both_languages_show_the_same_code() -> None:
    first, second = ([without_comments(block) for block in blocks(readme, "python")] for readme in READMES)
    assert first == second


@pytest.mark.parametrize("readme", READMES)
def test_every_command_shown_exists(readme: str) -> None:
    known = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    text = (ROOT / readme).read_text(encoding="utf-8")
    shown = set(re.findall(r"(?:^|`|/)muskox ([a-z]+)", text, re.MULTILINE))
    assert shown and shown <= known, shown - known
