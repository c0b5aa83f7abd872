"""Splits by classes: the kernel that parts open nodes so that the Gini impurity of the two sides is least.

What it looks at and what it returns is as in :mod:`muskox.learn.trees.splits`; the sums are of each class's weight. Categories
are ordered by the share of the node's heaviest class, which of two classes finds the best of all subsets.
"""

# ruff: noqa: PLR0912, PLR0913, PLR0917  # kernels take arrays, not objects

from typing import Any

import numba
import numpy as np

from muskox.learn.compiled import compiled_for
from muskox.learn.trees.splits import CONSTANT, FINISHED, keep_set, sort_by

_RESULTS = "i4[:, ::1], i8[::1], i4[::1], i8, i8, i8, i4[::1], i4[::1], u1[::1], f8[::1], i8[:, ::1], u1[:, ::1])"


@numba.njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _summed(here: Any, width: int, whole: Any, sums: Any, order: Any) -> int:
    """Write each class's weight to `whole`, each bin's to `sums`, the bins that are there to `order`; return how many."""
    for k in range(whole.size):
        whole[k] = 0
    count = 0
    for b in range(width + 1):
        weight = np.int64(0)
        for k in range(whole.size):
            value = np.int64(here[b, k])
            whole[k] += value
            weight += value
        sums[b] = weight
        order[count] = b
        if weight > 0:
            count += 1
    return count


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _by_share(here: Any, sums: Any, heaviest: int, order: Any, count: int) -> None:
    """Sort the bins of order[:count] by the share of one class, of equals the first first."""
    keys = np.empty(count)
    for i in range(count):
        keys[i] = np.float64(here[order[i], heaviest]) / np.float64(sums[order[i]])
    sort_by(keys, order, count)


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _best_cut(
    here: Any, sums: Any, order: Any, count: int, whole: Any, left: Any, start: int, least: int, best: float, best_left: Any
) -> Any:
    """Return the greatest gain above `best`, after which of order[:count] it is cut (-1: none), and the weight to the left."""
    total, parent = np.int64(0), 0.0
    for k in range(whole.size):
        total += whole[k]
        parent += np.float64(whole[k]) * np.float64(whole[k])
    parent /= np.float64(total)
    at, place, left_weight = np.int64(start), -1, np.int64(0)
    for i in range(count):
        b = order[i]
        at += sums[b]
        for k in range(whole.size):
            left[k] += here[b, k]
        if at < least:
            continue
        if total - at < least or at == total:
            break
        in_left, in_right = 0.0, 0.0
        for k in range(whole.size):
            to_left, to_right = np.float64(left[k]), np.float64(whole[k] - left[k])
            in_left += to_left * to_left
            in_right += to_right * to_right
        found = in_left / np.float64(at) + in_right / np.float64(total - at) - parent
        if found > best:
            best, place, left_weight = found, i, at
            for k in range(whole.size):
                best_left[k] = left[k]
    return best, place, left_weight


@compiled_for(f"void(i4[:, :, ::1], {_RESULTS}", f"void(i8[:, :, ::1], {_RESULTS}")
def class_splits(
    histograms: Any, features: Any, bases: Any, widths: Any, numeric: int, least: int, classes: int,
    feature: Any, cut: Any, missing_left: Any, gain: Any, lefts: Any, sets: Any,
) -> None:  # fmt: skip
    """Maximise sum(L_k**2) / L + sum(R_k**2) / R - sum(T_k**2) / T, where each side weighs at least `least`.

    histograms : shape (slots, positions, classes), features[slot, j] (-1: none) at bases[j]
    """
    whole, left = np.zeros(classes, dtype=np.int64), np.zeros(classes, dtype=np.int64)
    best_left, sums = np.zeros(classes, dtype=np.int64), np.zeros(256, dtype=np.int64)
    order = np.zeros(256, dtype=np.int64)
    for slot in range(histograms.shape[0]):
        feature[slot], gain[slot], varies = FINISHED, -1.0, False
        for j in range(features.shape[1]):
            f = features[slot, j]
            if f < 0:
                continue
            width = widths[f]
            here = histograms[slot, bases[j] : bases[j] + width + 1]
            count = _summed(here, width, whole, sums, order)
            if count < 2:
                continue
            varies = True
            heaviest, total = 0, np.int64(0)
            for k in range(classes):
                total += whole[k]
                if whole[k] > whole[heaviest]:
                    heaviest = k
            if whole[heaviest] == total:
                break  # of one class: there is nothing to part
            missing = sums[width]
            turns = 1
            if f >= numeric:
                _by_share(here, sums, heaviest, order, count)
            elif missing > 0:
                turns, count = 2, count - 1  # missing is the last of those present
            for turn in range(turns):  # missing right, then left
                for k in range(classes):
                    left[k] = here[width, k] * turn
                start = missing if turn == 1 else 0
                found, at, weight = _best_cut(here, sums, order, count, whole, left, start, least, gain[slot], best_left)
                if at < 0:
                    continue
                gain[slot], feature[slot] = found, f
                for k in range(classes):
                    lefts[slot, k] = best_left[k]
                if f < numeric:
                    cut[slot] = order[at]
                    missing_left[slot] = turn if missing > 0 else 2 * weight >= total
                else:
                    cut[slot] = -1
                    missing_left[slot] = missing == 0 and 2 * weight >= total
                    keep_set(order, at, width, sets[slot], missing_left, slot)
        gain[slot] = max(gain[slot], 0.0)
        if feature[slot] < 0 and not varies:
            feature[slot] = CONSTANT
