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

from muskox.learn.compiled import compiled

TILE = 256  # rows: 28 features of them take 28 kB, a core's first cache
FAR = 1e30  # a squared distance beyond any on the grid
MANY = 12  # rows of a tile
MAGIC = 1.5 * 2.0**52  # added and taken away again, it rounds a float64 below 2**51 to a whole number


@compiled
def fill(columns: Any, shift: Any, factor: Any, high: Any, low: Any) -> None:
    """Set high + low, shape (rows, features), to (columns - shift) * factor, shape (features, rows); NaN becomes 0."""
    features, rows = columns.shape
    for first in range(0, rows, TILE):
        last = min(first + TILE, rows)
        for feature in range(features):
            middle, scale = shift[feature], factor[feature]
            for row in range(first, last):
                value = (columns[feature, row] - middle) * scale
                if np.isnan(value):
                    value = 0.0
                rounded = np.float32(value)
                high[row, feature] = rounded
                low[row, feature] = np.float32(value - rounded)


@compiled
def tile_distances(tile: Any, rows: int, centre: Any, out: Any) -> None:
    """Set `out` to the squared distance of the first `rows` rows of a tile, shape (features, TILE), to `centre`."""
    features = centre.shape[0]
    for row in range(rows):
        out[row] = np.float32(0.0)
    feature = 0
    while feature + 4 <= features:
        a, b, c, d = centre[feature], centre[feature + 1], centre[feature + 2], centre[feature + 3]
        for row in range(rows):
            p, q = tile[feature, row] - a, tile[feature + 1, row] - b
            r, s = tile[feature + 2, row] - c, tile[feature + 3, row] - d
            out[row] += (p * p + q * q) + (r * r + s * s)
        feature += 4
    while feature < features:
        a = centre[feature]
        for row in range(rows):
            p = tile[feature, row] - a
            out[row] += p * p
        feature += 1


@compiled
def absorb(tiles: Any, centres: Any, first_index: int, best: Any, index: Any) -> None:
    """Let the nearest centre of each row be one of `centres`, counted from `first_index`, where that is nearer than `best`."""
    rows = best.shape[0]
    squared = np.empty(TILE, dtype=np.float32)
    for first in range(0, rows, TILE):
        count = min(TILE, rows - first)
        for number in range(centres.shape[0]):
            tile_distances(tiles[first // TILE], count, centres[number], squared)
            for row in range(count):
                nearer = squared[row] < best[first + row]
                index[first + row] = np.int32(first_index + number) if nearer else index[first + row]
                best[first + row] = squared[row] if nearer else best[first + row]


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
def assign(  # noqa: PLR0913, PLR0917  # a kernel's arguments are its buffers
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

    `slack` and `tiny` cover all rounding, so that the result is that of computing every distance. A label of -1 is of a row not
    yet looked at.
    """
    rows, features = high.shape
    tile, line = np.empty((features, TILE), dtype=np.float32), np.empty(TILE, dtype=np.float32)
    best, second = np.empty(TILE, dtype=np.float32), np.empty(TILE, dtype=np.float32)
    index, chosen = np.empty(TILE, dtype=np.int32), np.empty(2 * TILE, dtype=np.int64)
    count = 0
    for first in range(0, rows, TILE):
        here, before = min(TILE, rows - first), count
        for row in range(first, first + here):
            label = labels[row]
            if label < 0 or (gap[row] <= doubt[label] and (upper[row] + strayed[label]) * slack + tiny >= half[label]):
                chosen[count] = row
                count += 1
        is_whole = count - before >= MANY  # a whole tile as it lies costs less than gathering some of it
        while is_whole or count >= TILE or (count > 0 and first + here == rows):
            start, stop = (before, count) if is_whole else (0, min(count, TILE))
            if is_whole:
                nearest_of_tile(tiles[first // TILE], here, centres, line, best, second, index)
            else:
                for place in range(stop):
                    for feature in range(features):
                        tile[feature, place] = high[chosen[place], feature]
                nearest_of_tile(tile, stop, centres, line, best, second, index)
            for place in range(start, stop):
                row = chosen[place]
                at = row - first if is_whole else place
                label, found = labels[row], index[at]
                above = np.float64(best[at]) * slack + tiny
                rest = above - strayed[found]
                upper[row] = np.float32(rest + 2e-7 * abs(rest))
                rest = (np.float64(second[at]) * (2.0 - slack) - tiny) - (above * slack + tiny) + doubt[found]
                gap[row] = np.float32(rest - 2e-7 * abs(rest))
                if found != label:
                    weight = weights[row] if weights.size else 1.0
                    if label >= 0:
                        add_row(high[row], low[row], weight, -1.0, coarse, fine, sums[label])
                    add_row(high[row], low[row], weight, 1.0, coarse, fine, sums[found])
                    labels[row] = found
            count -= stop - start
            if not is_whole:
                chosen[:count] = chosen[stop : stop + count]
            is_whole = False


@compiled
def nearest_of_tile(tile: Any, count: int, centres: Any, line: Any, best: Any, second: Any, index: Any) -> None:
    """Set `best`, `second` and `index` to each row's distances to the nearest centre and the next, and which is nearest."""
    best.fill(FAR)
    second.fill(FAR)
    index.fill(0)
    for number in range(centres.shape[0]):
        tile_distances(tile, count, centres[number], line)
        for place in range(count):
            found, least = line[place], best[place]
            nearer = found < least
            further = least if nearer else found
            second[place] = further if further < second[place] else second[place]
            best[place] = found if nearer else least
            index[place] = np.int32(number) if nearer else index[place]
    for place in range(count):
        best[place] = np.sqrt(best[place])
        second[place] = np.sqrt(second[place])
