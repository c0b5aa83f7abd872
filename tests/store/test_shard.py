"""A shard's content digest is its identity; its file is blocks of BLOCK_ROWS rows that are checked before use."""

import datetime
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.errors import Corrupt, Unavailable
from muskox.program import BLOCK_ROWS
from muskox.store import arrow_schema, content_digest, open_shard
from muskox.store.disk.shard import joined, open_part, read_blocks, reblock, write_shard

ROWS = 2 * BLOCK_ROWS + 1000
SCHEMA = arrow_schema({"i": "int", "f": "float", "b": "bool", "s": "string", "t": "timestamp"})
VALUES = {
    "i": st.integers(-(2**63), 2**63 - 1),
    "f": st.floats(),
    "b": st.booleans(),
    "s": st.text(max_size=9),
    "t": st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 1, 1)),
}
rows = st.lists(st.fixed_dictionaries({name: st.one_of(st.none(), values) for name, values in VALUES.items()}), max_size=12)


def big_table() -> Any:
    draw = random.Random(5)
    return pa.table(
        {
            "i": [draw.choice([None, 1, -7, 2**40]) for _ in range(ROWS)],
            "f": [draw.choice([None, 0.5, float("nan")]) for _ in range(ROWS)],
            "b": [draw.choice([None, True, False]) for _ in range(ROWS)],
            "s": [draw.choice([None, "", "naïve", "x" * 30]) for _ in range(ROWS)],
            "t": [draw.choice([None, datetime.datetime(2013, 1, 1)]) for _ in range(ROWS)],
        },
        schema=SCHEMA,
    )


def chunked(table: Any, sizes: list[int]) -> Any:
    parts, at = [], 0
    for size in sizes:
        parts.append(table.slice(at, size))
        at += size
    return pa.concat_tables([*parts, table.slice(at)])


def test_the_content_digest_never_changes() -> None:
    table = pa.table({"i": [1, None, 3], "f": [0.5, None, -0.0], "b": [True, None, False], "s": ["", None, "é"],
                      "t": pa.array([0, None, 1], pa.timestamp("us"))}, schema=SCHEMA)  # fmt: skip
    assert content_digest(table) == "1d3ca3befcbb069f68a0d3cc81f6151f1333cb6aeeab6a225e6cee3e746b1078"


@given(rows, st.lists(st.integers(0, 5), max_size=4))
def test_the_content_digest_does_not_see_chunks(values: list[dict[str, Any]], sizes: list[int]) -> None:
    table = pa.Table.from_pylist(values, schema=SCHEMA)
    assert content_digest(chunked(table, sizes)) == content_digest(table)


@given(rows)
def test_the_content_digest_does_not_see_what_lies_under_a_missing_value(values: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(values, schema=SCHEMA)
    filled = pa.Table.from_pylist([{**row, **{k: _any(k) for k in row if row[k] is None}} for row in values], schema=SCHEMA)
    columns = []
    for name in SCHEMA.names:
        missing = np.array([row[name] is None for row in values], dtype=bool)
        whole = filled[name].combine_chunks()
        mask = pa.array(~missing).buffers()[1] if len(missing) else None
        columns.append(pa.Array.from_buffers(whole.type, len(whole), [mask, *whole.buffers()[1:]]))
    assert content_digest(pa.table(columns, schema=SCHEMA)) == content_digest(table)


def _any(name: str) -> Any:
    return {"i": 77, "f": 7.7, "b": True, "s": "dirt", "t": datetime.datetime(2020, 2, 2)}[name]


@given(rows, st.sampled_from(SCHEMA.names), st.integers(0, 11))
def test_the_content_digest_sees_every_value(values: list[dict[str, Any]], name: str, at: int) -> None:
    if at >= len(values) or values[at][name] == _any(name):
        return
    changed = [{**row, name: _any(name)} if index == at else row for index, row in enumerate(values)]
    tables = [pa.Table.from_pylist(each, schema=SCHEMA) for each in (values, changed)]
    assert content_digest(tables[0]) != content_digest(tables[1])


def test_text_cannot_move_from_one_value_to_the_next_unseen() -> None:
    one, other = (pa.table({"s": values}) for values in (["ab", "c"], ["a", "bc"]))
    assert content_digest(one) != content_digest(other)
    assert content_digest(one) != content_digest(one.rename_columns(["z"]))


def test_dictionary_encoding_and_every_nan_are_one() -> None:
    text = pa.table({"s": ["a", None, "b", "a"]})
    encoded = pa.table({"s": text["s"].combine_chunks().dictionary_encode()})
    assert content_digest(text) == content_digest(encoded)
    odd = np.array([0x7FF8_0000_0000_0001, 0xFFF8_0000_0000_0000], np.uint64).view(np.float64)
    assert content_digest(pa.table({"f": odd})) == content_digest(pa.table({"f": [float("nan")] * 2}))


def test_blocks_have_their_fixed_size_however_rows_arrive(tmp_path: Path) -> None:
    table = big_table()
    by_whole = write_shard(tmp_path / "whole", SCHEMA, table.to_batches())
    by_bits = write_shard(tmp_path / "bits", SCHEMA, chunked(table, [1, 5000, 0, 20_000]).to_batches(max_chunksize=999))
    assert by_whole.content_digest == by_bits.content_digest == content_digest(table)
    assert by_whole.rows == by_bits.rows == ROWS
    assert [block.num_rows for block in reblock(table.to_batches(max_chunksize=777))] == [BLOCK_ROWS, BLOCK_ROWS, 1000]


def test_a_shard_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = big_table()
    (file,) = write_shard(tmp_path / "new", SCHEMA, table.to_batches()).parts
    path = file.path.rename(tmp_path / file.file_digest)
    assert file.bytes == path.stat().st_size
    shard = open_shard([path], 4)
    assert (shard.index, shard.rows) == (4, ROWS)
    assert [block.rows for block in shard.blocks] == [BLOCK_ROWS, BLOCK_ROWS, 1000]
    again = pa.Table.from_batches([block.batch for block in shard.blocks])
    assert again.drop_columns("f").equals(table.drop_columns("f"))  # NaN equals nothing; the digest tells
    assert content_digest(again) == content_digest(table)
    first = next(shard.blocks)
    assert first["f"].dtype == np.float64 and first["i"].dtype == np.float64 and first["s"].dtype == object


def test_a_shard_may_be_empty(tmp_path: Path) -> None:
    written = write_shard(tmp_path / "new", SCHEMA, [])
    (file,) = written.parts
    shard = open_shard([file.path.rename(tmp_path / file.file_digest)], 0)
    assert shard.rows == 0 and list(shard.blocks) == []
    assert written.content_digest == content_digest(SCHEMA.empty_table())


@pytest.mark.parametrize("damage", ["bit", "cut", "gone"])
def test_a_damaged_shard_is_never_opened(tmp_path: Path, damage: str) -> None:
    (file,) = write_shard(tmp_path / "new", SCHEMA, big_table().to_batches()).parts
    path = file.path.rename(tmp_path / file.file_digest)
    open_shard([path], 0)
    match damage:
        case "bit":
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        case "cut":
            os.truncate(path, path.stat().st_size // 2)
        case "gone":
            path.unlink()
    with pytest.raises(Unavailable if damage == "gone" else Corrupt, match=file.file_digest):
        open_shard([path], 0)


GROUPS = [["f"], ["s", "i"], [name for name in SCHEMA.names if name not in ("f", "s", "i")]]


def test_column_groups_are_files_of_their_own_and_change_nothing_else(tmp_path: Path) -> None:
    table = big_table()
    whole = write_shard(tmp_path / "whole", SCHEMA, table.to_batches())
    apart = write_shard(tmp_path / "apart", SCHEMA, table.to_batches(max_chunksize=1234), GROUPS)
    assert apart.content_digest == whole.content_digest and apart.rows == whole.rows
    paths = [part.path.rename(tmp_path / part.file_digest) for part in apart.parts]
    assert [pa.ipc.open_file(path).schema.names for path in paths] == GROUPS
    blocks = joined([read_blocks(open_part(path)) for path in paths], list(SCHEMA.names))
    assert content_digest(pa.Table.from_batches(list(blocks))) == whole.content_digest
    some = open_shard(paths[:2], 3)
    assert some.rows == ROWS and next(some.blocks).batch.schema.names == ["f", "s", "i"]


def test_column_groups_of_different_rows_are_not_joined(tmp_path: Path) -> None:
    table = big_table()
    for other in (table.slice(0, ROWS - 1), table.slice(0, BLOCK_ROWS)):
        with pytest.raises(Corrupt, match="have not the same rows"):
            list(joined([iter(reblock(table.to_batches())), iter(reblock(other.to_batches()))]))
