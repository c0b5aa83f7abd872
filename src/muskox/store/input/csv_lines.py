"""From a row of a CSV file back to its line, which Arrow does not keep; and the header, which is read before Arrow is asked.

It owns the `Dialect` and how Python's csv module reads it: record by record with line numbers, and slowly. So of a file's rows
this is done on an error, and only then.
"""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muskox.errors import CallerError
from muskox.store.input.input_files import byte_stream, plain_suffix
from muskox.store.input.reading import TAB_ENDINGS, Reading
from muskox.store.schema import check_column_names

ROW_BYTES_MAX = 8 << 20


@dataclass(frozen=True, slots=True)
class Dialect:
    """What separates, surrounds and escapes values; None where nothing does."""

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None

    @classmethod
    def of(cls, path: Path, reading: Reading) -> "Dialect":
        usual = "\t" if plain_suffix(path) in TAB_ENDINGS else ","
        return cls(reading.delimiter or usual, reading.quote, reading.escape)

    def reader(self, text: Any, strict: bool = False) -> Any:
        """Return a csv.reader of this dialect."""
        return csv.reader(
            text,
            delimiter=self.delimiter,
            quotechar=self.quote,
            escapechar=self.escape,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            strict=strict,
        )


@dataclass(frozen=True, slots=True)
class Header:
    """The columns' names, and how many lines, blank ones included, stand before the first row."""

    names: list[str]
    lines: int
    dialect: Dialect


def read_header(path: Path, dialect: Dialect, header: bool | tuple[str, ...]) -> Header:
    """Return the column names of the file: those in its first line, those given, or x0, x1, ...

    Raises
    ------
    CallerError
        If the file is empty, or two columns have one name, or one has none.
    """
    blank = 0
    for line, values in _raw_records(path, dialect):
        if not values:
            blank += 1
            continue
        if header is True:
            check_column_names(values, f"{path}, line {line}")
            return Header(values, blank + 1, dialect)
        names = [f"x{index}" for index in range(len(values))] if header is False else list(header)
        check_column_names(names, "the header that is given")
        if len(names) != len(values):
            raise CallerError(
                f"{path}, line {line}: this row has {len(values)} values; {len(names)} names of columns are given"
            )
        return Header(names, 0, dialect)
    raise CallerError(f"{path} is empty")


def explain(path: Path, header: Header, complaint: str) -> CallerError:
    """Return the error that names the line of which Arrow said `complaint`."""
    count = len(header.names)
    for line, values in _rows(path, header):
        if len(values) != count:
            rule = f"the header has {count} columns" if header.lines else f"there are {count} columns"
            return CallerError(f"{path}, line {line}: this row has {len(values)} values; {rule}")
    return CallerError(f"{path} is no CSV that can be read: {complaint}")


def line_of_row(path: Path, header: Header, row: int) -> int:
    """Return the line, counted from 1, on which row number `row` (from 0, after the header) begins."""
    for index, (line, _) in enumerate(_rows(path, header)):
        if index == row:
            return line
    raise CallerError(f"{path} was changed while it was read")


def require_closed_quotes(path: Path, header: Header) -> None:
    """Raise CallerError if the file's last quote is never closed."""
    with _text(path) as text:
        reader = header.dialect.reader(text, strict=True)
        line = 1
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise CallerError(f"{path}, line {line}: a quote is opened in this row and never closed") from error


def _rows(path: Path, header: Header) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows below the header with their lines; a blank line is a row only if there is one column."""
    for index, (line, values) in enumerate(_raw_records(path, header.dialect)):
        if index >= header.lines and (values or len(header.names) == 1):
            yield line, values or [""]


def _raw_records(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record begins, counted from 1, and its values; a blank line has none."""
    with _text(path) as text:
        reader = dialect.reader(text)
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
            yield line, values
            line = reader.line_num + 1


def undecodable_line(path: Path) -> int:
    """Return the first line that is not UTF-8: the decoder works far ahead of the csv module's count."""
    with byte_stream(path) as (stream, _):
        for line, data in enumerate(io.BufferedReader(stream), start=1):
            try:
                data.decode()
            except UnicodeDecodeError:
                return line
    raise CallerError(f"{path} was changed while it was read")


@contextmanager
def _text(path: Path) -> Iterator[io.TextIOWrapper]:
    """Open the file as text, and lift the csv module's limit on a value's length, which is the process's, to that of a row."""
    before = csv.field_size_limit(ROW_BYTES_MAX)
    try:
        with byte_stream(path) as (stream, _):
            yield io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8-sig", newline="")
    finally:
        csv.field_size_limit(before)
