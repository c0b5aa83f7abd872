"""A partitioned Parquet dataset registered where it lies: nothing is copied, a shard is a run of row groups.

It owns the record of such a dataset and how its rows are read. A reader reads a shard over the network; a node that computes
keeps a copy of it as a shard file in its cache (:func:`write_local`). It must never know what a cluster is.

A registered file must not change, and nobody can forbid it: what is recorded of each (its size, its etag or time) is compared
before and after its rows are read. So rows that were read to the end are those that were registered.

Columns are those of the files, then those that folders name (``year=2013/``), in the order of the path. How to register one is
objects/survey.py's.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as arrow_parquet

from muskox.errors import CallerError, Corrupt, MuskoxError
from muskox.store.disk.blobs import BlobStore, BlobWriter
from muskox.store.disk.shard import ContentDigest, reblock
from muskox.store.input.text import parse
from muskox.store.objects.filesystems import Place, identity, is_of_store, open_place, told
from muskox.store.schema import ARROW_TYPES, Columns, arrow_schema, conform

FORMAT = 1
BATCH_ROWS = 65_536  # decoded at a time
BUFFER_BYTES = 1 << 20  # read of each column at a time where nothing is read ahead
LOCAL = ("file", "memory")  # where reading ahead gains nothing, and holds a whole row group


class InPlaceFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the dataset.

    path : below the dataset's URL; empty if that is the file
    identity : what changes when it is written anew: "etag:...", "modified:..." (ns since 1970) or fsspec's "ukey:..."
    partition : the values that its folders name, as they are spelt there, in the order of `InPlace.partition`; None is missing
    """

    path: str
    bytes: int
    identity: str
    rows: int
    partition: list[str | None]


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """`count` row groups of `files[file]` from `first` on."""

    file: int
    first: int
    count: int


class InPlaceShard(msgspec.Struct, frozen=True, kw_only=True):
    """A shard: its rows in the order of its pieces. `bytes` are those of its row groups, encoded but not compressed.

    digest : of what `InPlace.digest` tells
    """

    pieces: list[Piece]
    rows: int
    bytes: int
    digest: str


class InPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset in place, whole. `columns` are (name, type) in order; `partition` names those that folders tell.

    digest : "stamp" if a shard's digest covers its files' identities, "content" if it is the content digest of its rows
    """

    url: str
    columns: list[tuple[str, str]]
    partition: list[str]
    files: list[InPlaceFile]
    shards: list[InPlaceShard]
    digest: str
    format: int = FORMAT

    @property
    def types(self) -> Columns:
        return dict(self.columns)

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)


def decode_in_place(fields: Any) -> InPlace:
    """Return the record of which `fields` are the JSON, decoded; Corrupt if it is none of this version's."""
    try:
        record = msgspec.convert(fields, InPlace)
    except msgspec.ValidationError as error:
        raise Corrupt(f"the record of a registered dataset cannot be read: {error}") from error
    if record.format != FORMAT:
        raise Corrupt(f"the record of a registered dataset has format {record.format}: this version of muskox reads {FORMAT}")
    return record


@dataclass(slots=True)
class _Skip:
    """Rows that are still to be left out."""

    rows: int


def read_shard(record: InPlace, shard: int, columns: Sequence[str] | None = None, first_row: int = 0) -> Iterator[Any]:
    """Yield the rows of a shard as pyarrow.RecordBatch in our types, with `columns` in that order; others are not read.

    first_row : begin at this row of the shard; row groups before it are not read

    Raises
    ------
    CallerError
        If there is no such shard or column, or a value does not fit its column's type.
    Corrupt
        If a file is not the one that was registered. It may show only after the last of its rows.
    Unavailable
        If the store does not answer.
    """
    if not 0 <= shard < len(record.shards):
        raise CallerError(f"{record.url} has the shards 0 to {len(record.shards) - 1}, and no shard {shard}")
    wanted = _select(record, columns)
    place = open_place(record.url)
    skip = _Skip(first_row)
    for piece in record.shards[shard].pieces:
        for batch in _read_piece(place, record, piece, wanted, skip):
            if skip.rows >= batch.num_rows:
                skip.rows -= batch.num_rows
                continue
            yield batch.slice(skip.rows)
            skip.rows = 0


def write_local(record: InPlace, shard: int, columns: Sequence[str] | None, into: BlobStore) -> str:
    """Write the shard as a shard file into a node's blobs, and return its digest; raises as :func:`read_shard` does.

    All columns of a shard that is registered by its content are compared with its digest.

    Raises
    ------
    Unavailable
        If the disk is full.
    """
    schema = arrow_schema(_select(record, columns))
    content = ContentDigest(schema)
    with into.writer() as blob:
        with pa.ipc.new_file(pa.PythonFile(_Sink(blob), mode="w"), schema) as file:
            for block in reblock(read_shard(record, shard, columns)):
                content.update(block)
                file.write_batch(block)
        if record.digest == "content" and columns is None and content.hexdigest() != record.shards[shard].digest:
            raise _changed(record, shard)
        return blob.commit()


class _Sink:
    """A blob on its way in as a file that Arrow writes to; who opened it closes it."""

    closed = False

    def __init__(self, blob: BlobWriter) -> None:
        self._blob = blob

    def write(self, data: Any) -> None:
        self._blob.write(memoryview(data))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def check_shard(record: InPlace, shard: int) -> None:
    """Compare a shard with what was registered: its files' identities, or, if it was registered by its content, its rows.

    Raises
    ------
    Corrupt
        If it has changed, or a file is gone.
    Unavailable
        If the store does not answer.
    """
    if record.digest == "content":
        if content_of(record, shard) != record.shards[shard].digest:
            raise _changed(record, shard)
        return
    place = open_place(record.url)
    for piece in record.shards[shard].pieces:
        with open_registered(place, record.files[piece.file]):
            pass


def content_of(record: InPlace, shard: int) -> str:
    """Return the content digest of a shard's rows as they are now; raises as :func:`read_shard` does."""
    content = ContentDigest(arrow_schema(record.types))
    for block in reblock(read_shard(record, shard)):
        content.update(block)
    return content.hexdigest()


def _changed(record: InPlace, shard: int) -> Corrupt:
    return Corrupt(f"shard {shard} of {record.url} has other rows than were registered: register it again")


def _select(record: InPlace, columns: Sequence[str] | None) -> Columns:
    types, where = record.types, record.url.partition("?")[0]
    if columns is not None and not columns:
        raise CallerError(f"no column of {where} is asked for: it has {', '.join(types)}")
    for name in columns or ():
        if name not in types:
            raise CallerError(f"no column {name!r}: {where} has {', '.join(types)}")
    return types if columns is None else {name: types[name] for name in columns}


def _read_piece(place: Place, record: InPlace, piece: Piece, wanted: Columns, skip: _Skip) -> Iterator[Any]:
    file, where = record.files[piece.file], place.shown(record.files[piece.file].path)
    stored = {name: kind for name, kind in wanted.items() if name not in record.partition}
    named = {name: file.partition[record.partition.index(name)] for name in wanted if name in record.partition}
    schema = arrow_schema(wanted)
    with open_registered(place, file) as opened:
        for rows, batch in _decode((place, file, opened), piece, list(stored), skip):
            arrays = {name: constant(value, wanted[name], rows) for name, value in named.items()}
            if stored:
                own = conform(batch, stored, where)
                arrays.update(zip(own.schema.names, own.columns, strict=True))
            yield pa.RecordBatch.from_arrays([arrays[name] for name in wanted], schema=schema)
    with open_registered(place, file):
        pass  # it is still the same, so the rows between were of one file


def _decode(source: tuple[Place, InPlaceFile, Any], piece: Piece, stored: list[str], skip: _Skip) -> Iterator[tuple[int, Any]]:
    """Yield (rows, record batch) of a piece; if nothing stored is wanted, the rows that the footer tells, and no batch."""
    place, file, opened = source
    try:
        parquet = open_parquet_file(opened, place)
        for group in range(piece.first, piece.first + piece.count):
            rows = parquet.metadata.row_group(group).num_rows
            if skip.rows >= rows:
                skip.rows -= rows
            elif stored:
                for batch in parquet.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=stored):
                    yield batch.num_rows, batch
            else:
                yield from ((min(BATCH_ROWS, rows - first), None) for first in range(0, rows, BATCH_ROWS))
    except (OSError, pa.ArrowException) as error:
        raise _undecodable(place, file, error) from error


def _undecodable(place: Place, file: InPlaceFile, error: Exception) -> Exception:
    """Return what a failure while reading means: another file by now, a store that is away, or damage."""
    try:
        with open_registered(place, file), told(place, place.shown(file.path)):
            if is_of_store(error):
                raise error
    except MuskoxError as meaning:
        return meaning
    return Corrupt(f"{place.shown(file.path)} cannot be decoded: {error}: restore it, and register it again")


@contextmanager
def open_registered(place: Place, file: InPlaceFile) -> Iterator[Any]:
    """Open a file of the dataset as a pyarrow.NativeFile.

    Raises
    ------
    Corrupt
        If it is gone, or not the one that was registered.
    Unavailable
        If the store does not answer.
    """
    where, path = place.shown(file.path), place.path(file.path)
    with told(place, where):
        try:
            opened = place.filesystem.open_input_file(path)
        except FileNotFoundError as error:
            raise Corrupt(f"{where} was removed since it was registered: restore it, or register it again") from error
        bytes_now, identity_now = opened.size(), identity(place, path, opened)
    with opened:
        if (bytes_now, identity_now) != (file.bytes, file.identity):
            raise Corrupt(
                f"{where} was changed in place since it was registered ({file.bytes} bytes, {file.identity}; "
                f"now {bytes_now} bytes, {identity_now}): register it again"
            )
        yield opened


def open_parquet_file(opened: Any, place: Place) -> Any:
    """Return the pyarrow.parquet.ParquetFile in an open file. Over a network a row group is read ahead, in few requests."""
    if place.scheme in LOCAL:
        return arrow_parquet.ParquetFile(opened, pre_buffer=False, buffer_size=BUFFER_BYTES)
    return arrow_parquet.ParquetFile(opened, pre_buffer=True)


def constant(spelling: str | None, kind: str, rows: int) -> Any:
    """Return a pyarrow.Array of `rows` times the value that a folder's name spells; pa.ArrowInvalid if it is not of `kind`."""
    if spelling is None:
        return pa.nulls(rows, ARROW_TYPES[kind])
    return pa.repeat(parse(pa.array([spelling], pa.string()), kind)[0], rows)
