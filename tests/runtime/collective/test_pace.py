"""Who is slow for long is told of, and no more often than it is of use."""

import pytest

from muskox.runtime.collective.pace import SLOW_ROUNDS, TELL_S, Pace

ROWS = {"a": 100, "b": 100, "c": 200, "d": 0}
SLOW = {"a": 1.0, "b": 4.0, "c": 2.0, "d": 0.0}


def test_who_is_slow_for_some_rounds_is_told_of_by_the_row() -> None:
    pace = Pace(ROWS)
    assert [pace.hear(SLOW, float(round_)) for round_ in range(SLOW_ROUNDS - 1)] == [None] * (SLOW_ROUNDS - 1)
    assert pace.hear(SLOW, 10.0) == {"a": 0.01, "b": 0.04, "c": 0.01}


def test_it_is_told_again_only_after_a_while() -> None:
    pace = Pace(ROWS)
    told = [pace.hear(SLOW, float(second)) is not None for second in range(SLOW_ROUNDS + int(TELL_S) + 1)]
    assert sum(told) == 2


@pytest.mark.parametrize("other", [{"a": 1.0, "b": 1.2, "c": 2.0}, {"a": 1.0, "c": 2.0}, {}])
def test_one_good_round_begins_the_count_anew(other: dict[str, float]) -> None:
    pace = Pace(ROWS)
    for _ in range(3):
        for _ in range(SLOW_ROUNDS - 1):
            assert pace.hear(SLOW, 0.0) is None
        assert pace.hear(other, 0.0) is None


def test_short_rounds_are_not_worth_a_word() -> None:
    pace = Pace(ROWS)
    assert all(pace.hear({"a": 0.001, "b": 0.01}, 0.0) is None for _ in range(2 * SLOW_ROUNDS))
