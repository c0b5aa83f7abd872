"""What was registered is what is read, or it is said that it has changed; only what is asked for is read."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from in_place_data import Field, make_field, numbers
from object_server import REASON, ObjectServer, Wrong, is_installed

from muskox.errors import CallerError, Corrupt, Unavailable
from muskox.store import BlobStore, open_shard
from muskox.store.disk.shard import write_shard
from muskox.store.objects.in_place import BATCH_ROWS, InPlace, check_shard, decode_in_place, read_shard, write_local
from muskox.store.objects.survey import survey


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


def read(record: InPlace, columns: list[str] | None = None) -> Any:
    return pa.Table.from_batches([batch for shard in range(len(record.shards)) for batch in read_shard(record, shard, columns)])


def cities() -> dict[str, Any]:
    return {f"city={city}/part-{at}": numbers(at * 30, 30, even=pa.array([n % 2 == 0 for n in range(30)]))
            for at, city in enumerate(("Oslo", "Rome", "Ulm"))}  # fmt: skip


@pytest.mark.parametrize("shards", [1, 4, 12])
def test_every_row_is_read_once_in_order_of_the_files(field: Field, shards: int) -> None:
    record = survey(field.write(cities()), shards=shards)
    table = read(record)
    assert table.schema.names == ["n", "even", "city"]
    assert table["n"].to_pylist() == list(range(90))
    assert table["city"].to_pylist() == ["Oslo"] * 30 + ["Rome"] * 30 + ["Ulm"] * 30
    for at, shard in enumerate(record.shards):
        assert sum(batch.num_rows for batch in read_shard(record, at)) == shard.rows


@pytest.mark.parametrize("columns", [["city", "n"], ["even"], ["city"]], ids=str)
def test_columns_come_as_asked_for(field: Field, columns: list[str]) -> None:
    record = survey(field.write(cities()), shards=4)
    assert read(record, columns) == read(record).select(columns)
    assert sum(batch.num_rows for batch in read_shard(record, 0, columns)) == record.shards[0].rows


def test_what_is_not_there_cannot_be_asked_for(field: Field) -> None:
    record = survey(field.write(cities()), shards=4)
    for columns, message in ((["m"], "no column 'm': "), ([], "no column of ")):
        with pytest.raises(CallerError, match=message + r".* has n, even, city"):
            next(read_shard(record, 0, columns))
    for shard in (-1, 4):
        with pytest.raises(CallerError, match="the shards 0 to 3"):
            next(read_shard(record, shard))


def test_columns_that_are_not_asked_for_are_not_sent(server: ObjectServer, tmp_path: Path) -> None:
    wide = numbers(0, 1000, wide=pa.array([os.urandom(1000).hex() for _ in range(1000)]))
    record = survey(make_field("s3", tmp_path, server).write({"x": wide}, row_group_size=500), shards=2)
    before = server.sent_bytes()
    assert read(record, ["n"])["n"].to_pylist() == list(range(1000))
    narrow = server.sent_bytes() - before
    read(record)
    assert narrow < 200_000 and server.sent_bytes() - before - narrow > 1_000_000


def test_empty_row_groups_and_empty_files_do_no_harm(field: Field, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    holes = tmp_path / "holes"
    with pq.ParquetWriter(holes, numbers(0, 1).schema) as writer:
        for first, count in ((0, 0), (0, 3), (3, 0), (3, 0), (3, 4), (7, 0)):
            writer.write_table(numbers(first, count))
    url = field.write({"a": numbers(0, 0), "b": holes.read_bytes(), "c": numbers(7, 1), "d": numbers(0, 0)})
    for shards in (1, 2, 12):
        record = survey(url, shards=shards)
        assert len(record.shards) == min(shards, 3)
        assert read(record)["n"].to_pylist() == list(range(8))


def test_a_row_group_is_read_in_batches_of_bounded_size(field: Field) -> None:
    rows = BATCH_ROWS * 2 + 5
    record = survey(field.write({"k=1/x": numbers(0, rows)}, row_group_size=rows))
    for columns in (None, ["k"]):
        sizes = [batch.num_rows for batch in read_shard(record, 0, columns)]
        assert sum(sizes) == rows and max(sizes) <= BATCH_ROWS


@pytest.mark.parametrize("how", ["other rows", "same size", "removed"])
def test_a_file_that_changed_since_it_was_registered_is_found_before_a_row_is_read(field: Field, how: str) -> None:
    record = survey(field.write(cities()), shards=3)
    rows = 31 if how == "other rows" else 30
    if how == "removed":
        field.remove("city=Rome/part-1")
    else:
        field.write({"city=Rome/part-1": numbers(0, rows, even=pa.array([True] * rows))})
    assert sum(batch.num_rows for batch in read_shard(record, 0)) == 30
    with pytest.raises(Corrupt, match=r"city=Rome/part-1 was .* since it was registered.*: .*register it again"):
        next(read_shard(record, 1))
    assert sum(batch.num_rows for batch in read_shard(record, 2)) == 30


def test_a_file_that_changes_while_it_is_read_is_found_at_its_end_at_the_latest(field: Field) -> None:
    rows = BATCH_ROWS * 3
    record = survey(field.write({"x": numbers(0, rows)}, row_group_size=rows))
    batches = read_shard(record, 0)
    next(batches)
    field.write({"x": numbers(1, rows)}, row_group_size=rows)
    with pytest.raises(Corrupt, match="was changed in place"):
        list(batches)


def test_damage_in_the_middle_of_a_file_is_no_news_of_the_network(tmp_path: Path) -> None:
    field = make_field("file", tmp_path)
    record = survey(field.write({"x": numbers(0, 1000)}, row_group_size=1000))
    path = tmp_path / "data" / "x"
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[4:60] = bytes(56)
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a disk that forgets would
    with pytest.raises(Corrupt, match="cannot be decoded"):
        list(read_shard(record, 0))


def test_a_store_that_is_away_is_unavailable(server: ObjectServer, tmp_path: Path) -> None:
    record = survey(make_field("s3", tmp_path, server).write(cities()), shards=3)
    away = msgspec.structs.replace(record, url=record.url.replace(str(server.port), "9"))
    with pytest.raises(Unavailable, match="does not answer"):
        next(read_shard(away, 0))
    server.go_wrong(Wrong("GET", "AccessDenied", 403, 100))
    try:
        with pytest.raises(Unavailable, match="refused"):
            next(read_shard(record, 0))
    finally:
        server.go_wrong()
    assert len(list(read_shard(record, 0))) > 0


@pytest.mark.parametrize("digest", ["stamp", "content"])
def test_a_local_copy_is_the_shard_that_put_would_write(field: Field, tmp_path: Path, digest: str) -> None:
    record = survey(field.write(cities()), shards=2, digest=digest)
    blobs, rows = BlobStore(tmp_path / "node"), read(record).slice(record.shards[0].rows)
    written = write_shard(tmp_path / "put", rows.schema, rows.to_batches())
    name = write_local(record, 1, None, blobs)
    shard = open_shard([blobs.path(name)], 1)
    assert shard.rows == record.shards[1].rows and pa.Table.from_batches([block.batch for block in shard.blocks]).equals(rows)
    assert name == written.parts[0].file_digest
    narrow = open_shard([blobs.path(write_local(record, 1, ["city"], blobs))], 1)
    assert pa.Table.from_batches([block.batch for block in narrow.blocks]).equals(rows.select(["city"]))


def test_a_local_copy_with_other_rows_than_were_registered_by_content_is_refused(field: Field, tmp_path: Path) -> None:
    record = survey(field.write(cities()), shards=1, digest="content")
    other = msgspec.structs.replace(record, shards=[msgspec.structs.replace(record.shards[0], digest="0" * 64)])
    blobs = BlobStore(tmp_path / "node")
    with pytest.raises(Corrupt, match="other rows than were registered"):
        write_local(other, 0, None, blobs)
    assert blobs.digests() == [] and not list((tmp_path / "node" / "blobs" / "arriving").iterdir())
    with pytest.raises(Corrupt, match="other rows than were registered"):
        check_shard(other, 0)
    check_shard(record, 0)


@pytest.mark.parametrize("columns", [None, ["city"], ["n"]], ids=str)
def test_a_reader_may_begin_at_any_row_and_row_groups_before_it_are_not_read(field: Field, columns: list[str] | None) -> None:
    record = survey(field.write(cities()), shards=1)
    table = read(record, columns)
    for first in (0, 1, 10, 35, 89, 90):
        left = list(read_shard(record, 0, columns, first))
        assert sum(batch.num_rows for batch in left) == 90 - first
        assert not left or pa.Table.from_batches(left).equals(table.slice(first))


def test_a_value_that_does_not_fit_its_type_is_named(field: Field) -> None:
    record = survey(field.write({"x": pa.table({"n": pa.array([2**63], pa.uint64())})}))
    with pytest.raises(CallerError, match=r"/x: column 'n' cannot become int"):
        list(read_shard(record, 0))


@pytest.mark.parametrize("fields", [None, {}, {"format": 1}, []], ids=str)
def test_what_is_no_record_is_refused(fields: Any) -> None:
    with pytest.raises(Corrupt, match="the record of a registered dataset"):
        decode_in_place(fields)


def test_a_record_of_another_format_is_refused(tmp_path: Path) -> None:
    record = survey(make_field("file", tmp_path).write({"x": numbers(0, 1)}))
    with pytest.raises(Corrupt, match="has format 2"):
        decode_in_place(msgspec.to_builtins(msgspec.structs.replace(record, format=2)))
