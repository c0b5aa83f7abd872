"""A survey finds files, columns and shards by rules alone, and says which file breaks one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_place_data import Field, make_field, numbers
from object_server import REASON, ObjectServer, Wrong, is_installed

from muskox.errors import CallerError, Unavailable
from muskox.store import content_digest
from muskox.store.objects.in_place import Piece, decode_in_place, read_shard
from muskox.store.objects.survey import _cut, _Group, survey


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    if not is_installed():
        pytest.skip(REASON)
    with pytest.MonkeyPatch.context() as patch, ObjectServer() as started:
        for variable, value in ObjectServer.environment.items():
            patch.setenv(variable, value)
        yield started


@pytest.fixture(params=["file", "memory", "s3"])
def field(request: pytest.FixtureRequest, tmp_path: Path) -> Field:
    return make_field(request.param, tmp_path, request.getfixturevalue("server") if request.param == "s3" else None)


@pytest.fixture
def folder(tmp_path: Path) -> Field:
    return make_field("file", tmp_path)


def test_folders_become_columns_and_every_file_counts_but_the_hidden_ones(field: Field) -> None:
    url = field.write({
        "year=2014/city=New%20York/part-0.parquet": numbers(30, 5),
        "year=2013/city=__HIVE_DEFAULT_PARTITION__/part-1": numbers(20, 10),
        "year=2013/city=Rome/part-0.parquet": numbers(0, 20),
        "_SUCCESS": b"",
        "year=2013/.part-0.crc": b"crc",
        "_temporary/0/part-9.parquet": numbers(90, 1),
    })  # fmt: skip
    record = survey(url)
    assert record.columns == [("n", "int"), ("year", "int"), ("city", "string")] and record.partition == ["year", "city"]
    assert [(file.path, file.rows, file.partition) for file in record.files] == [
        ("year=2013/city=Rome/part-0.parquet", 20, ["2013", "Rome"]),
        ("year=2013/city=__HIVE_DEFAULT_PARTITION__/part-1", 10, ["2013", None]),
        ("year=2014/city=New%20York/part-0.parquet", 5, ["2014", "New York"]),
    ]
    assert [(shard.rows, shard.pieces) for shard in record.shards] == [
        (10, [Piece(0, 0, 1)]), (10, [Piece(0, 1, 1)]), (10, [Piece(1, 0, 1)]), (5, [Piece(2, 0, 1)]),
    ]  # fmt: skip
    assert record.rows == 35 and decode_in_place(json.loads(msgspec.json.encode(record))) == record


def test_a_url_may_be_one_file(field: Field) -> None:
    url = field.write({"year=2013/x.parquet": numbers(0, 25)})
    place, _, settings = url.partition("?")
    record = survey(f"{place}/year=2013/x.parquet" + (f"?{settings}" if settings else ""), shards=2)
    assert record.columns == [("n", "int")] and [file.path for file in record.files] == [""]
    assert sum(batch.num_rows for shard in range(2) for batch in read_shard(record, shard)) == 25


def test_the_same_files_make_the_same_record_and_other_files_other_digests(field: Field) -> None:
    files = {f"part-{index}.parquet": numbers(index * 20, 20) for index in range(6)}
    url = field.write(files)
    record = survey(url, shards=3)
    assert survey(url, shards=3) == record
    assert len({shard.digest for shard in record.shards}) == 3
    field.write({"part-3.parquet": numbers(1000, 20)})
    changed = survey(url, shards=3)
    assert [one.digest == other.digest for one, other in zip(record.shards, changed.shards, strict=True)] == [True, False, True]
    assert survey(url, {"n": "float"}, shards=3).shards[0].digest != record.shards[0].digest


def test_the_content_digest_is_what_the_rows_are_however_they_lie(field: Field) -> None:
    text = pa.array([f"row {index % 7}" if index % 5 else None for index in range(100)])
    table = numbers(0, 100, text=text, small=pa.array([0.5] * 100, pa.float32()))
    told: list[Any] = []
    record = survey(field.write({"a": table.slice(0, 40), "b": table.slice(40)}), shards=2, digest="content",
                    progress=lambda *step: told.append(step))  # fmt: skip
    assert [shard.rows for shard in record.shards] == [50, 50]
    expected = table.set_column(2, "small", table["small"].cast(pa.float64()))
    digests = [shard.digest for shard in record.shards]
    assert digests == [content_digest(expected.slice(0, 50)), content_digest(expected.slice(50))]
    assert told == [("surveying", 1, 2), ("surveying", 2, 2), ("reading", 1, 2), ("reading", 2, 2)]
    encoded = table.set_column(1, "text", table["text"].combine_chunks().dictionary_encode())
    url = field.write({"a": encoded.slice(0, 40), "b": encoded.slice(40)}, row_group_size=5)
    assert [shard.digest for shard in survey(url, shards=2, digest="content").shards] == digests


SPELLINGS = [
    (["1", "2"], "int"), (["1", "2.5"], "float"), (["1", "01"], "string"), (["true", "false"], "bool"),
    (["2013-01-01", "2013-01-02"], "timestamp"), (["1", "true"], "string"), (["north", "south"], "string"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "kind"), SPELLINGS, ids=lambda each: "-".join(each) if isinstance(each, list) else each)
def test_a_folders_column_has_the_type_that_holds_all_its_spellings(folder: Field, values: list[str], kind: str) -> None:
    assert survey(folder.write({f"k={value}/x": numbers(0, 1) for value in values})).types == {"n": "int", "k": kind}


def test_int_and_float_make_float_and_a_column_without_values_takes_any_type(folder: Field) -> None:
    url = folder.write({
        "a": pa.table({"x": pa.array([None]), "y": pa.array([1])}),
        "b": pa.table({"x": pa.array(["text"]), "y": pa.array([0.5])}),
    })  # fmt: skip
    record = survey(url)
    assert record.types == {"x": "string", "y": "float"}
    rows = [row for shard in range(2) for batch in read_shard(record, shard) for row in batch.to_pylist()]
    assert rows == [{"x": None, "y": 1.0}, {"x": "text", "y": 0.5}]


ODD = [
    ({"a": numbers(0, 1), "b": pa.table({"m": [1]})}, r"/b: its columns are m; those of the first input are n"),
    ({"a": numbers(0, 1), "b": pa.table({"n": ["x"]})}, r"/b: column 'n' is string here and int in the first input"),
    ({"a": pa.table({"n": [[1]]})}, r"/a: column 'n' has the type list<"),
    (
        {"a": numbers(0, 1), "notes.txt": b"notes"},
        r"/notes\.txt is no Parquet file that can be read: .* begin its name with '_'",
    ),
    ({"a": b""}, "/a is no Parquet file"),
    ({"a": b"PAR1" + bytes(range(200)) + b"PAR1"}, "/a is no Parquet file"),
    ({"n=1/a": numbers(0, 1)}, r"/n=1/a: column 'n' is in the file and in its folder's name"),
    ({"k=1/a": numbers(0, 1), "k=1/j=2/b": numbers(0, 1)}, r"its folders name the columns"),
    ({"a": numbers(0, 0)}, "there are no rows in its 1 files"),
    ({"_a": numbers(0, 1)}, "there are no files to register"),
]


@pytest.mark.parametrize(("files", "message"), ODD, ids=range(len(ODD)))
def test_what_breaks_a_rule_is_named(folder: Field, files: dict[str, Any], message: str) -> None:
    with pytest.raises(CallerError, match=message):
        survey(folder.write(files))


def test_what_is_asked_for_must_be_possible(folder: Field) -> None:
    url = folder.write({"k=1/a": numbers(0, 1), "k=x/a": numbers(0, 1)})
    wishes: list[tuple[dict[str, Any], str]] = [
        ({"shards": 0}, "0 shards"),
        ({"digest": "md5"}, "'md5' is no digest"),
        ({"types": {"n": "text"}}, "'text' is no"),
        ({"types": {"m": "int"}}, "no column 'm'"),
        ({"types": {"k": "int"}}, r"k=x/a: k='x' is no int"),
    ]
    for asked, message in wishes:
        with pytest.raises(CallerError, match=message):
            survey(url, **asked)
    assert survey(url, {"n": "float"}).types == {"n": "float", "k": "string"}
    with pytest.raises(CallerError, match="there are no files"):
        survey(f"{url}/nothing/here")


def test_a_store_that_refuses_or_is_away_is_unavailable(server: ObjectServer, tmp_path: Path) -> None:
    field = make_field("s3", tmp_path, server)
    url = field.write({f"part-{index}": numbers(0, 1) for index in range(5)})
    server.go_wrong(Wrong("HEAD .*part-3", "AccessDenied", 403, 100))
    try:
        with pytest.raises(Unavailable, match=r"part-3 in s3://.*: access is refused"):
            survey(url)
    finally:
        server.go_wrong()
    with pytest.raises(Unavailable, match="does not answer"):
        survey(url.replace(str(server.port), "9"))


def test_many_small_files_are_read_by_their_footers_alone(server: ObjectServer, tmp_path: Path) -> None:
    field = make_field("s3", tmp_path, server)
    url = field.write({f"day={index:03}/part-0": numbers(index * 20, 20) for index in range(200)})
    server.requests()
    record = survey(url)
    asked = server.requests()
    assert sum(request.startswith("GET") and "list-type" not in request for request in asked) == 200
    assert sum(request.startswith("HEAD") for request in asked) <= 201
    rows = [shard.rows for shard in record.shards]
    assert len(rows) == 12 and sum(rows) == 4000 and max(rows) - min(rows) <= 20
    assert record.types == {"n": "int", "day": "string"}  # 007 is a code


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 20))
def test_shards_are_runs_in_order_none_is_empty_and_none_is_far_from_its_share(rows: list[int], wanted: int) -> None:
    groups = [_Group(index // 4, index % 4, count, count) for index, count in enumerate(rows) if count]
    shards = _cut(groups, wanted)
    assert len(shards) == min(wanted, len(groups)) and all(shard.rows for shard in shards)
    pieces = [piece for shard in shards for piece in shard.pieces]
    covered = [(piece.file, at) for piece in pieces for at in range(piece.first, piece.first + piece.count)]
    assert covered == sorted(set(covered)) and {(group.file, group.index) for group in groups} <= set(covered)
    assert sum(shard.rows for shard in shards) == sum(rows)
    if groups and len(groups) >= 4 * wanted and min(group.rows for group in groups) == max(group.rows for group in groups):
        share = sum(rows) / len(shards)
        assert all(abs(shard.rows - share) <= groups[0].rows for shard in shards)
