"""CSV in: files read as a stream of text batches, types found over all of them first, errors that name file and line.

It owns the dialect (commas, double quotes, a header line, UTF-8, newlines within quotes, compression by the file's ending)
and the way back from a row to its line, which Arrow does not keep: on an error, and only then, the file is read once more by
Python's csv module. What spellings mean is in store/text.py.
"""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv

from muskox.errors import CallerError
from muskox.store.schema import Columns, apply_types, arrow_schema, check_column_names
from muskox.store.source import Source
from muskox.store.text import MISSING_SPELLINGS, Inference, Misfit, check_rows, parse_batch

BLOCK_BYTES = 4 << 20  # of text, parsed at a time; also bounds the length of a row
COMPRESSED = (".gz", ".bz2", ".zst", ".lz4", ".br")  # what Arrow tells by the ending
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz", ".xz")


def open_csv(paths: list[Path], given: Columns) -> Source:
    """Read all of `paths` once to find the columns' types and the number of rows; return what reads them again, typed.

    Raises
    ------
    CallerError
        Naming file and line, if a row is ragged, a value does not fit its column's type, or a file is empty.
    """
    names = read_header(paths[0])
    for path in paths[1:]:
        if read_header(path) != names:
            raise CallerError(f"{path}: its columns are not those of {paths[0]}: {', '.join(names)}")
    apply_types(dict.fromkeys(names, "string"), given)
    inference = Inference(given)
    rows = sum(_look(path, names, inference) for path in paths)
    check_rows(rows, ", ".join(map(str, paths)))
    columns = inference.columns(names)
    return Source(columns, rows, lambda: _typed(paths, columns))


def _look(path: Path, names: list[str], inference: Inference) -> int:
    rows = 0
    for batch in read_text(path, names):
        try:
            inference.look(batch)
        except Misfit as misfit:
            line = line_of_row(path, rows + misfit.position)
            raise CallerError(f"{path}, line {line}: {misfit.reason}") from misfit
        rows += batch.num_rows
        last = batch.column(len(names) - 1)[-1].as_py()
    if rows and last and ("\n" in last or "\r" in last):  # a quote left open swallows what follows, to the end of the file
        require_closed_quotes(path)
    return rows


def require_closed_quotes(path: Path) -> None:
    """Raise CallerError if the file's last quote is never closed."""
    with _stream(path) as stream, _long_fields():
        text = io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8-sig", newline="")
        reader = csv.reader(text, strict=True)
        line = 1
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise CallerError(f"{path}, line {line}: a quote is opened in this row and never closed") from error


def _typed(paths: list[Path], columns: Columns) -> Iterator[Any]:
    schema = arrow_schema(columns)
    for path in paths:
        for batch in read_text(path, list(columns)):
            yield parse_batch(batch, columns, schema)


def read_header(path: Path) -> list[str]:
    """Return the column names in the first line of the file."""
    for _, names in records(path):
        check_column_names(names, f"{path}, line 1")
        return names
    raise CallerError(f"{path} is empty")


def read_text(path: Path, names: list[str]) -> Iterator[Any]:
    """Yield the file's rows as record batches whose columns are all text, null where missing."""
    try:
        with _stream(path) as stream:
            reader = arrow_csv.open_csv(
                stream,
                read_options=arrow_csv.ReadOptions(block_size=BLOCK_BYTES),
                parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    null_values=list(MISSING_SPELLINGS),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
            for batch in reader:
                if batch.num_rows:
                    yield batch
    except pa.ArrowInvalid as error:
        raise explain(path, names, str(error)) from error


def explain(path: Path, names: list[str], complaint: str) -> CallerError:
    """Return the error that names the line of which Arrow said `complaint`."""
    if "straddling" in complaint:
        return CallerError(f"{path}: a row is longer than {BLOCK_BYTES >> 20} MB; is a quote left open?")
    for line, values in records(path):
        if len(values) != len(names):
            return CallerError(f"{path}, line {line}: this row has {len(values)} values; the header has {len(names)} columns")
    return CallerError(f"{path} is no CSV that can be read: {complaint}")


def line_of_row(path: Path, row: int) -> int:
    """Return the line, counted from 1, on which row number `row` (from 0, after the header) begins."""
    for index, (line, _) in enumerate(records(path)):
        if index == row + 1:
            return line
    raise CallerError(f"{path} was changed while it was read")


def records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record begins, counted from 1, and its values, from the header on; no blank lines."""
    with _stream(path) as stream, _long_fields():
        text = io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8-sig", newline="")
        reader = csv.reader(text, strict=False)
        line = 1
        while True:
            try:
                values = next(reader)
            except StopIteration:
                return
            except UnicodeDecodeError:
                raise CallerError(f"{path}, line {undecodable_line(path)}: this is not UTF-8; convert the file first") from None
            except csv.Error as error:
                raise CallerError(f"{path}, line {line}: {error}") from error
            if values:
                yield line, values
            line = reader.line_num + 1


def undecodable_line(path: Path) -> int:
    """Return the first line that is not UTF-8: the decoder works far ahead of the csv module's count."""
    with _stream(path) as stream:
        for line, data in enumerate(io.BufferedReader(stream), start=1):
            try:
                data.decode()
            except UnicodeDecodeError:
                return line
    raise CallerError(f"{path} was changed while it was read")


@contextmanager
def _stream(path: Path) -> Iterator[Any]:
    if path.suffix.lower() in ARCHIVES:
        raise CallerError(f"{path}: unpack it first; of compressed files only {', '.join(COMPRESSED)} are read as they are")
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            yield stream
    except OSError as error:
        raise CallerError(f"cannot read {path}: {error}") from error


@contextmanager
def _long_fields() -> Iterator[None]:
    """Lift the csv module's limit on a value's length, which is the process's, to that of a row."""
    before = csv.field_size_limit(BLOCK_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(before)
