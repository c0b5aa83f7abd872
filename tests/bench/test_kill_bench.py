"""The benchmark of deaths runs tiny here, beside those peers that are installed; it fails if muskox breaks its promise."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCH = Path(__file__).resolve().parent.parent.parent / "bench"


def test_the_bench_strikes_a_role_and_prints_what_came_of_it(tmp_path) -> None:
    out = tmp_path / "table.md"
    command = [sys.executable, str(BENCH / "kill.py"), "--tiny", "--json", "--peers", "none", "--roles", "worker,keeper"]
    ended = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr
    (own,) = json.loads(ended.stdout)
    assert {role: found["same_digest"] for role, found in own["cells"].items()} == {"worker": 1, "keeper": 1}
    table = out.read_text().splitlines()
    assert sum(line.startswith("| a worker | muskox") for line in table) == 1


@pytest.fixture
def trials(monkeypatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(BENCH))
    from kills.trials import Line, judge

    return SimpleNamespace(Line=Line, judge=judge)


def test_a_round_that_was_under_way_is_not_counted_as_a_recovery(trials) -> None:
    lines = [trials.Line(1, 1.0), trials.Line(2, 2.1), trials.Line(3, 5.0)]
    assert trials.judge(lines, 2.0, "digest").seconds == 3.0


def test_a_round_of_a_later_membership_is_a_recovery_at_once(trials) -> None:
    lines = [trials.Line(1, 1.0, 1), trials.Line(2, 2.1, 1), trials.Line(3, 2.2, 1), trials.Line(4, 5.0, 2)]
    assert trials.judge(lines, 2.0, "digest").seconds == 3.0


def test_rounds_that_come_twice_were_done_again(trials) -> None:
    lines = [trials.Line(number, float(at)) for at, number in enumerate([1, 2, 3, 2, 3, 4])]
    struck = trials.judge(lines, 2.5, "")
    assert struck.again == 2 and not struck.finished
