"""JSON lines: the types that values have, found over all lines; every complaint with its file and line."""

import datetime
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from muskox.errors import CallerError
from muskox.store import open_source
from muskox.store.input import jsonlines
from muskox.store.input.input_files import find_input_files
from muskox.store.input.json_values import read_values
from muskox.store.input.reading import Reading

DAY = datetime.datetime(2013, 1, 2)


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str | bytes, name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def read(data: Any, types: dict[str, str] | None = None) -> tuple[dict[str, str], list[dict[str, Any]]]:
    with open_source(data, types) as source:
        rows = [row for batch in source.batches() for row in batch.to_pylist()]
        assert len(rows) == source.rows
        assert rows == [row for batch in read_again(data, types) for row in batch.to_pylist()]
        for name in source.columns:
            assert [row[name] for batch in source.batches([name]) for row in batch.to_pylist()] == [row[name] for row in rows]
    return source.columns, rows


def read_again(path: Path, types: dict[str, str] | None) -> Iterator[Any]:
    """Read as is done when no cache could be kept."""
    look = jsonlines.look_through(find_input_files([path], types or {}), Reading())
    look.cache.give_up()
    return look.source().batches()


def test_json_says_the_types_and_text_may_be_timestamps(file: Any) -> None:
    columns, rows = read(
        file(
            '{"i":null,"f":1,"b":true,"t":"2013-01-02T00:00:00.5Z","s":"x","n":null,"q":"7"}\n'
            '{"i":7,"f":2.5,"b":null,"t":"2013-01-02","s":"2013-01-02","q":"8","late":1}\n'
            "{}\n"
        )
    )
    assert columns == {
        "i": "int", "f": "float", "b": "bool", "t": "timestamp", "s": "string", "n": "float", "q": "string", "late": "int",
    }  # fmt: skip
    half = datetime.timedelta(seconds=0.5)
    assert rows == [
        {"i": None, "f": 1.0, "b": True, "t": DAY + half, "s": "x", "n": None, "q": "7", "late": None},
        {"i": 7, "f": 2.5, "b": None, "t": DAY, "s": "2013-01-02", "n": None, "q": "8", "late": 1},
        dict.fromkeys(columns),
    ]


BROKEN = {
    "text in an int": ('{"a":1}\n\n{"a":"x"}\n', "line 3: column 'a' is int by the values before, and \"x\" is not.*=string"),
    "a number in quotes": ('{"a":1}\n{"a":"2"}\n', "line 2: column 'a' is int by the values before, and \"2\" is not"),
    "an int in a bool": ('{"a":true}\n{"a":1}\n', "line 2: column 'a' is bool by the values before, and 1 is not"),
    "a bool in a float": ('{"a":1.5}\n{"a":true}\n', "line 2: column 'a' is float by the values before, and true is not"),
    "a number in text": ('{"a":"x"}\n{"a":1.50}\n', r"line 2: column 'a' is string by the values before, and 1\.50 is not"),
    "text in a timestamp": ('{"t":"2013-01-02"}\n{"t":"soon"}\n', "line 2: column 't' is timestamp by.*and \"soon\" is not"),
    "an int beyond 64 bits": ('{"a":9223372036854775808}\n', "line 1: column 'a' is int, and 9223372036854775808 is beyond 64"),
    "a later one": ('{"a":1}\n{"a":-9223372036854775809}\n', "line 2: column 'a' is int, and -9223372036854775809 is beyond"),
    "a float beyond 64 bits": ('{"a":1.5}\n{"a":1e400}\n', "line 2: column 'a' is float, and 1e400 is beyond 64 bits"),
    "a list": ('{"a":1}\n{"b":[1]}\n', "line 2: column 'b' holds an object or a list: muskox keeps plain values"),
    "an object": ('{"b":{"c":1}}\n', "line 1: column 'b' holds an object or a list"),
    "no object": ('{"a":1}\n[1,2]\n', "line 2: this line is no JSON object, such as"),
    "a name twice": ('{"a":1}\n{"a":1,"a":2}\n', "line 2: column 'a' comes twice in this object"),
    "no JSON": ('{"a":1}\n{"a":1\n', "line 2: this is no JSON object on one line"),
    "two objects on a line": ('{"a":1}{"a":2}\n', "line 1: this is no JSON object on one line"),
    "an object on two lines": ('{"a":\n1}\n', "line 1: this is no JSON object on one line"),
    "a JSON array": ('[\n{"a":1}\n]\n', "line 1: this is no JSON object on one line"),
    "other than UTF-8": (b'{"a":"x"}\n{"a":"\xe9"}\n', "line 2: this is not UTF-8; convert the file first"),
    "half a pair": ('{"a":"\\ud800"}\n', "line 1: half of a surrogate pair stands alone"),
    "deep nesting": ('{"a":' + "[" * 100_000 + "\n", "line 1: this is no JSON object on one line"),
    "nothing": ("", "there are no rows"),
    "blank lines": ("\n\n", "there are no rows"),
    "no columns": ("{}\n{}\n", "there are no columns"),
    "no name": ('{"":1}\n', "column 1 of 1 has no name"),
}


@pytest.mark.parametrize(("text", "complaint"), BROKEN.values(), ids=BROKEN.keys())
def test_a_complaint_names_file_and_line(file: Any, text: str | bytes, complaint: str) -> None:
    path = file(text)
    with pytest.raises(CallerError, match=complaint) as caught:
        open_source(path)
    assert str(path) in str(caught.value)


def test_blank_lines_crlf_and_a_mark_are_passed_over(file: Any) -> None:
    for text in ('\ufeff{"a":1}\r\n{"a":2}\r\n', '\n{"a":1}\n\n  \n{"a":2}', '{"a":1}\n{"a":2}\n'):
        assert read(file(text)) == ({"a": "int"}, [{"a": 1}, {"a": 2}])


def test_an_empty_text_decides_nothing_and_is_missing_but_in_text(file: Any) -> None:
    columns, rows = read(file('{"i":"","t":"","s":"","e":""}\n{"i":1,"t":"2013-01-02","s":"x"}\n{"i":"","t":"","s":""}\n'))
    assert columns == {"i": "int", "t": "timestamp", "s": "string", "e": "string"}
    assert rows == [
        {"i": None, "t": None, "s": "", "e": ""},
        {"i": 1, "t": DAY, "s": "x", "e": None},
        {"i": None, "t": None, "s": "", "e": None},
    ]


def test_nan_is_a_missing_float_and_infinity_infinite(file: Any) -> None:
    columns, rows = read(file('{"a":1,"b":-Infinity}\n{"a":NaN,"b":0.5}\n'))
    assert columns == {"a": "float", "b": "float"}
    assert rows == [{"a": 1.0, "b": float("-inf")}, {"a": None, "b": 0.5}]


def test_given_types_are_kept_and_checked(file: Any) -> None:
    path = file('{"zip":2139,"n":1}\n{"zip":"x","n":2}\n{"zip":true,"n":null}\n')
    columns, rows = read(path, {"zip": "string", "n": "float"})
    assert columns == {"zip": "string", "n": "float"}
    assert rows == [{"zip": "2139", "n": 1.0}, {"zip": "x", "n": 2.0}, {"zip": "true", "n": None}]
    for types, complaint in [
        ({"zip": "int"}, "line 2: column 'zip' is int as asked for, and \"x\" is not"),
        ({"zip": "string", "m": "int"}, "no column 'm'.*zip, n"),
    ]:
        with pytest.raises(CallerError, match=complaint):
            open_source(path, types)
    with pytest.raises(CallerError, match=r"line 2: column 'n' is int as asked for, and 1\.5 is not"):
        open_source(file('{"n":1}\n{"n":1.5}\n'), {"n": "int"})


def test_types_change_late_in_a_big_file_as_they_do_at_once(file: Any) -> None:
    lines = [json.dumps({"id": i, "x": -0 if i else 0, "name": f"name-{i}"}) for i in range(150_000)]
    lines[7] = '{"id": 7, "x": -0}'
    lines[140_000] = '{"id": 140000, "x": 2.5, "new": "2013-01-02"}'
    path = file("\n".join(lines) + "\n")
    assert path.stat().st_size > jsonlines.BLOCK_BYTES
    columns, rows = read(path)
    assert columns == {"id": "int", "x": "float", "name": "string", "new": "timestamp"}
    assert rows[140_000] == {"id": 140_000, "x": 2.5, "name": None, "new": DAY} and str(rows[7]["x"]) == "-0.0"
    lines[145_000] = '{"id": "oops"}'
    with pytest.raises(CallerError, match="line 145001: column 'id' is int by the values before, and \"oops\" is not"):
        open_source(file("\n".join(lines) + "\n"))


def test_several_compressed_files_are_one_dataset(file: Any) -> None:
    first = file(gzip.compress(b'{"a":1}\n'), "1.ndjson.gz")
    second = file('{"b":"x","a":0.5}\n', "2.json")
    with open_source([first, second]) as source:
        assert source.columns == {"a": "float", "b": "string"}
        assert [row for batch in source.batches() for row in batch.to_pylist()] == [{"a": 1.0, "b": None}, {"a": 0.5, "b": "x"}]
    with pytest.raises(CallerError, match=r"1\.ndjson\.gz is jsonl and .*x\.csv is csv: put files of one kind"):
        open_source([first, file("a\n1\n", "x.csv")])


def test_rows_without_any_member_are_rows(file: Any) -> None:
    count = jsonlines.BLOCK_BYTES // 3 + 10
    columns, rows = read(file("{}\n" * count + '{"a":1}\n'))
    assert columns == {"a": "int"} and len(rows) == count + 1 and rows[0] == {"a": None} and rows[-1] == {"a": 1}


def test_a_file_of_objects_is_json_lines_whatever_it_is_called(file: Any) -> None:
    assert read(file('{"a":1}\n', "data"))[0] == {"a": "int"}


def test_a_line_longer_than_a_block_is_refused_in_words(file: Any) -> None:
    text = '{"a":"' + "x" * (3 * jsonlines.BLOCK_BYTES) + '"}\n'
    with pytest.raises(CallerError, match="line 2: this line is longer than 4 MB"):
        open_source(file('{"a":"y"}\n' + text))


def test_the_careful_way_agrees_with_arrow(file: Any) -> None:
    """Random rows, all of which Arrow reads: value by value they come out the same."""
    chance = random.Random(4)
    pools: dict[str, list[Any]] = {
        "i": [0, -1, 2**63 - 1, None, -(2**63)],
        "f": [1, 0.1, -0.0, 1e300, 12345678901234567890, 5e-324, None],
        "b": [True, False, None],
        "s": ["x", "é\n", "\u0000", "7", "", None, "\U0001f600"],
        "t": ["2013-01-02", "2013-01-02 03:04:05.000006+02:00", None],
    }
    rows = [{name: chance.choice(pool) for name, pool in pools.items() if chance.random() < 0.9} for _ in range(500)]
    rows.insert(0, {"i": 1, "f": 0.5, "b": True, "s": "first", "t": "2013-01-02"})
    data = "".join(json.dumps(row, ensure_ascii=chance.random() < 0.5) + "\n" for row in rows).encode()
    careful = read_values(data, {}, {}, ignore_others=False)
    assert (careful.kinds, careful.batch.to_pylist()) == read(file(data))
    quick = jsonlines._read_quickly(data, careful.kinds, {}, False)
    assert quick is not None and quick.batch.equals(careful.batch)
