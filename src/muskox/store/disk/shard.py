"""A shard as files: Arrow IPC, batches of BLOCK_ROWS rows, a content digest (what it is) and file digests (the bytes).

There is a file for each column group; the content digest does not depend on the groups.

It owns how rows become such a file and how the file becomes a `program.Shard` again, memory-mapped and checked. The content
digest is SHA-256 over the canonical JSON of the row count and, per column, name, type and the SHA-256 of its canonical bytes:

- per block of BLOCK_ROWS rows one byte, 0 if no value is missing, else 1 and the validity as bits, least significant first;
- then the values, little-endian, missing ones as zero, every NaN as the one NaN, bools as bytes; for text the lengths of the
  UTF-8 bytes as int64 (0 where missing), then the bytes.

So it does not depend on chunks, dictionaries, offsets, or what lies under a missing value.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from muskox.errors import Corrupt, Unavailable
from muskox.program import BLOCK_ROWS, Block, Shard
from muskox.records import canonical_json
from muskox.shelf import Shelf
from muskox.store.disk.blobs import check_once, refused_write, write_all
from muskox.store.schema import columns_of


@dataclass(frozen=True, slots=True)
class PartFile:
    """A written part: the columns of one group, as one file."""

    path: Path
    bytes: int
    file_digest: str


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """A written shard: how many rows it has, what they are, and its parts, one a column group."""

    rows: int
    content_digest: str
    parts: tuple[PartFile, ...]


def write_shard(path: Path, schema: Any, batches: Iterable[Any], groups: Sequence[Sequence[str]] = ()) -> ShardFiles:
    """Write `batches` of `schema` as one shard in bounded memory: a file ``<path>-<position>`` for each of `groups`.

    Raises
    ------
    Unavailable
        If the disk is full.
    """
    with ShardWriter(path, schema, groups) as writer:
        for batch in batches:
            writer.add(batch)
        return writer.finish()


class ShardWriter:
    """A shard's files while its rows come. Use as a context manager: without :meth:`finish` they are only closed."""

    def __init__(self, path: Path, schema: Any, groups: Sequence[Sequence[str]] = ()) -> None:
        self._folder = path.parent
        self._content = ContentDigest(schema)
        self._blocks = Blocks(BLOCK_ROWS)
        self._columns = [list(group) for group in groups] or [list(schema.names)]
        self._files: list[_DigestedFile] = []
        self._writers: list[Any] = []
        with self._refusing():
            for position, group in enumerate(self._columns):
                self._files.append(_DigestedFile(path.with_name(f"{path.name}-{position}")))
                own = pa.schema([schema.field(name) for name in group])
                self._writers.append(pa.ipc.new_file(pa.PythonFile(self._files[-1], mode="w"), own))

    @property
    def waiting_bytes(self) -> int:
        """What is in memory: rows that are not yet a block."""
        return self._blocks.waiting_bytes

    def add(self, batch: Any) -> None:
        """Take in the next rows; Unavailable if the disk is full."""
        with self._refusing():
            for rows in self._blocks.add(batch):
                self._write(rows)

    def give_back(self) -> list[Any]:
        """Return the rows that are not yet a block, and forget them: add them again, before any others."""
        return self._blocks.give_back()

    def finish(self) -> ShardFiles:
        """Write what is left; the files are complete."""
        with self._refusing():
            if rows := self._blocks.give_back():
                self._write(rows)
            for writer in self._writers:
                writer.close()
        self.close()
        return ShardFiles(self._content.rows, self._content.hexdigest(), tuple(file.part() for file in self._files))

    def close(self) -> None:
        for file in self._files:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _write(self, rows: list[Any]) -> None:
        block = pa.concat_batches(rows)  # even one: Arrow pads a part of a batch with bytes of the rows that follow it
        self._content.update(block)
        for writer, group in zip(self._writers, self._columns, strict=True):
            writer.write_batch(block.select(group))

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.close()
            raise refused_write(error, self._folder) from error


class _DigestedFile:
    """A file that Arrow writes to, digested on the way: to read it again for that costs as much as to write it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sha = hashlib.sha256()
        self._bytes = 0
        self._file = io.FileIO(path, "wb")

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, data: Any) -> None:
        view = memoryview(data)
        self._sha.update(view)
        self._bytes += view.nbytes
        write_all(self._file, view)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self._file.close()

    def part(self) -> PartFile:
        return PartFile(self._path, self._bytes, self._sha.hexdigest())


def reblock(batches: Iterable[Any], block_rows: int = BLOCK_ROWS) -> Iterator[Any]:
    """Yield the same rows in record batches of exactly `block_rows` rows, the last one excepted."""
    blocks = Blocks(block_rows)
    for batch in batches:
        yield from map(_join, blocks.add(batch))
    if rows := blocks.give_back():
        yield _join(rows)


class Blocks:
    """Rows as they come, by blocks of exactly `block_rows` rows."""

    def __init__(self, block_rows: int) -> None:
        self._block_rows = block_rows
        self._waiting: list[Any] = []
        self._rows = 0
        self.waiting_bytes = 0

    def add(self, batch: Any) -> Iterator[list[Any]]:
        """Take in the next rows, and yield those of each block that is full by now, in one batch or several."""
        first = 0
        while self._rows + batch.num_rows - first >= self._block_rows:
            count = self._block_rows - self._rows
            yield [*self.give_back(), batch.slice(first, count)]
            first += count
        if first < batch.num_rows:
            left = batch.slice(first)
            if first:
                left = pa.concat_batches([left])  # a copy: the slice would keep all of the batch in memory
            self._waiting.append(left)
            self._rows += left.num_rows
            self.waiting_bytes += left.nbytes

    def give_back(self) -> list[Any]:
        """Return the rows that are not yet a block, and forget them."""
        waiting, self._waiting, self._rows, self.waiting_bytes = self._waiting, [], 0, 0
        return waiting


def _join(batches: list[Any]) -> Any:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


class ContentDigest:
    """The content digest, block by block: each update is BLOCK_ROWS rows, but for the last."""

    def __init__(self, schema: Any) -> None:
        self._columns = columns_of(schema, "a shard")
        self._sums = [hashlib.sha256() for _ in self._columns]
        self.rows = 0

    def update(self, block: Any) -> None:
        assert self.rows % BLOCK_ROWS == 0, "only the last block is short"
        self.rows += block.num_rows
        for sha, column in zip(self._sums, block.columns, strict=True):
            for part in canonical_bytes(column):
                sha.update(part)

    def hexdigest(self) -> str:
        columns = [[name, kind, sha.hexdigest()] for (name, kind), sha in zip(self._columns.items(), self._sums, strict=True)]
        return hashlib.sha256(canonical_json({"rows": self.rows, "columns": columns}).encode()).hexdigest()


def content_digest(table: Any) -> str:
    """Return the content digest of a pyarrow.Table in our types, however it is chunked."""
    content = ContentDigest(table.schema)
    for block in reblock(table.to_batches()):
        content.update(block)
    return content.hexdigest()


def canonical_bytes(column: Any) -> Iterator[Any]:
    """Yield the bytes that stand for a block of one column (pyarrow.Array) in the content digest."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.null_count:
        yield b"\x01"
        yield np.packbits(column.is_valid().to_numpy(zero_copy_only=False), bitorder="little")
    else:
        yield b"\x00"
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        yield from _text_bytes(column.cast(pa.large_string()).fill_null(""))
    elif pa.types.is_boolean(column.type):
        yield column.fill_null(False).to_numpy(zero_copy_only=False).astype(np.uint8)
    elif pa.types.is_floating(column.type):
        values = column.fill_null(0.0).to_numpy(zero_copy_only=False)
        missing = np.isnan(values)
        yield np.where(missing, np.nan, values) if missing.any() else np.ascontiguousarray(values)
    else:
        yield np.ascontiguousarray(column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False))


def _text_bytes(column: Any) -> Iterator[Any]:
    if len(column) == 0:
        return
    _, offset_buffer, data = column.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64, len(column) + 1, column.offset * 8)
    yield np.diff(offsets)
    if offsets[-1] > offsets[0]:
        yield memoryview(data)[int(offsets[0]) : int(offsets[-1])]


def open_file(path: Path, fields: Sequence[int] = ()) -> Any:
    """Return the pyarrow.ipc.RecordBatchFileReader over the memory-mapped shard file.

    fields : positions of the columns that its batches have, ascending; none means all

    Raises
    ------
    Unavailable
        If it is not there.
    Corrupt
        If it is no Arrow file.
    """
    try:
        return pa.ipc.open_file(pa.memory_map(str(path)), options=pa.ipc.IpcReadOptions(included_fields=list(fields)))
    except FileNotFoundError as error:
        raise Unavailable(f"shard file {path} is not there") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise Corrupt(f"{path} is no shard file: {error}") from error


def rows_of(reader: Any) -> int:
    """Return the rows of an open shard file: all its batches but the last are full."""
    last = reader.num_record_batches - 1
    return 0 if last < 0 else last * BLOCK_ROWS + int(reader.get_batch(last).num_rows)


def read_blocks(reader: Any, first: int = 0) -> Iterator[Any]:
    """Yield the record batches of an open shard file from batch number `first` on."""
    for index in range(first, reader.num_record_batches):
        yield reader.get_batch(index)


def open_shard(paths: Sequence[Path], index: int, shelf: Shelf | None = None) -> Shard:
    """Return the shard in these blob files (one a column group) as a program sees it; their bytes are checked first.

    Raises
    ------
    Corrupt
        If they differ.
    Unavailable
        If a file is not there.
    """
    readers = [open_part(path) for path in paths]

    def blocks() -> Iterator[Block]:
        return (Block(batch) for batch in joined([read_blocks(reader) for reader in readers]))

    return Shard(index, rows_of(readers[0]), blocks, shelf)


def open_part(path: Path, fields: Sequence[int] = ()) -> Any:
    """Return the reader of a blob file, its bytes compared with its name first; see :func:`open_file`, :func:`open_shard`."""
    check_once(path)
    return open_file(path, fields)


def joined(parts: Sequence[Iterator[Any]], columns: Sequence[str] | None = None) -> Iterator[Any]:
    """Yield the blocks of a shard's parts side by side, with these columns in this order: rows are in the same order in each.

    Raises
    ------
    Corrupt
        If the parts have not the same rows.
    """
    if len(parts) == 1:  # the most common case, and nothing between the reader and its file
        yield from parts[0] if columns is None else (block.select(list(columns)) for block in parts[0])
        return
    for blocks in zip_longest(*parts):
        if any(block is None or block.num_rows != blocks[0].num_rows for block in blocks):
            raise Corrupt("the column groups of a shard have not the same rows: verify the dataset")
        arrays = {field.name: array for block in blocks for field, array in zip(block.schema, block.columns, strict=True)}
        names = list(arrays) if columns is None else list(columns)
        yield pa.RecordBatch.from_arrays([arrays[name] for name in names], names=names)
