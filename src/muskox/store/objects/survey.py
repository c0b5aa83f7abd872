"""Surveying a Parquet dataset where it lies: its files, its columns, and which row groups make up which shard.

It owns the rules: every file below the URL counts, in the order of the UTF-8 bytes of its path, but those with a part that
begins with "_" or "." (such as "_SUCCESS"); a folder ``name=value`` makes a column; shards are runs of row groups of about
equal rows. So the record depends on the files and on nothing else. Reading rows is objects/in_place.py's.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple, TypeVar
from urllib.parse import unquote

import msgspec
import pyarrow as pa
import pyarrow.parquet as arrow_parquet

from muskox.errors import CallerError
from muskox.records import canonical_json
from muskox.store.input.text import guess
from muskox.store.objects.filesystems import Place, identity, is_of_store, open_place, told
from muskox.store.objects.in_place import InPlace, InPlaceFile, InPlaceShard, Piece, constant, content_of
from muskox.store.schema import (
    Columns,
    Found,
    apply_types,
    check_types,
    find_columns,
    merge_columns,
    settle_columns,
)

SHARDS = 12
FOOTERS_MAX = 32  # read at a time: each waits for the store most of the time
SHARDS_READ_MAX = 4  # digested at a time, each with a row group in memory
MISSING_PARTITION = "__HIVE_DEFAULT_PARTITION__"  # as Hive and Spark spell it
IGNORED = ("_", ".")

T = TypeVar("T")
S = TypeVar("S")
Progress = Callable[[str, int, int], None]  # what is being done, how much of it is done, of how much


class Footer(NamedTuple):
    """What the end of a file tells: its columns and, for each row group, its rows and bytes."""

    bytes: int
    identity: str
    columns: Found
    groups: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group that has rows."""

    file: int
    index: int
    rows: int
    bytes: int


def survey(
    url: str,
    types: Mapping[str, str] | None = None,
    shards: int | None = None,
    digest: str = "stamp",
    progress: Progress | None = None,
) -> InPlace:
    """Return the record of the Parquet dataset at `url`, a folder or a file.

    types : of columns by name, in place of the files' own
    shards : at most so many, 12 by default; there are no more than row groups
    digest : "stamp" covers the files' identities and reads no rows; "content" is what `put` would give, and reads them all

    Raises
    ------
    CallerError
        If there are no rows there, a file is no Parquet file, or files do not fit each other.
    Unavailable
        If the store does not answer.
    """
    given, wanted = check_types(types), SHARDS if shards is None else shards
    if wanted < 1:
        raise CallerError(f"{wanted} shards cannot be: give 1 or more")
    if digest not in ("stamp", "content"):
        raise CallerError(f"{digest!r} is no digest: give 'stamp' or 'content'")
    place = open_place(url)
    paths = _find_files(place)
    footers = _each(lambda path: _read_footer(place, path), paths, FOOTERS_MAX, ("surveying", progress))
    columns, partition, values = _unify(place, paths, footers, given)
    files = [
        InPlaceFile(
            path=path,
            bytes=footer.bytes,
            identity=footer.identity,
            rows=sum(rows for rows, _ in footer.groups),
            partition=own,
        )
        for path, footer, own in zip(paths, footers, values, strict=True)
    ]
    cut = _cut(_groups(footers), wanted)
    if not cut:
        raise CallerError(f"{place.shown('')}: there are no rows in its {len(files)} files")
    record = InPlace(url=url, columns=list(columns.items()), partition=partition, files=files, shards=cut, digest=digest)
    if digest == "stamp":
        digests = [_stamp(record, shard) for shard in cut]
    else:
        digests = _each(lambda shard: content_of(record, shard), range(len(cut)), SHARDS_READ_MAX, ("reading", progress))
    stamped = [msgspec.structs.replace(shard, digest=own) for shard, own in zip(cut, digests, strict=True)]
    return msgspec.structs.replace(record, shards=stamped)


def _each(work: Callable[[S], T], items: Sequence[S], at_a_time: int, progress: tuple[str, Progress | None]) -> list[T]:
    """Return work(item) of each, in order; after the first that fails no more are begun."""
    what, tell = progress
    results: list[T] = []
    with ThreadPoolExecutor(at_a_time, thread_name_prefix=what) as pool:
        try:
            for result in pool.map(work, items):
                results.append(result)
                if tell is not None:
                    tell(what, len(results), len(items))
        finally:
            pool.shutdown(cancel_futures=True)
    return results


# -- files ----------------------------------------------------------------------------------------------------------------


def _find_files(place: Place) -> list[str]:
    """Return the paths of the dataset's files below its root, sorted; one that is empty is the root itself."""
    from pyarrow.fs import FileSelector, FileType

    where = place.shown("")
    with told(place, "the list of files"):
        root = place.filesystem.get_file_info(place.path(""))
        if root.type == FileType.File:
            return [""]
        found = place.filesystem.get_file_info(FileSelector(place.path(""), recursive=True, allow_not_found=True))
    prefix = f"{place.root}/"
    below = [each.path.removeprefix(prefix) for each in found if each.type == FileType.File]
    paths = [path for path in below if not any(part.startswith(IGNORED) for part in path.split("/"))]
    if not paths:
        raise CallerError(f"{where}: there are no files to register: check the path")
    return sorted(paths, key=str.encode)


def _read_footer(place: Place, path: str) -> Footer:
    where = place.shown(path)
    with told(place, where), place.filesystem.open_input_file(place.path(path)) as file:
        try:
            metadata = arrow_parquet.read_metadata(file)
            schema = metadata.schema.to_arrow_schema()
        except (pa.ArrowInvalid, OSError) as error:
            if is_of_store(error):
                raise
            raise CallerError(
                f"{where} is no Parquet file that can be read: {error}; if it does not belong here, begin its name with '_'"
            ) from error
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        sizes = [(int(group.num_rows), int(group.total_byte_size)) for group in groups]
        return Footer(int(file.size()), identity(place, place.path(path), file), find_columns(schema, where), sizes)


# -- columns --------------------------------------------------------------------------------------------------------------


def _unify(
    place: Place, paths: Sequence[str], footers: Sequence[Footer], given: Columns
) -> tuple[Columns, list[str], list[list[str | None]]]:
    """Return the columns of all files and folders, the names of those of folders, and their values by file."""
    merged: Found = {}
    named: list[dict[str, str | None]] = []
    for path, footer in zip(paths, footers, strict=True):
        where, own = place.shown(path), _partition(path)
        merged = merge_columns(merged, footer.columns, where) if merged else footer.columns
        both = next((name for name in own if name in footer.columns), None)
        if both is not None:
            raise CallerError(f"{where}: column {both!r} is in the file and in its folder's name: leave it out of one")
        if named and list(own) != list(named[0]):
            raise CallerError(
                f"{where}: its folders name the columns {list(own)}, those of {place.shown(paths[0])} name {list(named[0])}"
            )
        named.append(own)
    partition = list(named[0])
    kinds = {name: given.get(name) or _kind([own[name] for own in named]) for name in partition}
    columns = apply_types({**settle_columns(merged), **kinds}, given)
    spelt: dict[tuple[str, str | None], str] = {}
    for path, own in zip(paths, named, strict=True):
        for item in own.items():
            spelt.setdefault(item, path)
    for (name, value), path in spelt.items():
        try:
            constant(value, columns[name], 1)
        except pa.ArrowInvalid as error:
            raise CallerError(f"{place.shown(path)}: {name}={value!r} is no {columns[name]}: give it another type") from error
    return columns, partition, [list(own.values()) for own in named]


def _partition(path: str) -> dict[str, str | None]:
    """Return what the folders of a path name.

    >>> _partition("year=2013/city=New%20York/part-0.parquet")
    {'year': '2013', 'city': 'New York'}
    """
    named = (folder.partition("=") for folder in path.split("/")[:-1] if "=" in folder)
    return {unquote(name): None if value == MISSING_PARTITION else unquote(value) for name, _, value in named}


def _kind(values: Iterable[str | None]) -> str:
    """Return the type that holds all these spellings: text, if there are several kinds of them.

    >>> _kind(["1", "2"]), _kind(["1", "2.5"]), _kind(["1", "01"]), _kind(["2013-01-01", None]), _kind([None])
    ('int', 'float', 'string', 'timestamp', 'string')
    """
    kinds = {guess(value) for value in dict.fromkeys(values) if value is not None}
    if kinds == {"int", "float"}:
        return "float"
    return kinds.pop() if len(kinds) == 1 else "string"


# -- shards ---------------------------------------------------------------------------------------------------------------


def _groups(footers: Sequence[Footer]) -> list[_Group]:
    return [
        _Group(file, index, rows, size)
        for file, footer in enumerate(footers)
        for index, (rows, size) in enumerate(footer.groups)
        if rows
    ]


def _cut(groups: Sequence[_Group], wanted: int) -> list[InPlaceShard]:
    """Cut the row groups into runs of about equal rows: each cut is where the rows before it come nearest to their share."""
    count = min(wanted, len(groups))
    ends = list(accumulate(group.rows for group in groups))
    cuts = [0]
    for shard in range(1, count):
        least, most = cuts[-1] + 1, len(groups) - (count - shard)
        share = ends[-1] * shard  # of `count` times the rows
        after = bisect_left(ends, share, key=lambda end: end * count) + 1
        nearest = min((after - 1, after), key=lambda cut: abs((ends[cut - 1] if cut else 0) * count - share))
        cuts.append(min(max(nearest, least), most))
    cuts.append(len(groups))
    return [_shard(groups[first:end]) for first, end in pairwise(cuts) if first < end]


def _shard(groups: Sequence[_Group]) -> InPlaceShard:
    pieces: list[Piece] = []
    for group in groups:
        last = pieces[-1] if pieces else None
        if last is not None and last.file == group.file:
            pieces[-1] = Piece(last.file, last.first, group.index - last.first + 1)  # empty ones in between do no harm
        else:
            pieces.append(Piece(group.file, group.index, 1))
    return InPlaceShard(
        pieces=pieces, rows=sum(group.rows for group in groups), bytes=sum(group.bytes for group in groups), digest=""
    )


def _stamp(record: InPlace, shard: InPlaceShard) -> str:
    """Return the SHA-256 of where the shard's rows lie, in which files, and as which columns."""
    files = [record.files[piece.file] for piece in shard.pieces]
    pieces = [
        [file.path, file.bytes, file.identity, piece.first, piece.count]
        for file, piece in zip(files, shard.pieces, strict=True)
    ]
    stamp = {"url": record.url, "columns": [list(column) for column in record.columns], "pieces": pieces}
    return hashlib.sha256(canonical_json(stamp).encode()).hexdigest()
