"""Whether one column alone tells the target: the commonest sign that a feature was written down after the fact.

A sample of rows, in one round. Each column is cut into bins (numbers at the quantiles of one half of the sample, anything else
by its values); what a bin's rows of that half say of the target is held against the other half. So a column of identifiers,
which tells nothing of rows not seen, is not taken for one that tells everything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from muskox.evaluate import ranks, sample
from muskox.program import Block, Done, Manifest, Program, Shard
from muskox.records import Array, Record

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

AUC_SUSPECT = 0.995  # of two classes: breast cancer's best column (scikit-learn's copy), which is honest, has 0.976
EXPLAINED_SUSPECT = 0.99  # of a number, R squared; of more classes, of their indicators: iris' best column has 0.87
ROWS_MIN = 60  # of the sample: fewer tell nothing
OF_A_CLASS_MIN = 10  # rows of the rarer of two classes: fewer are ranked by chance
BINS = 64
SAMPLE_ROWS = 8192
CLASSES_OF_NUMBERS_MAX = 20  # distinct numbers that are taken for classes, where nobody says what they are
CLASSES_MAX = 100  # of the target: of more, no column is judged


@dataclass(frozen=True, slots=True)
class OneColumnProgram:
    """Judge how well each column alone predicts `target`.

    The result: "measure" ("auc", "r2" or "explained"), "names" and "scores" of the columns (none where the target or the rows
    are not fit to judge by), and "rows" (of the sample).

    Parameters
    ----------
    columns : to judge
    is_number : whether the target is one, and not a class; None takes it for one if it has more than 20 distinct numbers
    """

    kind: ClassVar[str] = "suspect"

    target: str
    columns: tuple[str, ...]
    is_number: bool | None = False
    seed: int = 0

    def parameters(self) -> Record:
        return {"target": self.target, "columns": list(self.columns), "is_number": self.is_number, "seed": self.seed}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        return cls(**{**parameters, "columns": tuple(parameters["columns"])})

    def reads(self) -> list[str]:
        return [*self.columns, self.target]

    def initial(self, manifest: Manifest) -> Record:
        named = (*self.columns, self.target)
        chosen = [[name, manifest.columns[name]] for name in named if manifest.columns.get(name) in sample.TYPES]
        return {"columns": chosen}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        columns = [(str(name), str(kind)) for name, kind in state["columns"]]
        found = sample.draw(shard, blocks, columns, SAMPLE_ROWS, self.seed, "one column")
        return {**found, "kinds": [kind for _, kind in columns]}

    def merge(self, left: Record, right: Record) -> Record:
        return {**sample.merge(left, right, left["kinds"], SAMPLE_ROWS), "kinds": left["kinds"]}

    def update(self, state: Record, total: Record) -> Record | Done:
        names = [str(name) for name, _ in state["columns"]]
        arrays = dict(zip(names, sample.arrays_of(total, total["kinds"]), strict=True))
        rows = int(total["lots"].size)
        if self.target not in arrays:
            return Done({"measure": "explained", "names": [], "scores": [], "rows": rows})
        measure, judge = judge_of(arrays.pop(self.target), is_number=self.is_number)
        scores = {} if judge is None else {name: judge(array) for name, array in arrays.items()}
        return Done({"measure": measure, "names": list(scores), "scores": list(scores.values()), "rows": rows})


def suspects(found: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the columns of a result that tell nearly everything, with their scores, the highest first."""
    limit = AUC_SUSPECT if found["measure"] == "auc" else EXPLAINED_SUSPECT
    named = [(str(name), float(score)) for name, score in zip(found["names"], found["scores"], strict=True) if score >= limit]
    return sorted(named, key=lambda pair: (-pair[1], pair[0]))


def judge_of(target: Any, *, is_number: bool | None) -> tuple[str, Any]:
    """Return how columns are judged beside this target, as a word and as a function of a column; None if they are not."""
    if is_number is None:
        is_number = str(target.type) in ("double", "int64") and pc.count_distinct(target).as_py() > CLASSES_OF_NUMBERS_MAX
    there = np.asarray(target.is_valid().to_numpy(zero_copy_only=False), dtype=bool)
    if is_number:
        y = target.cast("float64").to_numpy(zero_copy_only=False)
        good = there & np.isfinite(y)
        y = scaled(np.where(good, y, 0.0))
        return "r2", (lambda column: of_number(column, y, good)) if np.count_nonzero(good) >= ROWS_MIN else None
    codes, classes = codes_of(target)
    counts = np.bincount(codes[there], minlength=classes)[:classes]
    is_fit = np.count_nonzero(there) >= ROWS_MIN and 2 <= classes <= CLASSES_MAX
    if classes == 2:
        is_fit = is_fit and int(np.min(counts)) >= OF_A_CLASS_MIN
        return "auc", (lambda column: of_two_classes(column, codes == 1, there)) if is_fit else None
    return "explained", (lambda column: of_classes(column, codes, classes, there)) if is_fit else None


def of_two_classes(column: Any, positive: NDArray[np.bool_], good: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve by the column alone, by its bins or by its numbers as they stand."""
    learned, held = halves(good)
    shares = of_bins(bins_of(column, learned), positive.astype(np.float64)[:, None], learned)[:, 0]
    best = area(shares[held], positive[held])
    numbers = numbers_of(column)
    if numbers is not None:
        there = good & np.isfinite(numbers)
        if np.count_nonzero(there) == np.count_nonzero(good):
            plain = area(numbers[there], positive[there])
            best = max(best, plain, 1.0 - plain)
    return best


def of_number(column: Any, y: Floats, good: NDArray[np.bool_]) -> float:
    """Return R squared by the column alone: by its bins, by a straight line, or by the ranks of its numbers."""
    learned, held = halves(good)
    found = explained(of_bins(bins_of(column, learned), y[:, None], learned)[held], y[held][:, None])
    numbers = numbers_of(column)
    if numbers is not None and np.isfinite(numbers[good]).all():
        found = max(found, correlation(numbers[good], y[good]), correlation(places(numbers[good]), places(y[good])))
    return found


def of_classes(column: Any, codes: Ints, classes: int, good: NDArray[np.bool_]) -> float:
    """Return the share of the variance of the classes' indicators that the column alone explains."""
    indicators = (codes[:, None] == np.arange(classes)).astype(np.float64)
    learned, held = halves(good)
    return explained(of_bins(bins_of(column, learned), indicators, learned)[held], indicators[held])


def halves(good: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return the good rows of the sample in two halves: its order is drawn, so any two will do."""
    rows = np.flatnonzero(good)
    return rows[: rows.size // 2], rows[rows.size // 2 :]


def bins_of(column: Any, learned: Ints) -> Ints:
    """Return the bin of each row: of numbers, cut at quantiles of the `learned` rows, NaN for itself; else by value."""
    numbers = numbers_of(column)
    if numbers is None:
        return codes_of(column)[0]
    seen = np.sort(numbers[learned][np.isfinite(numbers[learned])], kind="stable")
    if not seen.size:
        return np.zeros(numbers.size, dtype=np.int64)
    edges = np.unique(seen[np.arange(1, BINS) * seen.size // BINS])
    found = np.searchsorted(edges, numbers, side="right").astype(np.int64)
    found[np.isnan(numbers)] = edges.size + 1
    return found


def of_bins(bins: Ints, y: Floats, learned: Ints) -> Floats:
    """Return for each row the mean of `y`, shape (rows, values), over the learned rows of its bin; else over all."""
    size = int(np.max(bins, initial=0)) + 1
    counts = np.bincount(bins[learned], minlength=size)
    whole = np.add.reduce(y[learned]) / max(learned.size, 1)
    out = np.empty_like(y)
    for index in range(y.shape[1]):
        sums = np.bincount(bins[learned], y[learned, index], minlength=size)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), whole[index])
        out[:, index] = means[bins]
    return out


def explained(told: Floats, y: Floats) -> float:
    """Return the share of the variance of `y` (rows, values) that is explained; 0 where there is none."""
    errors, deviations = y - told, y - np.add.reduce(y) / max(len(y), 1)
    spread = float(np.add.reduce(np.add.reduce(deviations * deviations)))
    return 1.0 - float(np.add.reduce(np.add.reduce(errors * errors))) / spread if spread > 0.0 else 0.0


def area(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve; one half where all rows are of one class."""
    counts = ranks.rank(scores, positive)
    if not (counts["positives"].any() and counts["negatives"].any()):
        return 0.5
    return ranks.area_under_roc(counts["positives"], counts["negatives"])


def numbers_of(column: Any) -> Floats | None:
    """Return the values of a column of numbers, NaN where missing; None of any other column."""
    if str(column.type) not in ("double", "int64"):
        return None
    return np.asarray(pc.cast(column, "float64", safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def codes_of(column: Any) -> tuple[Ints, int]:
    """Return the index of each value among the distinct ones, sorted (missing after the last), and how many there are."""
    values = column.to_pylist()
    distinct = sorted({value for value in values if value is not None})
    index_of: dict[Any, int] = {value: index for index, value in enumerate(distinct)}
    codes: Array = np.array([index_of.get(value, len(distinct)) for value in values], dtype=np.int64)
    return codes, len(distinct)


def correlation(x: Floats, y: Floats) -> float:
    """Return the square of the correlation; 0 where one does not vary."""
    x, y = scaled(x), scaled(y)
    x, y = x - np.add.reduce(x) / x.size, y - np.add.reduce(y) / y.size
    spread, product = float(np.add.reduce(x * x) * np.add.reduce(y * y)), float(np.add.reduce(x * y))
    return product * product / spread if spread > 0.0 else 0.0


def scaled(x: Floats) -> Floats:
    """Return the numbers over the greatest of them, so that no square of one overflows or vanishes."""
    greatest = float(np.max(np.abs(x), initial=0.0))
    out: Floats = x / greatest if greatest > 0.0 else x
    return out


def places(x: Floats) -> Floats:
    """Return the rank of each number, equal ones the mean of theirs."""
    _, which, counts = np.unique(x, return_inverse=True, return_counts=True)
    middles: Floats = np.cumsum(counts) - (counts - 1) / 2.0
    return middles[which]
