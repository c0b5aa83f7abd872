"""Ranks: exact whatever the shards, and scikit-learn's area under the curve."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from muskox.digest import digest
from muskox.evaluate import ranks
from muskox.records import pack, unpack

scored = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000000001, 0.9, 1.0]) | st.floats(0, 1), st.booleans()), max_size=40
)


def ranked(rows: list[tuple[float, bool]]) -> dict[str, np.ndarray]:
    return ranks.rank(np.array([row[0] for row in rows], dtype=float), np.array([row[1] for row in rows], dtype=bool))


@given(scored)
def test_the_area_is_scikit_learns(rows: list[tuple[float, bool]]) -> None:
    labels = [label for _, label in rows]
    if len(set(labels)) < 2:
        return
    counts = ranked(rows)
    expected = roc_auc_score(labels, [score for score, _ in rows])
    assert ranks.area_under_roc(counts["positives"], counts["negatives"]) == pytest.approx(expected, abs=1e-12)


@given(st.lists(scored, min_size=1, max_size=5))
def test_merged_ranks_are_those_of_all_rows_to_the_bit(parts: list[list[tuple[float, bool]]]) -> None:
    whole = digest(ranked([row for part in parts for row in part]))
    shards = [unpack(pack(ranked(part))) for part in parts]
    assert digest(reduce(ranks.merge, shards)) == whole
    assert digest(reduce(ranks.merge, shards[::-1])) == whole


def test_known_areas() -> None:
    for rows, area in (
        ([(0.1, False), (0.9, True)], 1.0),
        ([(0.9, False), (0.1, True)], 0.0),
        ([(0.5, False), (0.5, True)], 0.5),
        ([(0.1, False), (0.5, True), (0.5, False), (0.9, True)], 0.875),
    ):
        counts = ranked(rows)
        assert ranks.area_under_roc(counts["positives"], counts["negatives"]) == area


def test_pairs_beyond_32_bits_are_counted_exactly() -> None:
    positives, negatives = np.array([0, 2**30], dtype=np.int64), np.array([2**30, 0], dtype=np.int64)
    assert ranks.area_under_roc(positives, negatives) == 1.0
