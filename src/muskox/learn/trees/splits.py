"""Splits: the kernels that find the best way to part each open node, given its histograms.

Numeric features are cut between two bins; missing values go to whichever side gains more, or, where the node has none, to the
heavier side. Categories are ordered by what they predict and cut in that order, missing as one of them, which for two classes
and for squared error finds the best of all subsets (Fisher, "On grouping for maximum homogeneity", 1958). Of equal gains the
first feature and the first cut win. A result is, by slot: feature (-1: none), cut, whether missing goes left, gain, what goes
left, and the set of categories that do.
"""

# ruff: noqa: PLR0913, PLR0917  # kernels take arrays, not objects

from typing import Any

import numba
import numpy as np

from muskox.learn.compiled import compiled_for

SET_BYTES = 32  # of a set of up to 255 bins, one bit each
FINISHED, CONSTANT = -1, -2  # why a slot has no split: nothing gains, or no feature varies


@compiled_for("void(i8, i4[::1], i8[::1], i4[::1], i4[::1], i4[:, ::1])")
def draw_features(key: int, trees: Any, numbers: Any, attempts: Any, usable: Any, out: Any) -> None:
    """Write to out[slot] the features that a node looks at: those of its `attempts`-th turn in a shuffle of the usable ones.

    The shuffle is a function of key, tree and the node's number in its tree (SplitMix64: Steele, Lea, Flood 2014), and of
    nothing else. Past the end of the shuffle the feature is -1.
    """
    count, chosen = usable.size, out.shape[1]
    shuffled: Any = np.empty(count, dtype=np.int32)
    for slot in range(trees.size):
        for i in range(count):
            shuffled[i] = usable[i]
        state: Any = np.uint64(key) ^ (np.uint64(trees[slot]) * np.uint64(0x9E3779B97F4A7C15))
        state = state + np.uint64(numbers[slot]) * np.uint64(0xD1B54A32D192ED03)
        first = attempts[slot] * chosen
        for i in range(min(first + chosen, count)):
            state += np.uint64(0x9E3779B97F4A7C15)
            z: Any = state
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
            j = i + np.int64(((z >> np.uint64(32)) * np.uint64(count - i)) >> np.uint64(32))
            shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
        for place in range(chosen):
            out[slot, place] = shuffled[first + place] if first + place < count else -1


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
def keep_set(order: Any, last: int, width: int, set_: Any, missing_left: Any, slot: int) -> None:
    """Write the categories order[: last + 1] to the bits of `set_`; bin `width`, which is missing, to missing_left[slot]."""
    for i in range(set_.size):
        set_[i] = 0
    for i in range(last + 1):
        b = order[i]
        if b == width:
            missing_left[slot] = 1
        else:
            set_[b >> 3] |= np.uint8(1 << (b & 7))


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
def sort_by(keys: Any, order: Any, count: int) -> None:
    """Sort order[:count] by `keys`, of equals the first first; by insertion, for NumPy's sort takes seconds to compile."""
    for i in range(1, count):
        key, b, j = keys[i], order[i], i
        while j > 0 and keys[j - 1] > key:
            keys[j], order[j] = keys[j - 1], order[j - 1]
            j -= 1
        keys[j], order[j] = key, b


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _by_step(here: Any, order: Any, count: int, unit_g: float, unit_h: float, smoothing: float) -> None:
    """Sort the bins of order[:count] by the step that each alone would take, of equals the first first."""
    keys = np.empty(count)
    for i in range(count):
        keys[i] = here[order[i], 0] * unit_g / (here[order[i], 1] * unit_h + smoothing)
    sort_by(keys, order, count)


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _best_cut(
    here: Any, order: Any, count: int, total_g: int, total_h: int, left_g: Any, left_h: Any, scales: Any, rules: Any,
    best: float,
) -> Any:  # fmt: skip
    """Return the greatest gain above `best`, after which of order[:count] it is cut (-1: none), and what goes left."""
    unit_g, unit_h, l2, least = scales[0], scales[1], rules[0], rules[1]
    g, h = total_g * unit_g, total_h * unit_h
    whole = g * g / (h + l2)
    place, best_g, best_h = -1, np.int64(0), np.int64(0)
    for i in range(count):
        b = order[i]
        left_g += here[b, 0]
        left_h += here[b, 1]
        lh, rh = left_h * unit_h, (total_h - left_h) * unit_h
        if lh < least:
            continue
        if rh < least or left_h == total_h:
            break
        lg, rg = left_g * unit_g, (total_g - left_g) * unit_g
        found = lg * lg / (lh + l2) + rg * rg / (rh + l2) - whole
        if found > best:
            best, place, best_g, best_h = found, i, left_g, left_h
    return best, place, best_g, best_h


@compiled_for(
    "void(i8[:, :, ::1], i4[:, ::1], i8[::1], i4[::1], i8, f8[::1], f8[::1], "
    "i4[::1], i4[::1], u1[::1], f8[::1], i8[:, ::1], u1[:, ::1])"
)
def gradient_splits(
    histograms: Any, features: Any, bases: Any, widths: Any, numeric: int, scales: Any, rules: Any,
    feature: Any, cut: Any, missing_left: Any, gain: Any, lefts: Any, sets: Any,
) -> None:  # fmt: skip
    """Maximise GL**2 / (HL + l2) + GR**2 / (HR + l2) - G**2 / (H + l2), where each side's hessian reaches the least.

    histograms : shape (slots, positions, 2), features[slot, j] (-1: none) at bases[j]
    scales : what one unit of gradient and hessian stands for
    rules : l2, least hessian of a side, least gain, what is added to a category's hessian when categories are ordered
    """
    order = np.zeros(256, dtype=np.int64)
    for slot in range(histograms.shape[0]):
        feature[slot], gain[slot], varies = FINISHED, rules[2], False
        for j in range(features.shape[1]):
            f = features[slot, j]
            if f < 0:
                continue
            width = widths[f]
            here = histograms[slot, bases[j] : bases[j] + width + 1]
            total_g, total_h, count = np.int64(0), np.int64(0), 0
            for b in range(width + 1):
                total_g += here[b, 0]
                total_h += here[b, 1]
                order[count] = b
                if here[b, 1] > 0:
                    count += 1
            if count < 2:
                continue
            varies = True
            missing_g, missing_h = here[width, 0], here[width, 1]
            turns = 1
            if f >= numeric:
                _by_step(here, order, count, scales[0], scales[1], rules[3])
            elif missing_h > 0:
                turns, count = 2, count - 1  # missing is the last of those present
            for turn in range(turns):  # missing right, then left
                start_g, start_h = (missing_g, missing_h) if turn == 1 else (np.int64(0), np.int64(0))
                found, at, left_g, left_h = _best_cut(
                    here, order, count, total_g, total_h, start_g, start_h, scales, rules, gain[slot]
                )
                if at < 0:
                    continue
                gain[slot], feature[slot] = found, f
                lefts[slot, 0], lefts[slot, 1] = left_g, left_h
                if f < numeric:
                    cut[slot] = order[at]
                    missing_left[slot] = turn if missing_h > 0 else 2 * left_h >= total_h
                else:
                    cut[slot] = -1
                    missing_left[slot] = missing_h == 0 and 2 * left_h >= total_h
                    keep_set(order, at, width, sets[slot], missing_left, slot)
        if feature[slot] < 0 and not varies:
            feature[slot] = CONSTANT
