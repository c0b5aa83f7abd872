"""CSV in: files read once as a stream of text batches, types found over all of them, values kept for the reads that follow.

It owns how a `Dialect` is said to Arrow. Text becomes values while types are still being found, and goes to a cache on disk,
from which rows come when asked for. Only where that is no use (an int column became float after rows were kept as int, or the
cache took too much of the disk) are the files read a second time. Errors name file and line: input/csv_lines.py finds them.
What spellings mean is in input/text.py.

A blank line is skipped, except in files of one column, in which it is a missing value.
"""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv

from muskox.errors import CallerError
from muskox.store.input.ahead import ahead
from muskox.store.input.csv_lines import (
    ROW_BYTES_MAX,
    Dialect,
    Header,
    explain,
    line_of_row,
    read_header,
    require_closed_quotes,
)
from muskox.store.input.input_files import InputFile, InputFiles, byte_stream
from muskox.store.input.reading import Reading
from muskox.store.input.source import Source
from muskox.store.input.spool import Cache
from muskox.store.input.text import Inference, Misfit, Run, check_rows, parse_batch
from muskox.store.schema import Columns, apply_types

BLOCK_BYTES = (1 << 20, ROW_BYTES_MAX)  # of text, parsed at a time; the larger if a row needs it: Arrow reads 32 blocks ahead
THREADS = min(8, os.cpu_count() or 1)  # convert columns; which one does which makes no difference to the values


def open_csv(files: InputFiles, reading: Reading) -> Source:
    """Read all of `files` once to find the columns' types and the number of rows; return what gives them, typed.

    Raises
    ------
    CallerError
        Naming file and line, if a row is ragged, a value does not fit its column's type, or a file is empty.
    """
    return look_through(files, reading).source()


def look_through(files: InputFiles, reading: Reading) -> "Look":
    """Return what a first reading of all files finds."""
    for block_bytes in BLOCK_BYTES:
        try:
            return _look_through(files, reading, block_bytes)
        except RowTooLong as error:
            too_long = error
    raise CallerError(f"{too_long.path}: a row is longer than {ROW_BYTES_MAX >> 20} MB; is a quote left open?")


def _look_through(files: InputFiles, reading: Reading, block_bytes: int) -> "Look":
    look = Look(files, reading, block_bytes)
    try:
        for file, header in zip(files.files, look.headers, strict=True):
            look.read(file, header)
        check_rows(look.rows, files.names)
    except BaseException:  # bulkhead: whatever ended it, the temporary files go, and the error goes on
        look.cache.close()
        raise
    look.cache.finish()
    return look


class RowTooLong(Exception):
    """A row of the file at `path` is longer than a block."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path


class Look:
    """The first pass: what it knows so far."""

    def __init__(self, files: InputFiles, reading: Reading, block_bytes: int) -> None:
        self._files = files
        self._reading = reading
        self._block_bytes = block_bytes
        self.headers = [read_header(file.path, Dialect.of(file.path, reading), reading.header) for file in files.files]
        self._names = self.headers[0].names
        for file, header in zip(files.files, self.headers, strict=True):
            if header.names != self._names:
                raise CallerError(f"{file.path}: its columns are not those of {files.files[0].path}: {', '.join(self._names)}")
        files.check_own(self._names, files.files[0].path)
        apply_types(dict.fromkeys(self._names, "string"), files.given)
        reading.name_columns([*self._names, *files.partition_columns])
        self._inference = Inference(dict(files.given))
        self._bytes_before = 0
        self._bytes = files.bytes
        self.cache = Cache(reading.folder)
        self.rows = 0

    def read(self, file: InputFile, header: Header) -> None:
        rows, last = 0, None
        with _threads() as run:
            for batch, done in ahead(read_text(file, header, self._reading, self._block_bytes)):
                try:
                    typed = self._inference.look(batch, run)
                except Misfit as misfit:
                    line = line_of_row(file.path, header, rows + misfit.position)
                    raise CallerError(f"{file.path}, line {line}: {misfit.reason}") from misfit
                if self._inference.is_promoted and self.cache.is_whole:
                    self.cache.give_up()  # "-0" was kept as the int 0, and is -0.0 as a float
                self.cache.add(self._files.extend(typed, file))
                rows += batch.num_rows
                last = batch.column(len(header.names) - 1)[-1].as_py()
                self._reading.tell(self._bytes_before + done, self._bytes)
        if last and ("\n" in last or "\r" in last):  # a quote left open swallows what follows, to the end of the file
            require_closed_quotes(file.path, header)
        self.rows += rows
        self._bytes_before += file.path.stat().st_size

    def source(self) -> Source:
        own = self._inference.columns(self._names)
        columns = {**own, **self._files.partition_columns}

        def batches(wanted: Sequence[str] | None = None) -> Iterator[Any]:
            chosen = columns if wanted is None else {name: columns[name] for name in wanted}
            return self.cache.batches(chosen) if self.cache.is_whole else self._again(own, chosen)

        return Source(columns, self.rows, batches, self.cache.close, self._bytes)

    def _again(self, own: Columns, chosen: Columns) -> Iterator[Any]:
        parsed = {name: kind for name, kind in own.items() if name in chosen} or dict([next(iter(own.items()))])
        with _threads() as run:
            for file, header in zip(self._files.files, self.headers, strict=True):
                for batch, _ in ahead(read_text(file, header, self._reading, self._block_bytes, list(parsed))):
                    try:
                        typed = parse_batch(batch, parsed, run)
                    except pa.ArrowInvalid as error:
                        raise CallerError(f"{file.path} was changed while it was read") from error
                    yield self._files.extend(typed, file).select(list(chosen))


@contextmanager
def _threads() -> Iterator[Run]:
    """Give what works on columns in several threads, on a few each: to wake a thread costs as much as to convert a column."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="csv") as pool:

        def run(work: Callable[[str], Any], names: Iterable[str]) -> Iterable[Any]:
            waiting = list(names)
            size = -(-len(waiting) // THREADS) or 1
            groups = [waiting[first : first + size] for first in range(0, len(waiting), size)]
            return chain.from_iterable(pool.map(lambda group: [work(name) for name in group], groups))

        yield run


def read_text(
    file: InputFile, header: Header, reading: Reading, block_bytes: int, wanted: list[str] | None = None
) -> Generator[tuple[Any, int], None, None]:
    """Yield the file's rows as record batches whose columns (all, or `wanted`) are text, null where missing.

    With each comes how many bytes of the file have been read.
    """
    names, dialect = header.names, header.dialect
    try:
        with byte_stream(file.path) as (stream, whole):
            reader = arrow_csv.open_csv(
                stream,
                read_options=arrow_csv.ReadOptions(
                    block_size=block_bytes, column_names=names, skip_rows_after_names=header.lines
                ),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=dialect.delimiter,
                    quote_char=dialect.quote or False,
                    escape_char=dialect.escape or False,
                    newlines_in_values=True,
                    ignore_empty_lines=len(names) > 1,
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=wanted,
                    null_values=list(reading.missing),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
            for batch in reader:
                if batch.num_rows:
                    yield batch, whole.tell()
    except pa.ArrowInvalid as error:
        if "straddling" in str(error):
            raise RowTooLong(file.path) from error
        raise explain(file.path, header, str(error)) from error
