"""Histograms: the kernels that count, for each open node, what the rows of each bin hold. Integers only: exact in any order.

A gradient and a hessian travel packed into one integer, the gradient in the upper 36 bits and the hessian in the lower 28, so
that one addition does both; no more than CHUNK rows are added before the sums are unpacked, and the limits below keep them
within their bits.
"""

# ruff: noqa: PLR0913, PLR0917  # kernels take arrays, not objects

from typing import Any

import numpy as np

from muskox.learn.compiled import compiled_for

CHUNK = 1 << 13  # rows whose packed sums are added before they are unpacked
HESSIAN_BITS = 28
GRADIENT_MOST = (1 << 22) - 1  # CHUNK of them stay within 35 bits and a sign
HESSIAN_MOST = (1 << 15) - 1  # CHUNK of them stay within 28 bits


@compiled_for("void(u1[:, ::1], i8[::1], i4[::1], i8[::1], i8[::1], i4[::1], i8[::1], i8[:, :, ::1])")
def gradient_histograms(
    bins: Any, packed: Any, order: Any, begins: Any, ends: Any, features: Any, bases: Any, out: Any
) -> None:
    """Add to out[slot, bases[j] + bin] gradients and hessians of the rows order[begins[slot] : ends[slot]] by features[j]."""
    positions = out.shape[1]
    sums = np.zeros(positions, dtype=np.int64)
    count = features.size
    is_all = count == bins.shape[1]
    mask = (np.int64(1) << HESSIAN_BITS) - 1
    for slot in range(begins.size):
        first = begins[slot]
        while first < ends[slot]:
            last = min(first + CHUNK, ends[slot])
            sums[:] = 0
            for i in range(first, last):
                row = order[i]
                value = packed[row]
                if is_all:
                    for j in range(count):
                        sums[bases[j] + bins[row, j]] += value
                else:
                    for j in range(count):
                        sums[bases[j] + bins[row, features[j]]] += value
            for position in range(positions):
                value = sums[position]
                out[slot, position, 0] += value >> HESSIAN_BITS
                out[slot, position, 1] += value & mask
            first = last


@compiled_for(
    "void(u1[:, ::1], i4[::1], i8[::1], u1[:, ::1], i4[::1], i8[::1], i8[::1], i4[::1], i4[:, ::1], i8, i4[:, :, ::1])",
    "void(u1[:, ::1], i4[::1], i8[::1], u1[:, ::1], i4[::1], i8[::1], i8[::1], i4[::1], i4[:, ::1], i8, i8[:, :, ::1])",
)
def class_histograms(
    bins: Any, classes: Any, weights: Any, counts: Any, order: Any, begins: Any, ends: Any, trees: Any, features: Any,
    stride: int, out: Any,
) -> None:  # fmt: skip
    """Add to out[slot, j * stride + bin, class] the weights of the slot's rows by its own features[slot, j].

    A row counts counts[tree, row] times in a tree; `weights` are whole, or none where each row weighs 1.
    """
    chosen = features.shape[1]
    for slot in range(begins.size):
        tree = trees[slot]
        for i in range(begins[slot], ends[slot]):
            row = order[i]
            value = np.int64(counts[tree, row])
            if weights.size:
                value *= weights[row]
            k = classes[row]
            for j in range(chosen):
                out[slot, j * stride + bins[row, features[slot, j]], k] += value


@compiled_for(
    "void(u1[:, ::1], i8[::1], i8[::1], u1[:, ::1], i4[::1], i8[::1], i8[::1], i4[::1], i4[:, ::1], i8, i8[:, :, ::1])"
)
def number_histograms(
    bins: Any, targets: Any, weights: Any, counts: Any, order: Any, begins: Any, ends: Any, trees: Any, features: Any,
    stride: int, out: Any,
) -> None:  # fmt: skip
    """Add to out[slot, j * stride + bin] the weighted whole targets and the weights of the slot's rows, negated as gradients
    are.

    `targets` are multiplied by their weights already.
    """
    chosen = features.shape[1]
    for slot in range(begins.size):
        tree = trees[slot]
        for i in range(begins[slot], ends[slot]):
            row = order[i]
            times = np.int64(counts[tree, row])
            value, weight = -times * targets[row], times * weights[row]
            for j in range(chosen):
                position = j * stride + bins[row, features[slot, j]]
                out[slot, position, 0] += value
                out[slot, position, 1] += weight
