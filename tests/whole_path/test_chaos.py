"""Seeded chaos with real processes: whoever is killed, paused, cut off or slowed down at whichever moment, no bit changes.

A failing history is replayed by ``python bench/soak.py --seed SEED``; ``make soak`` goes on with new ones.
"""

from collections.abc import Iterator

import pytest
from chaos.arena import Arena, arena
from chaos.histories import covering_seeds, draw_history

MANY = range(4000)


@pytest.fixture(scope="module")
def played_in(tmp_path_factory, flights) -> Iterator[Arena]:
    with arena(tmp_path_factory.mktemp("chaos"), flights) as place:
        yield place


@pytest.mark.parametrize("seed", covering_seeds())
def test_a_history_of_misfortunes_changes_no_bit(played_in: Arena, seed: int) -> None:
    try:
        print(played_in.play(draw_history(seed)))
    except AssertionError as error:
        raise AssertionError(f"{error}\nreplay: python bench/soak.py --seed {seed}") from error


def test_what_zombies_and_the_dead_left_behind_is_collected(played_in: Arena) -> None:
    played_in.check_blobs()


def test_the_same_seed_tells_the_same_history() -> None:
    assert [draw_history(seed) for seed in MANY] == [draw_history(seed) for seed in MANY]
