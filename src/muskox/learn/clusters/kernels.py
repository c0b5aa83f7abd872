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
def absorb(high: Any, centres: Any, first_index: int, best: Any, index: Any) -> None:
    """Let the nearest centre of each row be one of `centres`, counted from `first_index`, where that is nearer than `best`."""
    rows, features = high.shape
    tile = np.empty((features, TILE), dtype=np.float32)
    squared = np.empty(TILE, dtype=np.float32)
    for first in range(0, rows, TILE):
        count = min(TILE, rows - first)
        for row in range(count):
            for feature in range(features):
                tile[feature, row] = high[first + row, feature]
        for number in range(centres.shape[0]):
            tile_distances(tile, count, centres[number], squared)
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
    high: Any, low: Any, weights: Any, centres: Any, strayed: Any, doubt: Any, half: Any, groups: Any, travelled: Any,
    slack: float, tiny: float, gap: Any, bounds: Any, labels: Any, coarse: float, fine: float, sums: Any,
) -> int:  # fmt: skip
    """Give each row the nearest of `centres` and keep `sums`, shape (clusters, limbs, features + 1), by it.

    A row whose bounds prove that its centre is still the nearest is not looked at. Every bound is kept with what centres had
    moved by then taken off or added, so that it need not be written again when they move on:

    doubt, gap : by how much bounds of rows of a centre have shrunk so far, and by row the distance to any other centre less
        that to its own, plus that (Hamerly, "Making k-means even faster", 2010)
    strayed, bounds[:, 0] : all that a centre has moved so far, and by row the distance to its centre, less that
    half : half the distance from a centre to the nearest other
    travelled, bounds[:, 1:] : the most that any centre of each of the `groups` has moved so far, and by row and group the
        distance to the others there, plus that (Ding et al., "Yinyang k-means", 2015)

    `slack` and `tiny` cover all rounding, so that the result is that of computing every distance. A label of -1 is of a row not
    yet looked at.

    Returns
    -------
    how many rows were looked at
    """
    rows, features = high.shape
    several = travelled.shape[0]
    tile = np.empty((features, TILE), dtype=np.float32)
    squared, others = np.empty((centres.shape[0], TILE), dtype=np.float32), np.empty((several, TILE), dtype=np.float32)
    best, index = np.empty(TILE, dtype=np.float32), np.empty(TILE, dtype=np.int32)
    doubted, chosen = np.empty(TILE, dtype=np.int64), np.empty(2 * TILE, dtype=np.int64)
    touched = np.empty(1, dtype=np.float32)  # so that the compiler sees a use of it
    doubtful, count, looked = 0, 0, 0
    for row in range(rows):
        label = labels[row]
        if label < 0 or gap[row] <= doubt[label]:
            doubted[doubtful] = row
            doubtful += 1
        if doubtful < TILE and row < rows - 1:
            continue
        touched[0] = touch(bounds, doubted, doubtful)
        for place in range(doubtful):
            if not is_still_nearest(doubted[place], strayed, doubt, half, travelled, slack, tiny, gap, bounds, labels):
                chosen[count] = doubted[place]
                count += 1
        doubtful = 0
        while count >= TILE or (row == rows - 1 and count > 0):
            width = min(count, TILE)
            looked += width
            touched[0] = touch(high, chosen, width)
            for place in range(width):
                for feature in range(features):
                    tile[feature, place] = high[chosen[place], feature]
            nearest_of_tile(tile, width, centres, groups, slack, squared, best, index, others)
            for place in range(width):
                this, found, label = chosen[place], index[place], labels[chosen[place]]
                keep_bounds(this, place, found, best, others, strayed, doubt, travelled, slack, tiny, gap, bounds)
                if found != label:
                    weight = weights[this] if weights.size else 1.0
                    if label >= 0:
                        add_row(high[this], low[this], weight, -1.0, coarse, fine, sums[label])
                    add_row(high[this], low[this], weight, 1.0, coarse, fine, sums[found])
                    labels[this] = found
            count -= width
            chosen[:count] = chosen[width : width + count]
    return looked


@compiled
def touch(matrix: Any, rows: Any, count: int) -> float:
    """Read from every cache line of these rows, whose reads then wait for memory together and not one after the other."""
    total = np.float32(0.0)
    for place in range(count):
        for column in range(0, matrix.shape[1], 16):
            total += matrix[rows[place], column]
        total += matrix[rows[place], matrix.shape[1] - 1]
    return float(total)


@compiled
def is_still_nearest(  # noqa: PLR0913, PLR0917
    row: int, strayed: Any, doubt: Any, half: Any, travelled: Any, slack: float, tiny: float, gap: Any, bounds: Any, labels: Any
) -> bool:
    """Return whether the bounds other than `gap` prove that a row's centre is still the nearest, and let `gap` tell it."""
    label = labels[row]
    if label < 0:
        return False
    above = (bounds[row, 0] + strayed[label]) * slack + tiny
    if above < half[label]:
        return True
    least = np.float32(np.inf)
    for group in range(travelled.shape[0]):
        found = bounds[row, 1 + group] - travelled[group]
        least = found if found < least else least
    spare = np.float64(least) - tiny - above
    if spare <= 0.0:
        return False
    gap[row] = np.float32((spare + doubt[label]) * (1.0 - 2e-7))
    return True


@compiled
def keep_bounds(  # noqa: PLR0913, PLR0917
    row: int, place: int, label: int, best: Any, others: Any, strayed: Any, doubt: Any, travelled: Any, slack: float,
    tiny: float, gap: Any, bounds: Any,
) -> None:  # fmt: skip
    """Keep the bounds of a row that was looked at."""
    less, least = np.float32(2.0 - slack), np.float32(np.inf)
    for group in range(travelled.shape[0]):
        away = others[group, place]
        least = away if away < least else least
        bounds[row, 1 + group] = (away + travelled[group]) * less
    above = np.sqrt(np.float64(best[place])) * slack + tiny
    rest = above - strayed[label]
    bounds[row, 0] = np.float32(rest + 2e-7 * abs(rest))
    rest = np.float64(least) - tiny - above * slack - tiny + doubt[label]
    gap[row] = np.float32(rest - 2e-7 * abs(rest))


@compiled
def nearest_of_tile(  # noqa: PLR0913, PLR0917
    tile: Any, count: int, centres: Any, groups: Any, slack: float, squared: Any, best: Any, index: Any, others: Any
) -> None:
    """Set `best` and `index` to the nearest centre of each row of a tile, `others` to bounds of the others' by group."""
    best.fill(np.inf)
    index.fill(0)
    for number in range(centres.shape[0]):
        line = squared[number]
        tile_distances(tile, count, centres[number], line)
        for place in range(count):
            nearer = line[place] < best[place]
            index[place] = np.int32(number) if nearer else index[place]
            best[place] = line[place] if nearer else best[place]
    others.fill(np.inf)
    for number in range(centres.shape[0]):
        line, least = squared[number], others[groups[number]]
        for place in range(count):
            found = np.float32(np.inf) if index[place] == number else line[place]
            least[place] = found if found < least[place] else least[place]
    for group in range(others.shape[0]):
        least = others[group]
        for place in range(count):
            least[place] = np.sqrt(least[place]) * np.float32(2.0 - slack)
