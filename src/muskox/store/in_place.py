"""A partitioned Parquet dataset registered where it lies: nothing is copied, a shard is a run of row groups.

It owns the record of such a dataset and how its rows are read. A node reads a shard over the network, or keeps a copy of it as
a shard file (:func:`write_local`). It must never know what a cluster is.

A registered file must not change, and nobody can forbid it: what is recorded of each (its size, its etag or time) is compared
before and after its rows are read. So rows that were read to the end are those that were registered.

Columns are those of the files, then those that folders name (``year=2013/``), in the order of the path. How to register one is
store/survey.py's.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as arrow_parquet

from muskox.errors import CallerError, Corrupt, MuskoxError
from muskox.store.filesystems import Place, identity, is_of_store, open_place, told
from muskox.store.schema import ARROW_TYPES, Columns, arrow_schema, conform
from muskox.store.shard import ShardFiles, write_shard
from muskox.store.text import parse

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


def decode_in_place(data: bytes) -> InPlace:
    """Return the record of which `data` is the JSON; Corrupt if it is none of this version's."""
    try:
        record = msgspec.json.decode(data, type=InPlace)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Corrupt(f"the record of a registered dataset cannot be read: {error}") from error
    if record.format != FORMAT:
        raise Corrupt(f"the record of a registered dataset has format {record.format}: this version of muskox reads {FORMAT}")
    return record


def read_shard(record: InPlace, shard: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """Yield the rows of a shard as pyarrow.RecordBatch in our types, with `columns` in that order; others are not read.

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
    for piece in record.shards[shard].pieces:
        yield from _read_piece(place, record, piece, wanted)


def write_local(record: InPlace, shard: int, columns: Sequence[str] | None, path: Path) -> ShardFiles:
    """Write the shard as a shard file for a node's cache, ``<path>-0``; raises as :func:`read_shard` does.

    All columns of a shard that is registered by its content are compared with its digest.

    Raises
    ------
    Unavailable
        If the disk is full.
    """
    files = write_shard(path, arrow_schema(_select(record, columns)), read_shard(record, shard, columns))
    if record.digest == "content" and columns is None and files.content_digest != record.shards[shard].digest:
        raise Corrupt(f"shard {shard} of {record.url} has other rows than were registered: register it again")
    return files


def _select(record: InPlace, columns: Sequence[str] | None) -> Columns:
    types, where = record.types, record.url.partition("?")[0]
    if columns is not None and not columns:
        raise CallerError(f"no column of {where} is asked for: it has {', '.join(types)}")
    for name in columns or ():
        if name not in types:
            raise CallerError(f"no column {name!r}: {where} has {', '.join(types)}")
    return types if columns is None else {name: types[name] for name in columns}


def _read_piece(place: Place, record: InPlace, piece: Piece, wanted: Columns) -> Iterator[Any]:
    file, where = record.files[piece.file], place.shown(record.files[piece.file].path)
    stored = {name: kind for name, kind in wanted.items() if name not in record.partition}
    named = {name: file.partition[record.partition.index(name)] for name in wanted if name in record.partition}
    schema = arrow_schema(wanted)
    with open_registered(place, file) as opened:
        for rows, batch in _decode(place, file, opened, piece, list(stored)):
            arrays = {name: constant(value, wanted[name], rows) for name, value in named.items()}
            if stored:
                own = conform(batch, stored, where)
                arrays.update(zip(own.schema.names, own.columns, strict=True))
            yield pa.RecordBatch.from_arrays([arrays[name] for name in wanted], schema=schema)
    with open_registered(place, file):
        pass  # it is still the same, so the rows between were of one file


def _decode(place: Place, file: InPlaceFile, opened: Any, piece: Piece, stored: list[str]) -> Iterator[tuple[int, Any]]:
    """Yield (rows, record batch) of a piece; if nothing stored is wanted, the rows that the footer tells, and no batch."""
    try:
        parquet = open_parquet_file(opened, place)
        for group in range(piece.first, piece.first + piece.count):
            if stored:
                for batch in parquet.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=stored):
                    yield batch.num_rows, batch
            else:
                rows = parquet.metadata.row_group(group).num_rows
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
