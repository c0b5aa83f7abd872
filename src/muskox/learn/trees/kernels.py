"""Kernels that walk along rows: bins, places in trees, predictions.

Loops are in a fixed order, and most of the arithmetic is of integers and exact anyway.
"""

# ruff: noqa: PLR0913, PLR0917  # kernels take arrays, not objects

from typing import Any

import numpy as np

from muskox.learn.compiled import compiled_for


@compiled_for("void(f8[::1], f8[::1], i8, u1[:, ::1])", "void(f8[::1], f8[::1], i8, i4[:, ::1])")
def bin_numbers(numbers: Any, edges: Any, feature: int, bins: Any) -> None:
    """Write to column `feature` how many edges lie below each number, edges.size + 1 where it is missing."""
    count = edges.size
    for row in range(numbers.size):
        x = numbers[row]
        if np.isnan(x):
            bins[row, feature] = count + 1
            continue
        low, size = 0, count
        while size > 0:
            half = size >> 1
            if edges[low + half] < x:
                low += half + 1
                size -= half + 1
            else:
                size = half
        bins[row, feature] = low


@compiled_for(
    "void(u1[:, ::1], i4[::1], i8[::1], i8[::1], i4[::1], i4[::1], u1[::1], i4[::1], u1[:, ::1], i4[::1], i8, i8, i4[::1])"
)
def place(
    bins: Any, order: Any, begins: Any, ends: Any, feature: Any, cut: Any, missing_left: Any, left: Any,
    sets: Any, widths: Any, numeric: int, known: int, scratch: Any,
) -> None:  # fmt: skip
    """Part the rows of each split node between its children, those of left >= known, in the order in which they were made.

    The rows of node i are order[begins[i] : ends[i]]; the children of a node stand side by side, and later than it.
    """
    for node in range(left.size):
        child = left[node]
        if child < known:
            continue
        f, c = feature[node], cut[node]
        width, to_left = widths[f], missing_left[node]
        begin, end = begins[node], ends[node]
        at, kept = begin, 0
        is_number = f < numeric
        for i in range(begin, end):
            row = order[i]
            b = bins[row, f]
            if b == width:
                goes_left = to_left != 0
            elif is_number:
                goes_left = b <= c
            else:
                goes_left = (sets[c, b >> 3] >> (b & 7)) & 1 != 0
            if goes_left:
                order[at] = row
                at += 1
            else:
                scratch[kept] = row
                kept += 1
        for i in range(kept):
            order[at + i] = scratch[i]
        begins[child], ends[child] = begin, at
        begins[child + 1], ends[child + 1] = at, end


@compiled_for(
    "void(u1[:, ::1], i8[::1], i4[::1], i4[::1], u1[::1], i4[::1], u1[:, ::1], f8[:, ::1], i4[::1], i8, i8[::1], f8[:, ::1])",
    "void(i4[:, ::1], i8[::1], i4[::1], i4[::1], u1[::1], i4[::1], u1[:, ::1], f8[:, ::1], i4[::1], i8, i8[::1], f8[:, ::1])",
)
def add_leaves(
    bins: Any, roots: Any, feature: Any, cut: Any, missing_left: Any, left: Any, sets: Any, leaves: Any, widths: Any,
    numeric: int, outputs: Any, scores: Any,
) -> None:  # fmt: skip
    """Add to each row of scores what every tree's leaf holds, tree after tree; outputs[tree] is where its first number goes.

    A leaf has feature -1, and `left` is then its row in `leaves`.
    """
    values = leaves.shape[1]
    for first in range(0, bins.shape[0], 64):  # rows whose bins stay in the cache while all trees pass
        last = min(first + 64, bins.shape[0])
        for tree in range(roots.size):
            root, output = roots[tree], outputs[tree]
            for row in range(first, last):
                node = root
                while feature[node] >= 0:
                    f, c = feature[node], cut[node]
                    b = bins[row, f]
                    if b == widths[f]:
                        goes_left = missing_left[node] != 0
                    elif f < numeric:
                        goes_left = b <= c
                    else:
                        goes_left = (sets[c, b >> 3] >> (b & 7)) & 1 != 0
                    node = left[node] + (0 if goes_left else 1)
                leaf = left[node]
                for k in range(values):
                    scores[row, output + k] += leaves[leaf, k]


def writable(array: Any) -> Any:
    """Return `array`, or a copy of one that may not be written: kernels are compiled for those that may."""
    return array if array.flags.writeable else array.copy()
