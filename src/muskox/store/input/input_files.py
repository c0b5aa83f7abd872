"""The files that a caller's paths mean: folders opened up, compression undone, and what their folders' names say of the rows.

It owns which files of a folder count, how a file's format is told, and hive partitions: a folder `year=2013` says that all rows
below it have 2013 in a column `year`. It knows nothing of what is in a file past its first bytes.
"""

import codecs
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from muskox.errors import CallerError
from muskox.store.input.text import Inference, Misfit
from muskox.store.schema import ARROW_TYPES, Columns

ENDINGS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4", ".br": "brotli"}
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz", ".xz")
JSON_LINES = (".jsonl", ".ndjson", ".json")
PARQUET, ARROW_FILE, ARROW_STREAM, FEATHER_1 = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff", b"FEA1"
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
LOOK_BYTES = 4096  # enough to tell a format


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file, and the values of the columns that its folders name, in order."""

    path: Path
    partition: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class InputFiles:
    """Files to read one after the other.

    partition_columns : name -> type of the columns that stand in the names of the folders; they come after the files' own
    given : the types that were asked for, of columns in the files
    """

    files: tuple[InputFile, ...]
    partition_columns: Columns = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> str:
        return ", ".join(str(file.path) for file in self.files[:3]) + (", ..." if len(self.files) > 3 else "")

    @property
    def bytes(self) -> int:
        return sum(file.path.stat().st_size for file in self.files)

    def check_own(self, names: Sequence[str], path: Path) -> None:
        """Raise CallerError if a column of the file is named by its folder, too."""
        for name in names:
            if name in self.partition_columns:
                raise CallerError(f"{path}: column {name!r} is in the file and in the name of its folder: rename one")

    def extend(self, batch: Any, file: InputFile) -> Any:
        """Return the record batch with the columns that the file's folders name."""
        if not file.partition:
            return batch
        arrays = list(batch.columns)
        names = [*batch.schema.names, *self.partition_columns]
        for value, kind in zip(file.partition, self.partition_columns.values(), strict=True):
            arrays.append(pa.repeat(pa.scalar(value, ARROW_TYPES[kind]), batch.num_rows))
        return pa.RecordBatch.from_arrays(arrays, names=names)


def find_input_files(paths: Sequence[Path], given: Columns) -> InputFiles:
    """Return the files under `paths`, those of a folder in the order of their names.

    Raises
    ------
    CallerError
        If there are none, a folder cannot be read, or not all lie in folders that name the same columns.
    """
    found = [pair for path in paths for pair in _below(path)]
    keys = [key for key, _ in found[0][1]]
    for path, pairs in found:
        if [key for key, _ in pairs] != keys:
            raise CallerError(
                f"{path}: its folders name the columns {[key for key, _ in pairs]}; those of {found[0][0]} {keys}"
            )
    inference = Inference({key: given[key] for key in keys if key in given})
    texts = pa.RecordBatch.from_arrays(
        [pa.array([pairs[index][1] for _, pairs in found], pa.string()) for index in range(len(keys))], names=keys
    )
    try:
        typed = inference.look(texts)
    except Misfit as misfit:
        raise CallerError(f"{found[misfit.position][0]}, the name of its folder: {misfit.reason}") from misfit
    columns = inference.columns(keys)
    values = zip(*(column.to_pylist() for column in typed.columns), strict=True) if keys else ((),) * len(found)
    files = tuple(InputFile(path, tuple(row)) for (path, _), row in zip(found, values, strict=True))
    return InputFiles(files, columns, {name: kind for name, kind in given.items() if name not in keys})


def find_format(path: Path) -> str:
    """Return "parquet", "arrow", "jsonl" or "csv", by the file's first bytes and its ending."""
    try:
        with path.open("rb") as raw:
            head = raw.read(8)
    except OSError as error:
        raise CallerError(f"cannot read {path}: {error.strerror}") from error
    if head.startswith(PARQUET):
        return "parquet"
    if head.startswith((ARROW_FILE, ARROW_STREAM)):
        return "arrow"
    if head.startswith(FEATHER_1):
        raise CallerError(f"{path} is Feather version 1: write it again with a newer pandas or pyarrow")
    if plain_suffix(path) in JSON_LINES:
        return "jsonl"
    with byte_stream(path) as (stream, _):
        start = _decompressed(path, stream, LOOK_BYTES).removeprefix(codecs.BOM_UTF8).lstrip()
    if start.startswith((PARQUET, ARROW_FILE)):
        raise CallerError(f"{path}: unpack it first; Parquet and Arrow files are compressed inside")
    return "jsonl" if start.startswith(b"{") else "csv"


def plain_suffix(path: Path) -> str:
    """Return the file's ending in lower case, without that of its compression.

    >>> plain_suffix(Path("rows.JSONL.gz"))
    '.jsonl'
    """
    return (Path(path.stem) if path.suffix.lower() in ENDINGS else path).suffix.lower()


@contextmanager
def byte_stream(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open the file's bytes, decompressed if its ending says so, and the file as it is, whose tell() says how far it is."""
    if path.suffix.lower() in ARCHIVES:
        raise CallerError(f"{path}: unpack it first; of compressed files only {', '.join(ENDINGS)} are read as they are")
    kind = ENDINGS.get(path.suffix.lower())
    try:
        with pa.OSFile(str(path)) as file:
            if kind is None:
                yield file, file
            else:
                with pa.CompressedInputStream(file, kind) as stream:
                    yield stream, file
    except OSError as error:
        raise CallerError(f"cannot read {path}: {error}") from error


def _decompressed(path: Path, stream: Any, size: int) -> bytes:
    try:
        return bytes(stream.read(size))
    except pa.ArrowInvalid as error:
        raise CallerError(f"cannot read {path}: {error}") from error


def _below(path: Path) -> Iterator[tuple[Path, list[tuple[str, str | None]]]]:
    """Yield `path` if it is a file, else the files below it: not those whose name, or whose folder's, begins with . or _."""
    if not path.is_dir():
        yield path, []
        return
    files = []
    try:
        for each in sorted(path.rglob("*")):
            below = each.relative_to(path).parts
            if each.is_file() and not any(part.startswith((".", "_")) and "=" not in part for part in below):
                files.append(each)
    except OSError as error:
        raise CallerError(f"cannot read the folder {path}: {error.strerror}") from error
    if not files:
        raise CallerError(f"cannot read rows from {path}: there is no file in this folder")
    for each in files:
        pairs = [part.split("=", 1) for part in each.relative_to(path).parts[:-1] if "=" in part]
        yield each, [(key, None if value == NO_VALUE else urllib.parse.unquote(value)) for key, value in pairs]
