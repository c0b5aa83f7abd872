"""Named streams: the same name gives the same numbers in any process, and no two names share them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from muskox.streams import least, stream

NAMES = st.tuples(st.integers(-5, 5), st.sampled_from(["shuffle", "init", "shuffle/1"]), st.integers(0, 5), st.integers(0, 5))


def draw(name: tuple[int, str, int, int]) -> list[int]:
    return [int(number) for number in stream(*name).integers(0, 1 << 62, size=4)]


@given(st.lists(NAMES, unique=True, min_size=2, max_size=6))
def test_no_two_names_share_their_numbers(names: list[tuple[int, str, int, int]]) -> None:
    drawn = [tuple(draw(name)) for name in names]
    assert len(set(drawn)) == len(names)
    assert [tuple(draw(name)) for name in reversed(names)] == drawn[::-1]


def test_seed_and_round_are_not_added() -> None:
    assert draw((0, "shuffle", 0, 1)) != draw((1, "shuffle", 0, 0))


def test_a_golden_value() -> None:
    assert draw((0, "shuffle", 3, 1)) == [1695941139510165564, 2195655534212094990, 4422711077799408939, 1897363278074999921]


def test_the_least_keys_are_drawn_and_ties_go_by_index() -> None:
    keys = np.array([3.0, 1.0, np.inf, 1.0, 2.0, 1.0])
    assert least(keys, 2).tolist() == [1, 3]
    assert least(keys, 9).tolist() == [1, 3, 5, 4, 0]


@given(st.lists(st.integers(-3, 3), max_size=30), st.integers(0, 40))
def test_the_least_keys_are_the_first_of_all_sorted(keys: list[int], count: int) -> None:
    for kind in (np.int64, np.float64):
        drawn = np.array(keys, dtype=kind)
        assert least(drawn, count).tolist() == np.argsort(drawn, kind="stable")[:count].tolist()
