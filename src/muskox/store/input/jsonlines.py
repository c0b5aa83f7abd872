"""JSON lines in: one object a line, its members the columns; types found over all files as for CSV, errors by file and line.

It owns how blocks of lines are given to Arrow and what JSON's own types mean. The first value of a column that is not null
decides its type, int, float, bool or text; a later float makes an int column float; anything else that does not fit is an
error. A text that is a timestamp by the rules of input/text.py makes the column one, if it comes first; a number in quotes is
text. The empty text decides nothing and is missing except in a column of text. A member that is not there is missing. NaN,
which JSON does not have and Python writes, is a missing float; Infinity is infinite. Columns stand as they first appear.

Each block goes to Arrow with the types known so far. Only if Arrow refuses it, or made of it what the rules would not, is it
read by input/json_values.py, line by line.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as arrow_json

from muskox.errors import CallerError
from muskox.store.input.ahead import ahead
from muskox.store.input.input_files import InputFile, InputFiles, byte_stream
from muskox.store.input.json_values import Rows, read_values
from muskox.store.input.reading import Reading
from muskox.store.input.source import Source
from muskox.store.input.spool import Cache
from muskox.store.input.text import ALL_MISSING, Misfit, check_rows, find_misfit, first_value, parse
from muskox.store.schema import ARROW_TYPES, Columns, apply_types, check_column_names

BLOCK_BYTES = 4 << 20  # of text, parsed at a time; also bounds the length of a line
ARROW_BYTES = 1 << 20  # of text, given to each of Arrow's threads
COLUMNS_MAX = 10_000  # more are no table: each is known by its name, in memory, for each block
FROM_ARROW = {"int64": "int", "double": "float", "bool": "bool", "string": "string", "timestamp[s]": "string", "null": None}


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines of a file, the first of which is line number `first`, counted from 1; `done` bytes of it have been read."""

    first: int
    data: bytes
    done: int


def open_jsonlines(files: InputFiles, reading: Reading) -> Source:
    """Read all of `files` once to find columns, types and the number of rows; return what gives them, typed.

    Raises
    ------
    CallerError
        Naming file and line, if a line is no object, a value is nested or does not fit its column's type.
    """
    return look_through(files, reading).source()


def look_through(files: InputFiles, reading: Reading) -> "Look":
    """Return what a first reading of all files finds."""
    look = Look(files, reading)
    try:
        for file in files.files:
            look.read(file)
        check_rows(look.rows, files.names, "")
        look.check()
    except BaseException:  # bulkhead: whatever ended it, the temporary files go, and the error goes on
        look.cache.close()
        raise
    look.cache.finish()
    return look


class Look:
    """The first pass: what it knows so far. `found` is None for a column in which only missing values were met."""

    def __init__(self, files: InputFiles, reading: Reading) -> None:
        self._files = files
        self._reading = reading
        self._found: dict[str, str | None] = {}
        self._has_empty: dict[str, bool] = {}
        self._bytes_before = 0
        self._bytes = files.bytes
        self.cache = Cache(reading.folder)
        self.rows = 0

    def read(self, file: InputFile) -> None:
        for lines in ahead(read_lines(file)):
            kinds = {name: self._files.given.get(name) or kind for name, kind in self._found.items()}
            rows = read_block(file, lines, kinds, self._files.given)
            self._learn(file, rows)
            if rows.kinds:
                self.cache.add(self._files.extend(rows.batch, file))
            elif rows.count:
                self.cache.give_up()  # Arrow does not keep rows without columns
            self.rows += rows.count
            self._reading.tell(self._bytes_before + lines.done, self._bytes)
        self._bytes_before += file.path.stat().st_size

    def _learn(self, file: InputFile, rows: Rows) -> None:
        for name, kind in rows.kinds.items():
            array = rows.batch.column(name)
            if self._found.get(name) == "int" and kind == "float":
                self.cache.give_up()  # "-0" was kept as the int 0, and is -0.0 as a float
            if kind is None and array.null_count < len(array):
                self._has_empty[name] = True
            self._found[name] = kind
        if len(self._found) > COLUMNS_MAX:
            raise CallerError(f"{file.path}: there are more than {COLUMNS_MAX} columns: each name of a member is one")

    def check(self) -> None:
        """Raise CallerError if the names that were found cannot be those of columns, or lack one of which a type is given."""
        check_column_names(list(self._found), self._files.names)
        self._files.check_own(list(self._found), self._files.files[0].path)
        apply_types(dict.fromkeys(self._found, ALL_MISSING), self._files.given)

    def source(self) -> Source:
        found = {name: kind or ("string" if self._has_empty.get(name) else ALL_MISSING) for name, kind in self._found.items()}
        own = {**found, **self._files.given}
        columns = {**own, **self._files.partition_columns}

        def batches(wanted: Sequence[str] | None = None) -> Iterator[Any]:
            chosen = columns if wanted is None else {name: columns[name] for name in wanted}
            return self.cache.batches(chosen) if self.cache.is_whole else self._again(own, chosen)

        return Source(columns, self.rows, batches, self.cache.close, self._bytes)

    def _again(self, own: Columns, chosen: Columns) -> Iterator[Any]:
        read = {name: kind for name, kind in own.items() if name in chosen} or dict([next(iter(own.items()))])
        for file in self._files.files:
            for lines in ahead(read_lines(file)):
                batch = read_block(file, lines, read, own, ignore_others=True).batch
                yield self._files.extend(batch, file).select(list(chosen))


def read_lines(file: InputFile) -> Generator[Lines, None, None]:
    """Yield the file in blocks of whole lines, of about BLOCK_BYTES."""
    try:
        with byte_stream(file.path) as (stream, whole):
            first, rest = 1, b""
            while data := stream.read(BLOCK_BYTES):
                cut = data.rfind(b"\n") + 1
                if cut:
                    block = rest + data[:cut]
                    yield Lines(first, block, whole.tell())
                    first, rest = first + block.count(b"\n"), data[cut:]
                else:
                    rest += data
                if len(rest) > BLOCK_BYTES:
                    raise CallerError(f"{file.path}, line {first}: this line is longer than {BLOCK_BYTES >> 20} MB")
            if rest:
                yield Lines(first, rest, whole.tell())
    except pa.ArrowInvalid as error:
        raise CallerError(f"cannot read {file.path}: {error}") from error


def read_block(
    file: InputFile, lines: Lines, kinds: Mapping[str, str | None], given: Mapping[str, str], ignore_others: bool = False
) -> Rows:
    """Return the rows that the lines are.

    Raises
    ------
    CallerError
        Naming the line.
    """
    quick = _read_quickly(lines.data, kinds, given, ignore_others)
    if quick is not None:
        return quick
    try:
        return read_values(lines.data, kinds, given, ignore_others)
    except Misfit as misfit:
        raise CallerError(f"{file.path}, line {lines.first + misfit.position}: {misfit.reason}") from misfit


def _read_quickly(data: bytes, kinds: Mapping[str, str | None], given: Mapping[str, str], ignore_others: bool) -> Rows | None:
    """Let Arrow read the lines; None if it cannot, or what it makes of them is not what the rules say."""
    if not _is_text(data):
        return None
    asked = dict(kinds)
    table = _by_arrow(data, asked, "ignore" if ignore_others else "error") if asked else None
    if table is None:
        table = _inferred(data, asked, given)
    if table is None or table.num_rows != data.count(b"\n") + (not data.endswith(b"\n")):
        return None
    arrays, found = [], {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        array = column.combine_chunks()
        kind = asked.get(name) or FROM_ARROW[str(array.type)]
        if asked.get(name) is None and kind == "string":
            kind = _kind_of_text(array)
        elif asked.get(name) is None and kind == "float" and pc.any(pc.greater_equal(pc.abs(array), 2.0**63)).as_py():
            return None  # an int beyond 64 bits, perhaps, which is refused
        try:
            arrays.append(_missing_nan(array) if kind == "float" else parse(array, kind) if kind == "timestamp" else array)
        except pa.ArrowInvalid:
            return None
        found[name] = kind
    return Rows(pa.RecordBatch.from_arrays(arrays, names=list(found)), found, table.num_rows)


def _inferred(data: bytes, asked: dict[str, str | None], given: Mapping[str, str]) -> Any:
    """Let Arrow find types of what has none in `asked`, to which those of `given` that turn up are added; None if it cannot."""
    table = _by_arrow(data, asked, "infer")
    if table is None:
        return None
    names = table.schema.names
    asked.update({name: given[name] for name in names if name in given})
    texts = [name for name, kind in zip(names, table.schema.types, strict=True) if pa.types.is_timestamp(kind)]
    again = {**dict.fromkeys(texts, "string"), **{name: kind for name, kind in asked.items() if kind is not None}}
    if texts or any(name in given for name in names):  # Arrow's own idea of a timestamp has no fractions and keeps no text
        table = _by_arrow(data, again, "infer")
    if table is None or any(str(kind) not in FROM_ARROW for kind in table.schema.types):
        return None
    return table.select(names)


def _by_arrow(data: bytes, asked: Mapping[str, str | None], unexpected: str) -> Any:
    """Return the lines as a pyarrow.Table; None if they do not fit the types in `asked`.

    Types are inferred in one thread: in several, the order of the columns would be that in which threads come to them.
    """
    infer = unexpected == "infer"
    arrow_type: dict[Any, Any] = {**ARROW_TYPES, "timestamp": pa.string(), None: pa.null()}
    known = {name: kind for name, kind in asked.items() if kind is not None or not infer}
    try:
        return arrow_json.read_json(
            pa.BufferReader(data),
            read_options=arrow_json.ReadOptions(use_threads=not infer, block_size=len(data) + 1 if infer else ARROW_BYTES),
            parse_options=arrow_json.ParseOptions(
                explicit_schema=pa.schema([pa.field(name, arrow_type[kind]) for name, kind in known.items()]),
                unexpected_field_behavior=unexpected,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError):
        return None


def _kind_of_text(array: Any) -> str | None:
    value = first_value(array)
    if value is None:
        return None
    return "string" if find_misfit(pa.array([value]), "timestamp") is not None else "timestamp"


def _is_text(data: bytes) -> bool:
    """Tell whether this is UTF-8: Arrow does not look."""
    try:
        return data.isascii() or bool(data.decode())
    except UnicodeDecodeError:
        return False


def _missing_nan(array: Any) -> Any:
    is_nan = pc.is_nan(array)
    return pc.if_else(is_nan, pa.scalar(None, pa.float64()), array) if pc.any(is_nan).as_py() else array
