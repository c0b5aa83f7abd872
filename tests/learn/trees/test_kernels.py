"""The compiled loops against plain arithmetic."""

import numpy as np

from muskox.learn.trees.class_splits import class_splits
from muskox.learn.trees.gradients import packed_of
from muskox.learn.trees.growing import Splits
from muskox.learn.trees.histograms import CHUNK, GRADIENT_MOST, HESSIAN_BITS, HESSIAN_MOST, gradient_histograms
from muskox.learn.trees.splits import draw_features


def test_packed_sums_keep_within_their_bits() -> None:
    rows = 3 * CHUNK + 5
    for sign in (1.0, -1.0):
        packed = np.full(rows, packed_of(sign * 1e30, 1e30), dtype=np.int64)
        bins = np.zeros((rows, 1), dtype=np.uint8)
        out = np.zeros((1, 2, 2), dtype=np.int64)
        order, ends = np.arange(rows, dtype=np.int32), np.array([rows], dtype=np.int64)
        gradient_histograms(
            bins,
            packed,
            order,
            np.zeros(1, dtype=np.int64),
            ends,
            np.zeros(1, dtype=np.int32),
            np.zeros(1, dtype=np.int64),
            out,
        )
        assert out.tolist() == [[[int(sign) * GRADIENT_MOST * rows, HESSIAN_MOST * rows], [0, 0]]]
    assert packed_of(-1.0, 0.0) == (-1 << HESSIAN_BITS) + 1


def test_a_shuffle_of_features_has_turns_without_repetition() -> None:
    usable = np.array([2, 3, 5, 7, 11], dtype=np.int32)
    trees, numbers = np.zeros(3, dtype=np.int32), np.full(3, 6, dtype=np.int64)
    out = np.empty((3, 2), dtype=np.int32)
    draw_features(12345, trees, numbers, np.arange(3, dtype=np.int32), usable, out)
    assert sorted(out.ravel().tolist()) == [-1, 2, 3, 5, 7, 11]


def test_features_are_drawn_about_equally_often() -> None:
    slots = 8000
    out = np.empty((slots, 2), dtype=np.int32)
    trees, numbers = np.arange(slots, dtype=np.int32) % 40, np.arange(slots, dtype=np.int64)
    draw_features(7, trees, numbers, np.zeros(slots, dtype=np.int32), np.arange(8, dtype=np.int32), out)
    counts = np.bincount(out.ravel(), minlength=8)
    assert counts.min() > 1850 and counts.max() < 2150
    assert np.all(out[:, 0] != out[:, 1])


def test_the_best_subset_of_categories_is_found_for_two_classes() -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        counts = draw.integers(1, 30, size=(6, 2))
        found = Splits.blank(1, 2)
        histogram = np.concatenate([counts, np.zeros((1, 2), dtype=np.int64)])[None].astype(np.int64)
        class_splits(
            histogram, np.zeros((1, 1), dtype=np.int32), np.zeros(1, dtype=np.int64), np.array([6], dtype=np.int32), 0, 1, 2,
            found.feature, found.cut, found.missing_left, found.gain, found.lefts, found.sets,
        )  # fmt: skip
        whole = counts.sum(axis=0)
        best = 0.0
        for mask in range(1, 63):
            left = counts[[bool(mask >> b & 1) for b in range(6)]].sum(axis=0)
            right = whole - left
            gain = (left**2).sum() / left.sum() + (right**2).sum() / right.sum() - (whole**2).sum() / whole.sum()
            best = max(best, gain)
        assert abs(found.gain[0] - best) < 1e-9
