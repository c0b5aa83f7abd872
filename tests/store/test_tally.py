"""Counts are exact whatever the order, the batches and the parts, and memory follows the distinct hashes."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muskox.store.inspection.tally import GATHERED_MIN, Part, Tally, collision_probability, parts_of
from muskox.store.partition.hashing import mix

WORDS = st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=30), max_size=5)


@settings(deadline=None)
@given(WORDS)
def test_tuples_are_counted_exactly(batches: list[list[tuple[int, int]]]) -> None:
    tally = Tally(2)
    for batch in batches:
        tally.add(*(np.array([pair[index] for pair in batch], np.uint64) for index in (0, 1)))
    words, counts = tally.counts()
    expected = sorted(Counter(pair for batch in batches for pair in batch).items())
    assert list(zip(map(tuple, words.T.tolist()), counts.tolist(), strict=True)) == expected


@settings(deadline=None)
@given(st.integers(1, 40), st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_every_hash_lies_in_exactly_one_part(parts: int, hashes: list[int]) -> None:
    words = np.array([0, 2**64 - 1, *hashes], np.uint64)
    held = np.array([Part(index, parts).holds(words) for index in range(parts)])
    assert (held.sum(axis=0) == 1).all()


@pytest.mark.parametrize(("hashes", "held_max", "parts"), [(0, 10, 1), (10, 10, 1), (11, 10, 2), (1000, 10, 100)])
def test_there_are_as_few_parts_as_fit(hashes: int, held_max: int, parts: int) -> None:
    found = parts_of(hashes, held_max)
    assert found == [Part(index, parts) for index in range(parts)]


def test_what_occurs_often_is_held_once() -> None:
    tally = Tally()
    for _ in range(20):
        tally.add(mix(np.arange(GATHERED_MIN, dtype=np.uint64) % np.uint64(1000)))
        assert tally.held <= 2 * GATHERED_MIN
    words, counts = tally.counts()
    assert words.shape == (1, 1000) and int(counts.sum()) == 20 * GATHERED_MIN and tally.held == 1000


def test_the_probability_of_a_collision_is_bounded() -> None:
    assert collision_probability(0) == 0
    assert collision_probability(10**6) == pytest.approx(1 / 37e6, rel=0.01)
    assert collision_probability(10**9) == pytest.approx(0.027, rel=0.01)
    assert collision_probability(10**12) == 1.0
