"""Every example runs as its reader would run it: in a process of its own, warnings as errors, and it checks its own answer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FIRST_STEPS = sorted((EXAMPLES / "first_steps").glob("*.py"))
LINES_MAX = 39
SECONDS_MAX = 120


def run(path: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path), *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env={**os.environ, "PYTHONHASHSEED": "random"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


def test_there_are_eight() -> None:
    assert len(FIRST_STEPS) == 8


@pytest.mark.parametrize("path", FIRST_STEPS, ids=lambda path: path.stem)
def test_a_first_step_is_short_and_says_what_goes_wrong_elsewhere(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= LINES_MAX
    assert sum("usually get wrong" in line for line in lines) == 1


@pytest.mark.parametrize("path", FIRST_STEPS, ids=lambda path: path.stem)
def test_a_first_step_runs(path: Path) -> None:
    assert run(path, *(["0"] if path.stem == "zookeeper_server" else [])).strip()


def test_the_hash_is_the_same_in_every_process() -> None:
    path = EXAMPLES / "first_steps" / "hash_partitioning.py"
    assert run(path) == run(path)


def test_the_line_of_ones_own_is_found_on_a_cluster() -> None:
    assert run(EXAMPLES / "least_squares_line.py").startswith("y = 2.0")


@pytest.mark.parametrize("name", ["minibatch_sgd", "parameter_averaging"])
def test_the_weights_that_the_rows_were_made_with_are_found_by_stochastic_descent(name: str) -> None:
    assert run(EXAMPLES / f"{name}.py").startswith("weights")


def test_a_forest_of_tasks_is_the_same_on_a_cluster() -> None:
    assert run(EXAMPLES / "forest_of_tasks.py").startswith("12 trees")


def test_folds_are_the_same_one_at_a_time() -> None:
    assert run(EXAMPLES / "cross_validation.py").count("over 5 folds") == 2
