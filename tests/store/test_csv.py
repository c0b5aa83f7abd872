"""CSV: types found over the whole file, every complaint with its file and line."""

import datetime
import gzip
from pathlib import Path
from typing import Any

import pytest

from muskox.errors import CallerError
from muskox.store import open_source
from muskox.store.csv import BLOCK_BYTES, line_of_row


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str | bytes, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def columns_and_rows(path: Any, types: dict[str, str] | None = None) -> tuple[dict[str, str], list[dict[str, Any]]]:
    source = open_source(path, types)
    rows = [row for batch in source.batches() for row in batch.to_pylist()]
    assert len(rows) == source.rows
    return source.columns, rows


def test_the_first_value_that_is_not_missing_decides(file: Any) -> None:
    path = file("i,f,b,t,s,none\n,NA,,,,\n7,0.5,True,2013-01-01T10:00:00Z,N1,\n-8,1e3,false,2013-02-03,7,nan\n")
    columns, rows = columns_and_rows(path)
    assert columns == {"i": "int", "f": "float", "b": "bool", "t": "timestamp", "s": "string", "none": "float"}
    assert rows == [
        dict.fromkeys(columns),
        {"i": 7, "f": 0.5, "b": True, "t": datetime.datetime(2013, 1, 1, 10), "s": "N1", "none": None},
        {"i": -8, "f": 1000.0, "b": False, "t": datetime.datetime(2013, 2, 3), "s": "7", "none": None},
    ]


@pytest.mark.parametrize("spelling", ["", "NA", "N/A", "NULL", "null", "NaN", "nan"])
def test_missing_has_seven_spellings_unless_quoted(file: Any, spelling: str) -> None:
    _, rows = columns_and_rows(file(f'a,b\nx,1\n{spelling},2\n"{spelling}",3\n'))
    assert [row["a"] for row in rows] == ["x", None, spelling]


def test_an_int_column_becomes_float_at_the_first_float(file: Any) -> None:
    columns, rows = columns_and_rows(file("a\n1\n2\n2.5\n9007199254740993\n99999999999999999999\n"))
    assert columns == {"a": "float"}
    assert [row["a"] for row in rows] == [1.0, 2.0, 2.5, 9007199254740992.0, 1e20]


def test_timestamps_with_and_without_zone_share_a_column_in_utc(file: Any) -> None:
    _, rows = columns_and_rows(
        file("t\n2013-01-02\n2013-01-02T03:04:05+02:00\n 2013-01-02 03:04:05.000007 \n2013-01-02 03:04Z\n")
    )
    day = datetime.datetime(2013, 1, 2)
    assert [row["t"] - day for row in rows] == [
        datetime.timedelta(0),
        datetime.timedelta(hours=1, minutes=4, seconds=5),
        datetime.timedelta(hours=3, minutes=4, seconds=5, microseconds=7),
        datetime.timedelta(hours=3, minutes=4),
    ]


def test_numbers_may_have_blanks_and_a_plus_but_are_decimal(file: Any) -> None:
    _, rows = columns_and_rows(file("a,b\n+5, 1.5\n 6 ,+.5\n"))
    assert [list(row.values()) for row in rows] == [[5, 1.5], [6, 0.5]]
    with pytest.raises(CallerError, match=r"line 3.*'0x10'"):
        open_source(file("a\n1\n0x10\n"))


BROKEN = {
    "a type that changes": (
        "a,b\n1,2\n3,x\n",
        "line 3: column 'b' is int by the values before, and 'x' is not.*--type b=string",
    ),
    "after a newline in quotes": ('a,b\n"x\ny",2\n"p\n\nq",3\nz,no\n', "line 7: column 'b'.*'no'"),
    "after CRLF": ('a,b\r\n"x\r\ny",2\r\nz,no\r\n', "line 4: column 'b'.*'no'"),
    "on a row with a newline in quotes": ('a,b\nx,2\n"z\nz",no\n', "line 3: column 'b'.*'no'"),
    "after blank lines": ("a\n\n1\n\n\nx\n", "line 6: column 'a'"),
    "a float in a bool": ("a\ntrue\n1\n", "line 3: column 'a' is bool"),
    "an int beyond 64 bits": ("a\n1\n9223372036854775808\n", "line 3.*9223372036854775808 is beyond 64 bits.*--type a=float"),
    "a first int beyond 64 bits": ("a\n-9223372036854775809\n", "line 2.*beyond 64 bits"),
    "a row too short": ("a,b\n1,2\n3\n", r"line 3: this row has 1 values; the header has 2 columns"),
    "a row too long": ('a,b\n"1\n",2\n3,4,5\n', r"line 4: this row has 3 values; the header has 2 columns"),
    "nothing": ("", "is empty"),
    "blank lines only": ("\n\n", "is empty"),
    "a header only": ("a,b\n", "no rows below the header"),
    "a name twice": ("a,b,a\n1,2,3\n", "line 1: there are two columns called 'a'"),
    "a name missing": ("a,,b\n1,2,3\n", "line 1: column 2 of 3 has no name"),
    "other than UTF-8": (b"a,b\n1,2\n3,\xe9\n", "line 3: this is not UTF-8"),
    "a header other than UTF-8": (b"\xe9,b\n1,2\n", "line 1: this is not UTF-8"),
}


@pytest.mark.parametrize(("text", "complaint"), BROKEN.values(), ids=BROKEN.keys())
def test_a_complaint_names_file_and_line(file: Any, text: str | bytes, complaint: str) -> None:
    path = file(text)
    with pytest.raises(CallerError, match=complaint) as caught:
        open_source(path)
    assert str(path) in str(caught.value)


def test_a_type_that_changes_late_in_a_big_file_is_found_at_its_line(file: Any) -> None:
    lines = [f"{i},{i * 0.5},name-{i}" for i in range(250_000)]
    lines[200_000] = "oops,1.0,name"
    path = file("id,x,name\n" + "\n".join(lines) + "\n")
    assert path.stat().st_size > BLOCK_BYTES
    with pytest.raises(CallerError, match="line 200002: column 'id' is int by the values before, and 'oops' is not"):
        open_source(path)
    columns, rows = columns_and_rows(path, {"id": "string"})
    assert columns["id"] == "string" and rows[200_000]["id"] == "oops" and rows[-1] == {
        "id": "249999", "x": 124_999.5, "name": "name-249999",
    }  # fmt: skip


def test_given_types_are_kept_and_checked(file: Any) -> None:
    columns, rows = columns_and_rows(file("zip,n\n02134,1\n"), {"zip": "string", "n": "float"})
    assert columns == {"zip": "string", "n": "float"} and rows == [{"zip": "02134", "n": 1.0}]
    for types, complaint in [
        ({"n": "bool"}, "line 2: column 'n' is bool as asked for, and '1' is not"),
        ({"m": "int"}, "no column 'm'.*zip, n"),
        ({"n": "decimal"}, "'decimal' is no type.*int, float, bool, string, timestamp"),
    ]:
        with pytest.raises(CallerError, match=complaint):
            open_source(file("zip,n\n02134,1\n"), types)


def test_a_given_int_is_not_promoted(file: Any) -> None:
    with pytest.raises(CallerError, match=r"line 3: column 'n' is int as asked for, and '1\.5' is not"):
        open_source(file("n\n1\n1.5\n"), {"n": "int"})


def test_several_files_are_one_dataset_with_types_over_all(file: Any) -> None:
    first, second = file("a,b\n1,\n", "1.csv"), file("a,b\n2.5,x\n", "2.csv")
    columns, rows = columns_and_rows([first, second])
    assert columns == {"a": "float", "b": "string"}
    assert rows == [{"a": 1.0, "b": None}, {"a": 2.5, "b": "x"}]
    with pytest.raises(CallerError, match=r"2\.csv, line 3: column 'a'"):
        open_source([first, file("a,b\n2,x\ny,z\n", "2.csv")])
    with pytest.raises(CallerError, match=r"other\.csv: its columns are not those of .*1\.csv: a, b"):
        open_source([first, file("a,c\n1,2\n", "other.csv")])


def test_compressed_files_are_read_and_archives_are_refused(file: Any) -> None:
    _, rows = columns_and_rows(file(gzip.compress(b"a\n1\n2\n"), "data.csv.gz"))
    assert rows == [{"a": 1}, {"a": 2}]
    with pytest.raises(CallerError, match=r"data\.csv\.gz, line 3.*'x'"):
        open_source(file(gzip.compress(b"a\n1\nx\n"), "data.csv.gz"))
    with pytest.raises(CallerError, match="unpack it first"):
        open_source(file(b"PK", "data.csv.zip"))
    with pytest.raises(CallerError, match=r"bad\.csv\.gz"):
        open_source(file(b"this is not gzip", "bad.csv.gz"))
    with pytest.raises(CallerError, match=r"cut\.csv\.gz"):
        open_source(file(gzip.compress(b"a\n" + b"1\n" * 10_000)[:-20], "cut.csv.gz"))


def test_a_byte_order_mark_is_no_part_of_the_first_name(file: Any) -> None:
    assert open_source(file("\ufeffa,b\n1,2\n")).columns == {"a": "int", "b": "int"}


def test_a_row_longer_than_a_block_is_refused_in_words(file: Any) -> None:
    with pytest.raises(CallerError, match="longer than 4 MB; is a quote left open"):
        open_source(file('a,b\n1,"' + "x" * (3 * BLOCK_BYTES) + '"\n'))


def test_missing_files_are_said(tmp_path: Path) -> None:
    for data in (tmp_path / "no.csv", str(tmp_path), [], [tmp_path / "no.csv"]):
        with pytest.raises(CallerError, match=r"cannot read|no file"):
            open_source(data)


def test_the_line_of_a_row_is_where_it_begins(file: Any) -> None:
    path = file('a\n1\n"2\n2"\n\n3\n')
    assert [line_of_row(path, row) for row in range(3)] == [2, 3, 6]
