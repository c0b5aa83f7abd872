"""Where rows come from: files, tables, readers or an iterator, as a stream of record batches of one schema, as often as needed.

It owns what a `Source` is and which of the room's readers opens what. It knows no format.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from muskox.errors import CallerError
from muskox.store.input.reading import USUAL, Reading
from muskox.store.schema import Columns, check_types


class Batches(Protocol):
    """Opens a new stream of pyarrow.RecordBatch, all with the schema `arrow_schema` of the columns: of all, or those wanted."""

    def __call__(self, wanted: Sequence[str] | None = None) -> Iterator[Any]: ...


def _keep_nothing() -> object:
    return None


@dataclass(frozen=True, slots=True)
class Source:
    """Rows to put. Use as a context manager, or call `close` at the end; what is forgotten goes with the object.

    columns : name -> type, in order
    rows : how many there are
    batches : opens a new stream of them; with names, of only these columns, for which far less is read
    close : removes the temporary files, after which there are no batches
    bytes : how large the input is, 0 if that is not known
    """

    columns: Columns
    rows: int
    batches: Batches
    close: Callable[[], object] = _keep_nothing
    bytes: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_source(data: Any, types: Mapping[str, str] | None = None, reading: Reading = USUAL) -> Source:
    """Return the rows of `data`.

    Parameters
    ----------
    data : a path, a folder or several: files of CSV, JSON lines, Parquet or Arrow, all of one format, those of a folder in the
        order of their names, with the columns that folders called `name=value` give; a pyarrow Table, RecordBatch,
        RecordBatchReader or Dataset; a pandas or polars DataFrame; whatever has `__arrow_c_stream__`; an iterable of such
        tables or of dicts of columns, which is read once
    types : types by column ("int", "float", "bool", "string", "timestamp") that are not to be inferred
    reading : how to read what does not say it itself

    Raises
    ------
    CallerError
        If there is nothing to read there, or it breaks a rule of its format.
    Unavailable
        If what can be read only once does not fit on the disk.
    """
    given = check_types(types)
    reading.check()
    paths, others = _paths(data)
    if paths is None:
        from muskox.store.input.frames import open_frames

        return open_frames(others, given, reading)
    from muskox.store.input.input_files import find_input_files

    files = find_input_files(paths, given)
    match _format(files, reading):
        case "parquet":
            from muskox.store.input.parquet import open_parquet

            return open_parquet(files)
        case "arrow":
            from muskox.store.input.arrow_files import open_arrow_files

            return open_arrow_files(files)
        case "jsonl":
            from muskox.store.input.jsonlines import open_jsonlines

            return open_jsonlines(files, reading)
        case _:
            from muskox.store.input.csv import open_csv

            return open_csv(files, reading)


def _format(files: Any, reading: Reading) -> str:
    from muskox.store.input.input_files import find_format

    first = files.files[0].path
    found = [find_format(file.path) for file in files.files] if reading.format is None else [reading.format]
    for file, each in zip(files.files, found, strict=False):
        if each != found[0]:
            raise CallerError(f"{first} is {found[0]} and {file.path} is {each}: put files of one kind")
    return found[0]


def _paths(data: Any) -> tuple[list[Path] | None, Any]:
    """Return the paths that `data` is, or None; and `data`, whole again if it is an iterator that had to be looked into."""
    if isinstance(data, str | Path):
        return [Path(data)], data
    if isinstance(data, list | tuple):
        if not data:
            raise CallerError("no file is given")
        return ([Path(path) for path in data], data) if all(isinstance(path, str | Path) for path in data) else (None, data)
    if not isinstance(data, Iterator) or hasattr(data, "schema"):
        return None, data
    for first in data:
        whole = chain([first], data)
        return _paths(list(whole)) if isinstance(first, str | Path) else (None, whole)
    raise CallerError("the iterator is empty: there are no rows")
