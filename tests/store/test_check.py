"""A check finds what plain Python finds, in one pass or in many, and says it in sentences."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muskox.errors import CallerError
from muskox.store.inspection.check import CheckOptions, CheckReport, Rows, check_rows

COLUMNS = {"id": "int", "a": "string", "b": "float", "y": "bool"}
SCHEMA = pa.schema([("id", pa.int64()), ("a", pa.string()), ("b", pa.float64()), ("y", pa.bool_())])
ROW = st.tuples(
    st.one_of(st.none(), st.integers(0, 6)),
    st.sampled_from(["p", "q", None]),
    st.sampled_from([0.5, 1.0, None]),
    st.sampled_from([True, False, None]),
)
TABLES = st.lists(ROW, max_size=40)
Table = list[tuple[Any, ...]]


def rows_of(table: Table, name: str = "here@1", size: int = 7, scans: list[Sequence[str]] | None = None) -> Rows:
    arrow = pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in table], SCHEMA)

    def scan(columns: Sequence[str]) -> Iterator[Any]:
        if scans is not None:
            scans.append(columns)
        yield from arrow.select(list(columns)).to_batches(max_chunksize=size)

    return Rows(name, COLUMNS, len(table), scan)


def reference_contradictions(table: Table) -> tuple[int, int]:
    labels = defaultdict(list)
    for _, a, b, y in table:
        if y is not None:
            labels[a, b].append(y)
    groups = [group for group in labels.values() if len(set(group)) > 1]
    return len(groups), sum(map(len, groups))


@settings(deadline=None)
@given(TABLES, TABLES, st.integers(1, 60), st.integers(1, 12))
def test_a_check_finds_what_plain_python_finds(table: Table, other: Table, held_max: int, size: int) -> None:
    options = CheckOptions(target="y", key=("id",), held_max=held_max)
    report = check_rows(rows_of(table, size=size), options, rows_of(other, "there@1", size))
    counts = Counter(table)
    assert (report.repeats.distinct, report.repeats.repeated) == (len(counts), len(table) - len(counts))
    assert report.repeats.most == max(counts.values(), default=0)
    ids, other_ids = (Counter(row[0] for row in each if row[0] is not None) for each in (table, other))
    assert report.key is not None and report.common is not None and report.contradictions is not None
    assert (report.key.distinct, report.key.repeated) == (len(ids), ids.total() - len(ids))
    assert report.key_missing == len(table) - ids.total()
    common = sorted(ids.keys() & other_ids.keys())
    assert report.common.keys == len(common)
    assert report.common.rows == sum(ids[key] for key in common)
    assert report.common.other_rows == sum(other_ids[key] for key in common)
    assert (report.contradictions.groups, report.contradictions.rows) == reference_contradictions(table)
    assert report.passes == max(1, -(-(3 * len(table) + len(other)) // held_max))
    assert [column.missing for column in report.columns] == [sum(row[i] is None for row in table) for i in range(4)]


@settings(deadline=None)
@given(TABLES, st.integers(1, 30))
def test_more_passes_find_the_same(table: Table, held_max: int) -> None:
    once = check_rows(rows_of(table), CheckOptions(target="y"), rows_of(table[::2], "there@1"))
    often = check_rows(rows_of(table), CheckOptions(target="y", held_max=held_max), rows_of(table[::2], "there@1"))
    assert msgspec.structs.replace(often, passes=once.passes) == once


def test_without_a_key_rows_are_compared_by_all_columns_but_the_target() -> None:
    here = [(1, "p", 0.5, True), (2, "q", 1.0, False), (2, "q", 1.0, False), (3, None, None, None)]
    there = [(1, "p", 0.5, False), (3, None, None, True), (4, "p", 0.5, True)]
    report = check_rows(rows_of(here), CheckOptions(target="y"), rows_of(there, "test@3"))
    assert report.common is not None and report.key is None
    assert (report.common.columns, report.common.keys) == (("id", "a", "b"), 2)
    assert (report.common.share, report.common.other_share) == (0.5, pytest.approx(2 / 3))
    assert report.findings[-1] == (
        "2 different rows are in test@3, too: 50.00 % of the rows here, 66.67 % there; "
        "a model trained on one is not tested by the other"
    )


def test_findings_are_sentences_and_the_record_is_json() -> None:
    table = [(i // 2, "p", None if i < 3 else 0.5, i % 2 == 0 if i else None) for i in range(20)]
    report = check_rows(rows_of(table), CheckOptions(target="y", key=("id",)))
    assert report.findings == [
        "column 'a' is constant: every row has 'p'",
        "column 'b' has no value but 0.5",
        "column 'b' is missing in 3 of 20 rows (15.00 %)",
        "the target is missing in 1 of 20 rows (5.00 %)",
        "the key 'id' is not unique: 10 of 20 rows (50.00 %) repeat an earlier key; the most frequent one has 2 rows",
        "19 of 20 rows (95.00 %) contradict each other: 2 groups of equal features with different 'y'",
    ]
    record = json.loads(json.dumps(msgspec.to_builtins(report)))
    assert record["contradictions"] == {"groups": 2, "rows": 19} and record["common"] is None
    assert msgspec.convert(record, CheckReport) == report


def test_a_sound_dataset_has_no_findings() -> None:
    table = [(i, f"a{i % 7}", float(i), i % 3 == 0) for i in range(300)]
    other = [(1000 + i, f"a{i % 7}", float(i), i % 3 == 0) for i in range(50)]
    assert check_rows(rows_of(table), CheckOptions(target="y", key=("id",)), rows_of(other)).findings == []


def test_an_empty_column_and_repeated_rows_are_told() -> None:
    report = check_rows(rows_of([(1, None, 2.0, True)] * 3))
    assert "column 'a' has no values" in report.findings
    assert report.findings[-1] == "2 of 3 rows (66.67 %) repeat an earlier row; the most frequent one occurs 3 times"
    assert report.contradictions is None and report.key is None and report.common is None


def test_a_key_in_part_missing_is_told_and_counts_as_none() -> None:
    table = [(1, None, 2.0, True), (1, None, 3.0, True), (2, "p", 2.0, True)]
    report = check_rows(rows_of(table), CheckOptions(key=("id", "a")))
    assert report.key is not None and (report.key.distinct, report.key.repeated, report.key_missing) == (1, 0, 2)
    assert "2 of 3 rows (66.67 %) have no key: a column of 'id', 'a' is missing in them" in report.findings


def test_keys_of_ints_and_floats_are_compared_and_of_other_types_refused() -> None:
    floats = pa.table({"id": [1.0, 2.0, 2.5]})
    other = Rows("floats@1", {"id": "float"}, 3, lambda _: iter(floats.to_batches()))
    report = check_rows(rows_of([(1, "p", 0.5, True), (7, "q", 0.5, True)]), CheckOptions(key=("id",)), other)
    assert report.common is not None and report.common.keys == 1
    text = Rows("text@1", {"id": "string"}, 0, lambda _: iter(()))
    with pytest.raises(CallerError, match="'id' is int in here@1 and string in text@1"):
        check_rows(rows_of([]), CheckOptions(key=("id",)), text)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (CheckOptions(target="nope"), "no column 'nope': here@1 has id, a, b, y"),
        (CheckOptions(key=("id", "nope")), "no column 'nope': here@1 has id, a, b, y"),
        (CheckOptions(target="y", key=("id", "a", "b")), "no column left that could be a feature"),
    ],
)
def test_columns_that_are_not_there_are_refused(options: CheckOptions, sentence: str) -> None:
    with pytest.raises(CallerError, match=sentence):
        check_rows(rows_of([]), options)


def test_another_dataset_needs_the_columns_to_compare_by() -> None:
    other = Rows("other@1", {"id": "int"}, 0, lambda _: iter(()))
    with pytest.raises(CallerError, match="no column 'a': other@1 has id"):
        check_rows(rows_of([]), CheckOptions(), other)


def test_only_the_key_is_read_of_the_other_dataset_and_progress_reaches_its_end() -> None:
    scans: list[Sequence[str]] = []
    told: list[tuple[int, int]] = []
    table = [(i, "p", 0.5, True) for i in range(20)]
    options = CheckOptions(key=("id",), held_max=20, progress=lambda done, total: told.append((done, total)))
    report = check_rows(rows_of(table), options, rows_of(table, "there@1", scans=scans))
    assert report.passes == 3 and scans == [("id",)] * 3
    assert told[-1] == (120, 120) and all(total == 120 for _, total in told)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
