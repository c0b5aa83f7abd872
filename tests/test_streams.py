"""Named streams: the same name gives the same numbers in any process, and no two names share them."""

from hypothesis import given
from hypothesis import strategies as st

from muskox.streams import stream

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
