"""Where rows come from: files or a table in memory, as a stream of record batches of one schema, as often as needed."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muskox.errors import CallerError
from muskox.store.schema import Columns, as_table, check_types, conform_table


@dataclass(frozen=True, slots=True)
class Source:
    """Rows to put.

    columns : name -> type, in order
    rows : how many there are
    batches : opens a new stream of pyarrow.RecordBatch, all with the schema `arrow_schema(columns)`
    """

    columns: Columns
    rows: int
    batches: Callable[[], Iterator[Any]]


def open_source(data: Any, types: Mapping[str, str] | None = None) -> Source:
    """Return the rows of `data`: a path, several, a pyarrow.Table or a pandas DataFrame.

    Raises
    ------
    CallerError
        If there is nothing to read there, or it breaks a rule of its format.
    """
    given = check_types(types)
    paths = _paths(data)
    if paths is None:
        return _from_table(data, given)
    from muskox.store.csv import open_csv
    from muskox.store.parquet import open_parquet

    are_parquet = [_is_parquet(path) for path in paths]
    if any(are_parquet) and not all(are_parquet):
        odd = paths[are_parquet.index(not are_parquet[0])]
        raise CallerError(f"of {paths[0]} and {odd} one is Parquet and one is not: put files of one kind")
    return open_parquet(paths, given) if are_parquet[0] else open_csv(paths, given)


def _from_table(data: Any, given: Columns) -> Source:
    table = conform_table(as_table(data), given)
    if table.num_rows == 0:
        raise CallerError("the table has no rows")
    from muskox.store.schema import columns_of

    columns = columns_of(table.schema, "the table")
    return Source(columns, table.num_rows, lambda: iter(table.to_batches(max_chunksize=65_536)))


def _paths(data: Any) -> list[Path] | None:
    """Return the paths that `data` is, or None if it is something else."""
    if isinstance(data, str | Path):
        return [Path(data)]
    if not isinstance(data, Iterable) or isinstance(data, Mapping) or hasattr(data, "schema") or hasattr(data, "columns"):
        return None
    paths = list(data)
    if not paths:
        raise CallerError("no file is given")
    if not all(isinstance(path, str | Path) for path in paths):
        return None
    return [Path(path) for path in paths]


def _is_parquet(path: Path) -> bool:
    from muskox.store.parquet import MAGIC

    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise CallerError(f"cannot read {path}: {error.strerror}") from error
