"""Sets of shard indexes come back from their short texts."""

from hypothesis import given
from hypothesis import strategies as st

from muskox.coordination import format_runs, parse_runs


@given(st.sets(st.integers(0, 100_000), max_size=60))
def test_runs_come_back_sorted(shards: set[int]) -> None:
    assert parse_runs(format_runs(list(shards))) == sorted(shards)


def test_neighbours_are_one_piece() -> None:
    assert format_runs([3, 1, 2, 9, 11, 10]) == "1-3,9-11" and parse_runs("") == []
