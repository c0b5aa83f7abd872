"""CSV: types found over the whole file, every complaint with its file and line."""

import bz2
import csv as python_csv
import datetime
import gzip
import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from muskox.errors import CallerError
from muskox.store import open_source
from muskox.store.input import csv, spool
from muskox.store.input.csv_lines import ROW_BYTES_MAX, Dialect, line_of_row, read_header
from muskox.store.input.input_files import find_input_files
from muskox.store.input.reading import Reading


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str | bytes, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def columns_and_rows(path: Any, types: dict[str, str] | None = None, **reading: Any) -> tuple[dict[str, str], list[Any]]:
    with open_source(path, types, Reading(**reading)) as source:
        rows = [row for batch in source.batches() for row in batch.to_pylist()]
        assert len(rows) == source.rows
        assert rows == [row for batch in read_again(path, types, Reading(**reading)) for row in batch.to_pylist()]
        for name in source.columns:
            assert [row[name] for batch in source.batches([name]) for row in batch.to_pylist()] == [row[name] for row in rows]
    return source.columns, rows


def read_again(data: Any, types: dict[str, str] | None, reading: Reading) -> Iterator[Any]:
    """Read as is done when no cache could be kept."""
    paths = data if isinstance(data, list) else [data]
    look = csv.look_through(find_input_files(paths, types or {}), reading)
    look.cache.give_up()
    return look.source().batches()


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
    assert path.stat().st_size > csv.BLOCK_BYTES[0]
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
    with pytest.raises(CallerError, match="longer than 8 MB; is a quote left open"):
        open_source(file('a,b\n1,"' + "x" * (3 * ROW_BYTES_MAX) + '"\n'))


def test_a_row_longer_than_the_usual_block_is_read(file: Any) -> None:
    text = "x" * (3 * csv.BLOCK_BYTES[0])
    assert columns_and_rows(file(f"a,b\n1,y\n2,{text}\n3,z\n"))[1] == [
        {"a": 1, "b": "y"}, {"a": 2, "b": text}, {"a": 3, "b": "z"},
    ]  # fmt: skip


def test_missing_files_are_said(tmp_path: Path) -> None:
    for data in (tmp_path / "no.csv", str(tmp_path), [], [tmp_path / "no.csv"]):
        with pytest.raises(CallerError, match=r"cannot read|no file"):
            open_source(data)


def test_the_line_of_a_row_is_where_it_begins(file: Any) -> None:
    path = file('a,b\n1,\n"2\n2",\n\n3,\n')
    header = read_header(path, Dialect(), True)
    assert [line_of_row(path, header, row) for row in range(3)] == [2, 3, 6]


def test_a_blank_line_is_a_missing_value_where_there_is_one_column(file: Any) -> None:
    path = file('\n\na\n1\n\n""\n2\n\n')
    assert columns_and_rows(path) == ({"a": "int"}, [{"a": value} for value in (1, None, None, 2, None)])
    header = read_header(path, Dialect(), True)
    assert [line_of_row(path, header, row) for row in range(5)] == [4, 5, 6, 7, 8]
    assert columns_and_rows(file("a,b\n1,2\n\n3,4\n"))[1] == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]


def test_a_quoted_empty_value_decides_no_type(file: Any) -> None:
    text = 'i,f,t,s,only\n"","","","",""\n1,0.5,2013-01-02,x,\n"","","","",""\n'
    columns, rows = columns_and_rows(file(text))
    assert columns == {"i": "int", "f": "float", "t": "timestamp", "s": "string", "only": "string"}
    empty = {"i": None, "f": None, "t": None, "s": "", "only": ""}
    day = datetime.datetime(2013, 1, 2)
    assert rows == [empty, {"i": 1, "f": 0.5, "t": day, "s": "x", "only": None}, empty]


def test_a_column_that_is_empty_for_many_blocks_is_kept_whatever_it_becomes(file: Any) -> None:
    lines = ['"",,7'] * 400_000
    path = file("\n".join(["a,b,c", *lines, "1,x,7.5"]) + "\n")
    assert path.stat().st_size > csv.BLOCK_BYTES[0]
    columns, rows = columns_and_rows(path)
    assert columns == {"a": "int", "b": "string", "c": "float"}
    assert rows[0] == {"a": None, "b": None, "c": 7.0} and rows[-1] == {"a": 1, "b": "x", "c": 7.5}


def test_minus_zero_is_the_same_float_wherever_the_first_float_comes(file: Any) -> None:
    for count in (1, 800_000):
        _, rows = columns_and_rows(file("a\n" + "-0\n" * count + "0.5\n"))
        assert str(rows[0]["a"]) == "-0.0"


def test_infinity_is_spelled_and_never_made(file: Any) -> None:
    spellings = ["inf", "-inf", "Infinity", "+INFINITY", " -Inf ", "1e308"]
    _, rows = columns_and_rows(file("a,b\n" + "".join(f"{each},\n" for each in spellings)))
    assert [row["a"] for row in rows] == [float(each) for each in spellings]
    for text in ("a\n1.5\ninf\n1e400\n", "a\n\n7\n-1e400\n"):
        with pytest.raises(CallerError, match=r"line 4: column 'a' is float, and -?1e400 is beyond 64 bits.*--type a=string"):
            open_source(file(text))
    with pytest.raises(CallerError, match=r"line 2: column 'a' is float, and 1e400 is beyond 64 bits"):
        open_source(file("a\n1e400\n2.5\n"))
    assert columns_and_rows(file("a\n1e400\n"), {"a": "string"})[1] == [{"a": "1e400"}]


DIALECTS: dict[str, tuple[str, dict[str, Any]]] = {
    "semicolons": ("a;b\n1;'x,y'\n2;'it''s'\n", {"delimiter": ";", "quote": "'"}),
    "tabs and no quotes": ("a\tb\n1\tx,y\n2\tit's\n", {"delimiter": "\t", "quote": None}),
    "bars and escapes": ("a|b\n1|'x,y'\n2|'it\\'s'\n", {"delimiter": "|", "quote": "'", "escape": "\\"}),
    "an escaped delimiter": ("a,b\n1,x\\,y\n2,it's\n", {"escape": "\\"}),
    "no header": ('1,"x,y"\n2,it\'s\n', {"header": ("a", "b")}),
    "CRLF": ('a,b\r\n1,"x,y"\r\n2,it\'s\r\n', {}),
    "bare carriage returns": ('a,b\r1,"x,y"\r2,it\'s\r', {}),
    "no newline at the end": ('a,b\n1,"x,y"\n2,it\'s', {}),
    "UTF-8 with a mark": ('\ufeff"a",b\n1,"x,y"\n2,it\'s\n', {"encoding": "UTF-8-sig"}),
}


@pytest.mark.parametrize(("text", "reading"), DIALECTS.values(), ids=DIALECTS.keys())
def test_dialects(file: Any, text: str, reading: dict[str, Any]) -> None:
    rows = [{"a": 1, "b": "x,y"}, {"a": 2, "b": "it's"}]
    assert columns_and_rows(file(text), **reading) == ({"a": "int", "b": "string"}, rows)
    bad = text.rstrip("\r\n").replace("2", "no")
    with pytest.raises(CallerError, match=r"line [23]: column 'a' is int by the values before, and 'no' is not"):
        open_source(file(bad), None, Reading(**reading))


def test_ragged_rows_are_named_in_any_dialect(file: Any) -> None:
    for text, line, reading in [
        ("a;b\n1;'x;\ny'\n2\n", 4, Reading(delimiter=";", quote="'")),
        ("1\t2\n3\t4\t5\n", 2, Reading(delimiter="\t", header=False)),
        ('1|"\n3|4|"\n', 2, Reading(delimiter="|", header=False, quote=None)),
    ]:
        with pytest.raises(CallerError, match=rf"line {line}: this row has [13] values"):
            open_source(file(text), None, reading)
    with pytest.raises(CallerError, match="line 1: this row has 2 values; 3 names of columns are given"):
        open_source(file("1,2\n"), None, Reading(header=("a", "b", "c")))
    with pytest.raises(CallerError, match="two columns called 'a'"):
        open_source(file("1,2\n"), None, Reading(header=("a", "a")))


def test_files_without_a_header_have_numbered_columns_and_tsv_has_tabs(file: Any) -> None:
    columns, rows = columns_and_rows(file("1\tx,y\n", "data.tsv"), header=False)
    assert (columns, rows) == ({"x0": "int", "x1": "string"}, [{"x0": 1, "x1": "x,y"}])


def test_missing_spellings_may_be_ones_own(file: Any) -> None:
    _, rows = columns_and_rows(file("a,s\n-,\n1,-\n,NA\n"), missing=("-",))
    assert rows == [{"a": None, "s": ""}, {"a": 1, "s": None}, {"a": None, "s": "NA"}]


@pytest.mark.parametrize(
    ("reading", "complaint"),
    [
        ({"format": "xml"}, "'xml' is no format that is read: the formats are csv, jsonl, parquet, arrow"),
        ({"delimiter": ";;"}, "the delimiter ';;' must be one ASCII character"),
        ({"quote": "»"}, "the quote '»' must be one ASCII character"),
        ({"escape": "\n"}, "the escape .* must be one ASCII character"),
        ({"delimiter": '"'}, "delimiter, quote and escape must differ"),
        ({"encoding": "latin-1"}, "encoding 'latin-1': only UTF-8 is read; convert first"),
        ({"encoding": "klingon"}, "encoding 'klingon': only UTF-8 is read"),
    ],
)
def test_settings_that_cannot_be_are_refused(file: Any, reading: dict[str, Any], complaint: str) -> None:
    with pytest.raises(CallerError, match=complaint):
        open_source(file("a\n1\n"), None, Reading(**reading))


@pytest.mark.parametrize(("name", "pack"), [("x.csv.gz", gzip.compress), ("x.csv.bz2", bz2.compress), ("x.csv.zst", None)])
def test_compressed_files_are_read_by_their_ending(file: Any, name: str, pack: Any) -> None:
    text = b"a,b\n1,x\n2,y\n"
    packed = pack(text) if pack else pa.Codec("zstd").compress(text, asbytes=True)
    assert columns_and_rows(file(packed, name))[1] == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_a_quote_left_open_is_named_in_any_dialect(file: Any) -> None:
    with pytest.raises(CallerError, match="line 3: a quote is opened in this row and never closed"):
        open_source(file("a;b\n1;x\n2;'y\n3;z\n"), None, Reading(delimiter=";", quote="'"))


def test_the_cache_gives_way_to_a_second_reading_where_it_would_be_too_large(
    file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "CACHE_BYTES_MAX", 1 << 20)
    path = file("a,b\n" + "".join(f"{i * 7919},{i}\n" for i in range(500_000)))
    with open_source(path) as source:
        assert not list(path.parent.glob("muskox-spool-*")) and source.rows == 500_000
        assert sum(sum(batch.column("b").to_pylist()) for batch in source.batches(["b"])) == 500_000 * 499_999 // 2


def test_a_file_that_changes_is_read_from_the_cache_or_refused(file: Any) -> None:
    path = file("a\n1\n2\n")
    with open_source(path) as source:
        file("a\nx\n")
        assert [row["a"] for batch in source.batches() for row in batch.to_pylist()] == [1, 2]
    path = file("a\n" + "1\n" * 600_000 + "0.5\n")
    with open_source(path) as source:
        file("a\n1\nx\n")
        with pytest.raises(CallerError, match=r"data\.csv was changed while it was read"):
            list(source.batches())


def test_the_cache_lies_where_it_is_asked_to_and_goes_at_the_end(file: Any, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    told: list[tuple[str, int, int]] = []
    path = file("a\n1\n")
    with open_source(path, None, Reading(folder=folder, progress=lambda *at: told.append(at))):
        assert len(list(folder.iterdir())) == 1
    assert list(folder.iterdir()) == [] and told == [("looking", 4, 4)]
    with pytest.raises(CallerError):
        open_source(file("a\n1\nx\n"), None, Reading(folder=folder))
    assert list(folder.iterdir()) == [], "an error leaves nothing"
    with pytest.raises(CallerError, match="cannot write temporary files to"):
        open_source(path, None, Reading(folder=tmp_path / "no"))


def test_a_folder_is_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, value in [("b/2.csv", 3), ("a.csv", 1), ("b/1.csv", 2), ("_SUCCESS", 0), (".hidden/x.csv", 0)]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"a\n{value}\n")
    assert [row["a"] for row in columns_and_rows(tmp_path)[1]] == [1, 2, 3]


def test_folders_named_by_hive_are_columns_of_csv_too(tmp_path: Path) -> None:
    for year, value in [("2013", "1"), ("2014", "x")]:
        folder = tmp_path / f"year={year}"
        folder.mkdir()
        (folder / "part.csv").write_text(f"a\n{value}\n")
    with pytest.raises(CallerError, match=r"year=2014.part\.csv, line 2: column 'a'"):
        open_source(tmp_path)
    columns, rows = columns_and_rows(tmp_path, {"a": "string", "year": "float"})
    assert columns == {"a": "string", "year": "float"}
    assert rows == [{"a": "1", "year": 2013.0}, {"a": "x", "year": 2014.0}]


@pytest.mark.parametrize("seed", range(60))
def test_rows_and_lines_are_those_of_pythons_csv_module(file: Any, seed: int) -> None:
    """Random text in a random dialect, written by Python, with blank lines between: the same rows, on the same lines."""
    chance = random.Random(seed)
    delimiter, quote, escape = chance.choice(",;\t|"), chance.choice("\"'"), chance.choice([None, "\\"])
    width, newline = chance.choice([1, 2, 3]), chance.choice(["\n", "\r\n"])
    letters = ["a", "é", " ", ",", ";", "'", '"', "\\", "|", "\t", "\n", "\r\n", "x" * 50]
    rows, lines = [], []
    header = [f"c{index}{chance.choice(['', newline, quote])}" for index in range(width)]
    out = io.StringIO(newline="")
    writer = python_csv.writer(
        out, delimiter=delimiter, quotechar=quote, escapechar=escape, doublequote=escape is None, lineterminator=newline,
        quoting=python_csv.QUOTE_ALL,
    )  # fmt: skip
    out.write(newline * chance.randrange(3))
    writer.writerow(header)
    for _ in range(chance.randrange(1, 30)):
        if chance.random() < 0.2:
            if width == 1:
                rows.append([None])
                lines.append(_line(out))
            out.write(newline)
        rows.append(["".join(chance.choices(letters, k=chance.randrange(6))) for _ in range(width)])
        lines.append(_line(out))
        writer.writerow(rows[-1])
    path = file(out.getvalue())
    reading = {"delimiter": delimiter, "quote": quote, "escape": escape}
    columns, read = columns_and_rows(path, dict.fromkeys(header, "string"), **reading)
    assert list(columns) == header and [list(row.values()) for row in read] == rows
    found = read_header(path, Dialect(**reading), True)
    assert [line_of_row(path, found, row) for row in range(len(rows))] == lines


def _line(out: io.StringIO) -> int:
    return len(out.getvalue().replace("\r\n", "\n").split("\n"))
