"""What may be wrong with a dataset: constant columns, repeated rows, contradictory labels, keys that two datasets share.

It owns the checks, their record and their sentences. It must never know where rows lie: they come in as batches, which can be
read again. Rows are compared by 64-bit hashes (`hashing`: a missing value is like NaN, 1 like 1.0), so equal rows are always
found, and different ones taken for equal with the probability that the report gives. Memory holds HELD_MAX hashes, 16 bytes
each and a few copies; a larger dataset is read several times, each time for one part of the hashes (`tally`).

A *contradiction* is two rows with equal features and different labels. Features are all columns but the target and the key
(a key that differs in every row would hide every contradiction). Rows without a label contradict nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from muskox.errors import CallerError
from muskox.store.inspection.profile import ColumnProfile, Profiler
from muskox.store.inspection.tally import Chosen, Counts, Part, Tally, collision_probability, parts_of
from muskox.store.partition.hashing import MISSING, Words, combine, hash_values

HELD_MAX = 1 << 23  # hashes in memory at a time: about 0.5 GB while they are sorted
MISSING_NOTABLE = 0.05  # a column with fewer missing values is no finding, unless it is the target

Hashes = dict[str, Words]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that can be read again: `scan` takes names of columns and yields batches (pyarrow.RecordBatch) of at least those.

    A dataset is ``Rows(dataset.reference, dataset.columns, dataset.rows, dataset.scan)``.
    """

    name: str
    columns: Mapping[str, str]
    rows: int
    scan: Callable[[Sequence[str]], Iterator[Any]]


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What to check beside the columns and repeated rows.

    target : the column of labels, None for no look at contradictions
    key : columns that name a row; what two datasets may not have in common. Without one that is all columns but the target
    held_max : hashes in memory at a time
    progress : called after each batch with how many rows are read, of how many in all passes
    """

    target: str | None = None
    key: tuple[str, ...] = ()
    held_max: int = HELD_MAX
    progress: Callable[[int, int], None] | None = None


class Repeats(msgspec.Struct, frozen=True, kw_only=True):
    """How often rows, or keys, occur.

    distinct : different ones
    repeated : rows whose like came before
    most : rows of the one that occurs most often
    """

    distinct: int
    repeated: int
    most: int


class Contradictions(msgspec.Struct, frozen=True, kw_only=True):
    """Groups of rows with equal features and more than one label, and the rows in them."""

    groups: int
    rows: int


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """What two datasets have in common.

    other : the other one
    columns : by which they are compared
    keys : different keys that are in both
    rows, other_rows : rows that have them, here and there
    share, other_share : of all rows, 0 to 1
    """

    other: str
    columns: tuple[str, ...]
    keys: int
    rows: int
    share: float
    other_rows: int
    other_share: float


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found; `msgspec.to_builtins` makes JSON of it.

    key, contradictions, common : None if they were not asked for
    key_missing : rows in which a column of the key is missing; they count neither as keys nor as repeats
    passes : how often the rows were read
    collision_probability : the most that the probability can be that two different rows were taken for equal
    findings : what a person should know, a sentence each; none if nothing is odd
    """

    name: str
    rows: int
    columns: list[ColumnProfile]
    repeats: Repeats
    key: Repeats | None
    key_missing: int
    contradictions: Contradictions | None
    common: Common | None
    passes: int
    collision_probability: float
    findings: list[str]


def check_rows(data: Rows, options: CheckOptions = CheckOptions(), against: Rows | None = None) -> CheckReport:
    """Check rows, and what they have in common with those of `against`.

    Raises
    ------
    CallerError
        If there is no such target or key column, no feature is left beside them, or `against` has no such columns.
    """
    check = _Check(data, options, against)
    parts = check.parts()
    for part in parts:
        check.read(part, len(parts))
    return check.report(len(parts))


class _Check:
    """One check: which columns it compares, and what it has counted so far."""

    def __init__(self, data: Rows, options: CheckOptions, against: Rows | None) -> None:
        self._data, self._options, self._against = data, options, against
        self._names = list(data.columns)
        _need(data, [*options.key, *([] if options.target is None else [options.target])])
        self._features = [name for name in self._names if name != options.target and name not in options.key]
        if options.target is not None and not self._features:
            raise CallerError(f"beside target and key {data.name} has no column left that could be a feature")
        self._shared = options.key or tuple(name for name in self._names if name != options.target)
        if against is not None:
            _need_alike(data, against, self._shared)
        self._profilers = {name: Profiler(name, kind) for name, kind in data.columns.items()}
        self._done = self._key_missing = 0
        self._repeats, self._keys, self._contradictions = (0, 0), (0, 0), (0, 0)
        self._common = (0, 0, 0)

    def parts(self) -> list[Part]:
        tallies = 1 + bool(self._options.target) + bool(self._options.key or self._against)
        rows = tallies * self._data.rows + (self._against.rows if self._against else 0)
        return parts_of(rows, self._options.held_max)

    def read(self, part: Part, parts: int) -> None:
        """Read all rows once, and count what lies in this part."""
        rows, labels, keys = Tally(), Tally(2), Tally()
        total = parts * (self._data.rows + (self._against.rows if self._against else 0))
        for batch in self._data.scan(self._names):
            hashes = {name: hash_values(batch.column(name)) for name in self._names}
            if part.index == 0:
                for name, profiler in self._profilers.items():
                    profiler.add(batch.column(name), hashes[name])
            _add(rows, part, combine(list(hashes.values())))
            if self._options.target is not None:
                label = hashes[self._options.target]
                _add(labels, part, combine([hashes[name] for name in self._features]), label, only=label != MISSING)
            if self._options.key or self._against:
                present = self._present(hashes)
                self._key_missing += int(np.count_nonzero(~present)) if part.index == 0 else 0
                _add(keys, part, combine([hashes[name] for name in self._shared]), only=present)
            self._tell(batch.num_rows, total)
        self._repeats = _sum(self._repeats, rows.counts()[1])
        self._contradictions = _add_groups(self._contradictions, *labels.counts())
        words, counts = keys.counts()
        self._keys = _sum(self._keys, counts)
        if self._against is not None:
            self._compare(self._against, part, words[0], counts, total)

    def _compare(self, against: Rows, part: Part, words: Words, counts: Counts, total: int) -> None:
        others = Tally()
        for batch in against.scan(self._shared):
            hashes = {name: hash_values(batch.column(name)) for name in self._shared}
            _add(others, part, combine(list(hashes.values())), only=self._present(hashes))
            self._tell(batch.num_rows, total)
        other_words, other_counts = others.counts()
        _, here, there = np.intersect1d(words, other_words[0], assume_unique=True, return_indices=True)
        keys, rows, other_rows = self._common
        self._common = (keys + len(here), rows + int(counts[here].sum()), other_rows + int(other_counts[there].sum()))

    def _present(self, hashes: Hashes) -> Chosen:
        """Return which rows have a key: whole rows always are one."""
        present = np.ones(len(hashes[self._shared[0]]), np.bool_)
        for name in self._options.key:
            present &= hashes[name] != MISSING
        return present

    def _tell(self, rows: int, total: int) -> None:
        self._done += rows
        if self._options.progress is not None:
            self._options.progress(self._done, total)

    def report(self, passes: int) -> CheckReport:
        data, against = self._data, self._against
        common = None
        if against is not None:
            keys, rows, other_rows = self._common
            common = Common(
                other=against.name,
                columns=self._shared,
                keys=keys,
                rows=rows,
                share=rows / data.rows if data.rows else 0.0,
                other_rows=other_rows,
                other_share=other_rows / against.rows if against.rows else 0.0,
            )
        report = CheckReport(
            name=data.name,
            rows=data.rows,
            columns=[profiler.profile() for profiler in self._profilers.values()],
            repeats=_repeats(self._repeats, data.rows),
            key=_repeats(self._keys, data.rows - self._key_missing) if self._options.key else None,
            key_missing=self._key_missing,
            contradictions=None
            if self._options.target is None
            else Contradictions(groups=self._contradictions[0], rows=self._contradictions[1]),
            common=common,
            passes=passes,
            collision_probability=collision_probability(data.rows + (against.rows if against else 0)),
            findings=[],
        )
        return msgspec.structs.replace(report, findings=list(findings(report, self._options)))


def findings(report: CheckReport, options: CheckOptions) -> Iterator[str]:
    """Yield what a person should know of a report, a sentence each."""
    for column in report.columns:
        yield from _column_findings(column, column.name == options.target)
    if report.repeats.repeated:
        most = f"the most frequent one occurs {report.repeats.most:,} times"
        yield f"{_of(report.repeats.repeated, report.rows)} repeat an earlier row; {most}"
    if report.key is not None and report.key.repeated:
        most = f"the most frequent one has {report.key.most:,} rows"
        count = _of(report.key.repeated, report.rows)
        yield f"the key {_list(options.key)} is not unique: {count} repeat an earlier key; {most}"
    if report.key_missing:
        yield f"{_of(report.key_missing, report.rows)} have no key: a column of {_list(options.key)} is missing in them"
    if report.contradictions is not None and report.contradictions.groups:
        groups = f"{report.contradictions.groups:,} {'group' if report.contradictions.groups == 1 else 'groups'}"
        yield (
            f"{_of(report.contradictions.rows, report.rows)} contradict each other: {groups} of equal features with "
            f"different {options.target!r}"
        )
    if report.common is not None and report.common.keys:
        common = report.common
        what = f"keys {_list(common.columns)}" if options.key else "rows"
        yield (
            f"{common.keys:,} different {what} are in {common.other}, too: {_percent(common.share)} of the rows here, "
            f"{_percent(common.other_share)} there; a model trained on one is not tested by the other"
        )


def _column_findings(column: ColumnProfile, is_target: bool) -> Iterator[str]:
    name = f"column {column.name!r}"
    if column.is_empty:
        yield f"{name} has no values"
    elif column.has_one_value:
        what = "is constant: every row has" if not column.missing else "has no value but"
        yield f"{name} {what} {column.least!r}"
    if column.missing and not column.is_empty and (is_target or column.missing_rate >= MISSING_NOTABLE):
        yield f"{'the target' if is_target else name} is missing in {_of(column.missing, column.rows)}"


def _need(data: Rows, names: Sequence[str]) -> None:
    for name in names:
        if name not in data.columns:
            raise CallerError(f"no column {name!r}: {data.name} has {', '.join(data.columns)}")


def _need_alike(data: Rows, against: Rows, names: Sequence[str]) -> None:
    _need(against, names)
    for name in names:
        kinds = {data.columns[name], against.columns[name]}
        if len(kinds) > 1 and kinds != {"int", "float"}:
            raise CallerError(
                f"column {name!r} is {data.columns[name]} in {data.name} and {against.columns[name]} in {against.name}: "
                "compare them by columns of one type"
            )


def _add(tally: Tally, part: Part, key: Words, *others: Words, only: Chosen | None = None) -> None:
    """Count rows by `key` and what goes with it; those of this part, and of them those in `only`."""
    if part.parts > 1:
        only = part.holds(key) if only is None else only & part.holds(key)
    tally.add(*(words if only is None else words[only] for words in (key, *others)))


def _sum(known: tuple[int, int], counts: Counts) -> tuple[int, int]:
    """Add the counts of another part to (distinct, most)."""
    return known[0] + len(counts), max(known[1], int(counts.max(initial=0)))


def _repeats(known: tuple[int, int], rows: int) -> Repeats:
    return Repeats(distinct=known[0], repeated=rows - known[0], most=known[1])


def _add_groups(known: tuple[int, int], words: Any, counts: Counts) -> tuple[int, int]:
    """Add the contradictions of another part to (groups, rows): sorted (features, label), so a group stands together."""
    if not len(counts):
        return known
    first = np.flatnonzero(np.append(True, words[0, 1:] != words[0, :-1]))
    labels, rows = np.diff(np.append(first, len(counts))), np.add.reduceat(counts, first)
    return known[0] + int(np.count_nonzero(labels > 1)), known[1] + int(rows[labels > 1].sum())


def _of(count: int, rows: int) -> str:
    return f"{count:,} of {rows:,} rows ({_percent(count / rows)})"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
