"""Seeded histories of a whole cluster around the repair machine; see repair_simulator.py for what must hold in each.

MUSKOX_HISTORIES says how many are played; a failing one is named with the command that plays it again.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from repair_simulator import play, play_all, play_calm

HISTORIES = int(os.environ.get("MUSKOX_HISTORIES", "60"))
SIMULATOR = Path(__file__).parent / "repair_simulator.py"


@pytest.mark.timeout(60 + HISTORIES)
def test_no_history_loses_data_drops_what_is_needed_or_repairs_for_ever() -> None:
    events, _ = play_all(range(HISTORIES))
    assert events > 100 * HISTORIES


def test_joins_and_leaves_move_little_more_than_they_must() -> None:
    moved, least = 0, 0.0
    for seed in range(5):
        bytes_moved, bytes_least = play_calm(seed)
        assert bytes_moved <= 1.2 * bytes_least + 4 * 1600  # a unit more or less for each of the four events
        moved, least = moved + bytes_moved, least + bytes_least
    assert moved <= 1.1 * least


def test_a_history_is_the_same_in_every_process() -> None:
    """Nothing depends on the order of a set or on a hash: another process orders its own differently."""
    words = [sys.executable, str(SIMULATOR), "--seed", "3"]
    told = subprocess.run(
        words, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, timeout=100, check=True
    )
    assert told.stdout.strip() == play(3, is_rough=True).digest.hexdigest()
