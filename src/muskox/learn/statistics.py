"""Statistics of columns: what an encoder must know of the data, computed shard by shard and merged in the fixed tree.

Numeric columns: count, mean and sum of squared deviations of the values present, combined by the formula of Chan, Golub and
LeVeque ("Updating formulae and a pairwise algorithm for computing sample variances", 1979); exact least and greatest value;
where the first infinity stands; how many rows are absent. Categorical columns: every value with its count, exact, the least
``limit + 1`` values kept (so that what was cut off is known and does not depend on who merged first), and how many are missing.

With weights a row of weight w counts as w rows, and one of weight 0 as none: counts are sums of weights then, and rounded, so
that none is compared with another; "absent" is a number of rows.

Nothing here raises for bad data: a shard only reports. Who reads the whole raises, so that the same data gives the same
sentence on every engine.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from muskox.learn.columns import Column, Floats
from muskox.program import Block
from muskox.records import Record

Ints = NDArray[np.int64]
Value = bool | int | float | str
Place = tuple[int, int | Ints]
NOWHERE = (-1, -1)
ALL_ONCE: Floats = np.zeros(0)  # no weights


def empty(columns: Sequence[Column], limits: Sequence[int], is_weighted: bool = False) -> Record:
    """Return the statistics of no rows: the neutral element of `merge`."""
    numeric = sum(not column.categorical for column in columns)
    return {
        "rows": 0,
        "count": np.zeros(numeric, dtype=np.float64 if is_weighted else np.int64),
        "mean": np.zeros(numeric),
        "squares": np.zeros(numeric),
        "low": np.full(numeric, np.inf),
        "high": np.full(numeric, -np.inf),
        "infinite": np.full((numeric, 2), NOWHERE, dtype=np.int64),
        "absent": np.zeros(numeric, dtype=np.int64),
        "limits": list(limits),
        "values": [[] for _ in limits],
        "counts": [[] for _ in limits],
        "missing": [0 for _ in limits],
    }


def block_statistics(
    columns: Sequence[Column], limits: Sequence[int], place: Place, block: Block, weights: Floats | None = None
) -> Record:
    """Return the statistics of one block; `limits` bounds the kept values of each categorical column.

    place : its shard, and where in it the first row stands, or each of them, if others between them do not count
    weights : of the rows, above 0; None counts each once
    """
    count, mean, squares, low, high, infinite, absent = described(
        [column for column in columns if not column.categorical], block, weights
    )
    categorical = [column.values(block.batch) for column in columns if column.categorical]
    counted = [least(count_values(values, weights), limit) for values, limit in zip(categorical, limits, strict=True)]
    shard, first = place
    places = [(shard, row_of(first, int(row))) if row >= 0.0 else NOWHERE for row in infinite]
    return {
        "rows": block.rows,
        "count": count.astype(np.int64) if weights is None else count,
        "mean": mean,
        "squares": squares,
        "low": low,
        "high": high,
        "infinite": np.array(places, dtype=np.int64).reshape(-1, 2),
        "absent": absent.astype(np.int64),
        "limits": list(limits),
        "values": [list(counts) for counts in counted],
        "counts": [list(counts.values()) for counts in counted],
        "missing": [count_missing(values, weights) for values in categorical],
    }


def indicator_shares(found: Mapping[str, Any], weight: float) -> Floats:
    """Return the share in `weight`, that of all rows, of each indicator that an encoder makes of categorical columns.

    found : "counts" and "missing" of these columns
    """
    shares: list[float] = []
    for counts, missing in zip(found["counts"], found["missing"], strict=True):
        shares += [count / weight for count in (*counts, *([missing] if missing else []))]
    return np.array(shares, dtype=np.float64)


def count_missing(values: Any, weights: Floats | None) -> float:
    if weights is None or not values.null_count:
        return int(values.null_count)
    return float(np.add.reduce(weights[values.is_null().to_numpy(zero_copy_only=False)]))


def described(columns: Sequence[Column], block: Block, weights: Floats | None) -> Floats:
    """Return of each numeric column count, mean, squared deviations, least, greatest, the row of the first infinity or -1,
    and how many rows are missing.

    Shape (7, columns). Mean and deviations are 0 where an infinity is.
    """
    from muskox.learn.lines import Lines
    from muskox.learn.statistics_kernels import TOLD, describe

    arrays = [column.lying(block.batch) for column in columns]
    out = np.empty((len(arrays), TOLD))
    is_narrow = np.array([array.type == pa.float32() for array in arrays], dtype=bool)
    for kind in (True, False):
        chosen = np.flatnonzero(is_narrow == kind)
        if chosen.size:
            told = np.empty((chosen.size, TOLD))
            lines = Lines.of_arrow([arrays[index] for index in chosen], block.rows)
            describe(*lines.where, block.rows, ALL_ONCE if weights is None else weights, told)
            out[chosen] = told
    return np.ascontiguousarray(out.T)


def row_of(first: int | Ints, row: int) -> int:
    """Return where in its shard a row of a block is; see `block_statistics`."""
    return first + row if isinstance(first, int) else int(first[row])


def count_values(values: Any, weights: Floats | None = None) -> dict[Value, float]:
    """Return how often each value occurs; with weights, the sum of its rows' weights."""
    if weights is None:
        counts = pc.value_counts(values)
        pairs = zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True)
        return {value: count for value, count in pairs if value is not None}
    coded = values.dictionary_encode()
    codes = coded.indices.fill_null(len(coded.dictionary)).to_numpy(zero_copy_only=False)
    sums = np.bincount(codes, weights=weights, minlength=len(coded.dictionary) + 1)
    return dict(zip(coded.dictionary.to_pylist(), sums.tolist(), strict=False))


def least(counts: dict[Value, float], limit: int) -> dict[Value, float]:
    """Return the `limit` + 1 least values with their counts, sorted (text by code point, which is the order of its UTF-8)."""
    return {value: counts[value] for value in sorted(counts)[: limit + 1]}


def merge(left: Record, right: Record) -> Record:
    """Return the statistics of the rows of `left` followed by the rows of `right`."""
    count = left["count"] + right["count"]
    share = right["count"] / np.where(count > 0, count, 1)
    with np.errstate(over="ignore", invalid="ignore"):
        delta = right["mean"] - left["mean"]
        mean = left["mean"] + delta * share
        squares = left["squares"] + right["squares"] + delta * delta * (left["count"] * share)
    found = left["infinite"][:, :1] >= 0
    counted = [merge_counts(left, right, index, limit) for index, limit in enumerate(left["limits"])]
    return {
        "rows": left["rows"] + right["rows"],
        "count": count,
        "mean": mean,
        "squares": squares,
        "low": np.minimum(left["low"], right["low"]),
        "high": np.maximum(left["high"], right["high"]),
        "infinite": np.where(found, left["infinite"], right["infinite"]),
        "absent": left["absent"] + right["absent"],
        "limits": left["limits"],
        "values": [list(counts) for counts in counted],
        "counts": [list(counts.values()) for counts in counted],
        "missing": [a + b for a, b in zip(left["missing"], right["missing"], strict=True)],
    }


def merge_counts(left: Record, right: Record, index: int, limit: int) -> dict[Value, float]:
    def both(total: dict[Value, float], pair: tuple[Value, float]) -> dict[Value, float]:
        total[pair[0]] = total.get(pair[0], 0) + pair[1]
        return total

    start: dict[Value, float] = dict(zip(left["values"][index], left["counts"][index], strict=True))
    return least(reduce(both, zip(right["values"][index], right["counts"][index], strict=True), start), limit)
