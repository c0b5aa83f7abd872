"""The inner loops of k-means: squared distances in float32, a tile of rows at a time, and sums that are exact.

A tile is TILE rows, one feature a line, so that the loops over rows are what the compiler vectorises: the order of additions
within a row is fixed (features by four, then the rest), and so are its bits on every CPU. A row's distance is the same in any
tile. Ties go to the centre of the lower index.

Sums of rows are taken in two limbs, whole numbers in float64 below 2**53 (see :mod:`muskox.learn.clusters.grid`), so that
adding a row and taking it away again leaves no trace: order does not matter, and a round need only move the rows that changed
their cluster.
"""

from typing import Any

import numpy as np
from numba import types

from muskox.learn.compiled import compiled, compiled_for
from muskox.learn.lines import ADDRESSES, READ, TYPES, line

TILE = 256  # rows: 28 features of them take 28 kB, a core's first cache
FAR = 1e30  # a squared distance beyond any on the grid
MANY = 12  # rows of a tile
OUT = types.Array(types.float32, 2, "C")
MAGIC = 1.5 * 2.0**52  # added and taken away again, it rounds a float64 below 2**51 to a whole number


@compiled_for(*(types.void(ADDRESSES, X, READ, READ, OUT, OUT) for X in TYPES))
def fill(addresses: Any, like: Any, shift: Any, factor: Any, high: Any, low: Any) -> None:
    """Set high + low, shape (rows, features), to (column - shift) * factor, given as lines; NaN becomes 0."""
    rows = high.shape[0]
    for first in range(0, rows, TILE):
        here = min(TILE, rows - first)
        for feature in range(addresses.size):
            x, middle, scale = line(addresses, like, feature, first, here), shift[feature], factor[feature]
            for at in range(here):
                value = (x[at] - middle) * scale
                if np.isnan(value):
                    value = 0.0
                rounded = np.float32(value)
                high[first + at, feature] = rounded
                low[first + at, feature] = np.float32(value - rounded)


@compiled
def tile_rows(high: Any, out: Any) -> None:
    """Set `out`, shape (tiles, features, TILE), to the rows of `high`, shape (rows, features)."""
    rows, features = high.shape
    for tile in range(out.shape[0]):
        first = tile * TILE
        for row in range(first, min(first + TILE, rows)):
            for feature in range(features):
                out[tile, feature, row - first] = high[row, feature]


@compiled
def tile_distances(tile: Any, rows: int, centre: Any, other: Any, out: Any, out_other: Any) -> None:
    """Set `out` to the squared distance of the first `rows` rows of a tile, shape (features, TILE), to `centre`.

    And `out_other` to that to `other`: two at a time, for so a tile is loaded half as often.
    """
    features = centre.shape[0]
    out[:rows] = np.float32(0.0)
    out_other[:rows] = np.float32(0.0)
    feature = 0
    while feature + 4 <= features:
        line_a, line_b, line_c, line_d = tile[feature], tile[feature + 1], tile[feature + 2], tile[feature + 3]
        a, b, c, d = centre[feature], centre[feature + 1], centre[feature + 2], centre[feature + 3]
        e, f, g, h = other[feature], other[feature + 1], other[feature + 2], other[feature + 3]
        for row in range(rows):
            w, x, y, z = line_a[row], line_b[row], line_c[row], line_d[row]
            p, q, r, s = w - a, x - b, y - c, z - d
            out[row] += (p * p + q * q) + (r * r + s * s)
            p, q, r, s = w - e, x - f, y - g, z - h
            out_other[row] += (p * p + q * q) + (r * r + s * s)
        feature += 4
    while feature < features:
        a, e = centre[feature], other[feature]
        for row in range(rows):
            p, q = tile[feature, row] - a, tile[feature, row] - e
            out[row] += p * p
            out_other[row] += q * q
        feature += 1


@compiled
def absorb(tiles: Any, centres: Any, first_index: int, best: Any, index: Any) -> None:
    """Let the nearest centre of each row be one of `centres`, counted from `first_index`, where that is nearer than `best`."""
    rows, many = best.shape[0], centres.shape[0]
    squared = np.empty((2, TILE), dtype=np.float32)
    for first in range(0, rows, TILE):
        count = min(TILE, rows - first)
        for number in range(0, many, 2):
            both = min(2, many - number)
            tile_distances(tiles[first // TILE], count, centres[number], centres[number + both - 1], squared[0], squared[1])
            for which in range(both):
                for row in range(count):
                    nearer = squared[which, row] < best[first + row]
                    index[first + row] = np.int32(first_index + number + which) if nearer else index[first + row]
                    best[first + row] = squared[which, row] if nearer else best[first + row]


@compiled
def own_distances(high: Any, low: Any, centres: Any, index: Any, out: Any) -> None:
    """Set `out` to the distance of each row from the centre of its `index`, in float64, features in their order."""
    for row in range(high.shape[0]):
        total = 0.0
        for feature in range(high.shape[1]):
            apart = (np.float64(high[row, feature]) + np.float64(low[row, feature])) - centres[index[row], feature]
            total += apart * apart
        out[row] = np.sqrt(total)


@compiled
def add_row(high: Any, low: Any, weight: float, sign: float, coarse: float, fine: float, sums: Any) -> None:
    """Add one row, times `weight` and `sign`, to the sums (limbs, features + 1) of its cluster; the last one is of weights."""
    features = high.shape[0]
    over = 1.0 / coarse
    for feature in range(features):
        value = weight * (np.float64(high[feature]) + np.float64(low[feature]))
        whole = (value * coarse + MAGIC) - MAGIC
        rest = ((value - whole * over) * fine + MAGIC) - MAGIC
        sums[0, feature] += sign * whole
        sums[1, feature] += sign * rest
    own = (np.float64(weight) * coarse + MAGIC) - MAGIC
    sums[0, features] += sign * own
    sums[1, features] += sign * (((weight - own * over) * fine + MAGIC) - MAGIC)


@compiled
def find_doubtful(  # noqa: PLR0913, PLR0917  # a kernel's arguments are its buffers
    gap: Any, upper: Any, labels: Any, strayed: Any, doubt: Any, half: Any, slack: float, tiny: float, flags: Any
) -> int:
    """Set the flag of each row whose bounds do not prove that its centre is the nearest; return how many there are."""
    count = 0
    for row in range(labels.shape[0]):
        label = labels[row]
        is_beyond = (upper[row] + strayed[label]) * slack + tiny >= half[label]
        flags[row] = (gap[row] <= doubt[label]) & is_beyond
        count += flags[row]
    return count


@compiled
def renew(  # noqa: PLR0913, PLR0917
    best: Any, second: Any, index: Any, strayed: Any, doubt: Any, slack: float, tiny: float, gap: Any, upper: Any
) -> None:
    """Set bounds of rows by their distances to the nearest centre and the next."""
    for row in range(gap.shape[0]):
        found = index[row]
        above = np.float64(best[row]) * slack + tiny
        own = above - strayed[found]
        upper[row] = np.float32(own + 2e-7 * abs(own))
        rest = (np.float64(second[row]) * (2.0 - slack) - tiny) - (above * slack + tiny) + doubt[found]
        gap[row] = np.float32(rest - 2e-7 * abs(rest))


@compiled
def assign(  # noqa: PLR0913, PLR0917
    tiles: Any, high: Any, low: Any, weights: Any, centres: Any, strayed: Any, doubt: Any, half: Any, slack: float,
    tiny: float, gap: Any, upper: Any, labels: Any, coarse: float, fine: float, sums: Any,
) -> None:  # fmt: skip
    """Give each row the nearest of `centres` and keep `sums`, shape (clusters, limbs, features + 1), by it.

    A row whose bounds prove that its centre is still the nearest is not looked at (Hamerly, "Making k-means even faster",
    2010). Bounds are kept with what centres had moved by then taken off or added, so that they need not be written again when
    those move on:

    doubt, gap : by how much bounds of rows of a centre have shrunk so far, and by row the distance to any other centre less
        that to its own, plus that
    strayed, upper : all that a centre has moved so far, and by row the distance to its centre, less that
    half : half the distance from a centre to the nearest other

    `slack` and `tiny` cover all rounding, so that the result is that of computing every distance. The label of a row not yet
    looked at is the number of centres, and its gap less than any.
    """
    rows, features = high.shape
    tile, lines = np.empty((features, TILE), dtype=np.float32), np.empty((2, TILE), dtype=np.float32)
    best, second = np.empty(TILE, dtype=np.float32), np.empty(TILE, dtype=np.float32)
    index, flags = np.empty(TILE, dtype=np.int32), np.empty(TILE, dtype=np.uint8)
    chosen, count = np.empty(2 * TILE, dtype=np.int64), 0
    for first in range(0, rows, TILE):
        here = min(TILE, rows - first)
        last = first + here
        own = labels[first:last]
        found = find_doubtful(gap[first:last], upper[first:last], own, strayed, doubt, half, slack, tiny, flags)
        if found >= MANY:  # a whole tile as it lies costs less than gathering some of it
            nearest_of_tile(tiles[first // TILE], here, centres, lines, best, second, index)
            renew(best, second, index, strayed, doubt, slack, tiny, gap[first:last], upper[first:last])
            for at in range(here):
                if index[at] != own[at]:
                    move(high, low, weights, first + at, index[at], labels, coarse, fine, sums)
        elif found:
            for at in range(here):
                chosen[count] = first + at
                count += flags[at]
        while count >= TILE or (count > 0 and last == rows):
            stop = min(count, TILE)
            for place in range(stop):
                for feature in range(features):
                    tile[feature, place] = high[chosen[place], feature]
            nearest_of_tile(tile, stop, centres, lines, best, second, index)
            for place in range(stop):
                row, one = chosen[place], slice(place, place + 1)
                its_gap, its_upper = gap[row : row + 1], upper[row : row + 1]
                renew(best[one], second[one], index[one], strayed, doubt, slack, tiny, its_gap, its_upper)
                if index[place] != labels[row]:
                    move(high, low, weights, row, index[place], labels, coarse, fine, sums)
            count -= stop
            chosen[:count] = chosen[stop : stop + count]


@compiled
def move(  # noqa: PLR0913, PLR0917
    high: Any, low: Any, weights: Any, row: int, label: int, labels: Any, coarse: float, fine: float, sums: Any
) -> None:
    """Take a row from its cluster, if it has one yet, to another."""
    weight = weights[row] if weights.size else 1.0
    before = labels[row]
    if before < sums.shape[0]:
        add_row(high[row], low[row], weight, -1.0, coarse, fine, sums[before])
    add_row(high[row], low[row], weight, 1.0, coarse, fine, sums[label])
    labels[row] = label


@compiled
def nearest_of_tile(tile: Any, count: int, centres: Any, lines: Any, best: Any, second: Any, index: Any) -> None:
    """Set `best`, `second` and `index` to each row's distances to the nearest centre and the next, and which is nearest."""
    many = centres.shape[0]
    best.fill(FAR)
    second.fill(FAR)
    index.fill(0)
    for number in range(0, many, 2):
        both = min(2, many - number)
        tile_distances(tile, count, centres[number], centres[number + both - 1], lines[0], lines[1])
        for which in range(both):
            line = lines[which]
            for place in range(count):
                found, least = line[place], best[place]
                nearer = found < least
                further = least if nearer else found
                second[place] = further if further < second[place] else second[place]
                best[place] = found if nearer else least
                index[place] = np.int32(number + which) if nearer else index[place]
    for place in range(count):
        best[place] = np.sqrt(best[place])
        second[place] = np.sqrt(second[place])
