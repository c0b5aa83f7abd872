"""Text to values: what a spelling means, which type a column of spellings has, and which spelling breaks it.

The first value of a column that is not missing decides its type, in the order int, float, bool, timestamp, string. A later
float makes an int column float; anything else that does not fit is an error. It knows nothing of files and lines: it speaks of
a column and a position.

Missing is, unquoted, one of MISSING_SPELLINGS. An int is decimal digits with a sign or none, within int64; a bool is "true" or
"false" in any case; a timestamp is ISO 8601 from the date on, in UTC where no zone is given. Blanks around a value do
not count, except in text.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from muskox.errors import CallerError
from muskox.store.schema import ARROW_TYPES, Columns

MISSING_SPELLINGS = ("", "NA", "N/A", "NULL", "null", "NaN", "nan")
ALL_MISSING = "float"  # the type of a column without any value
INFERRED = ("int", "float", "bool", "timestamp")
INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*")
PADDED = re.compile(r"0[0-9]+")  # a postcode, say: a number would lose the zero
ZONE = r"[0-9](Z|[+-][0-9]{2}(:?[0-9]{2})?)$"  # after the time of day
DATE_ONLY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"  # "-02" at its end is no zone


class Misfit(Exception):
    """The value at `position` of a batch does not fit; `reason` says why. Not yet an error: its finder knows the file."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(reason)
        self.position = position
        self.reason = reason


@dataclass(slots=True)
class Inference:
    """What the columns have turned out to be so far. `given` types are kept and only checked."""

    given: Columns
    found: dict[str, str] = field(default_factory=dict)

    def look(self, batch: Any) -> None:
        """Take in a record batch of text; raises Misfit at the first column that a value breaks."""
        for name in batch.schema.names:
            strings = batch.column(name)
            if strings.null_count == len(strings):
                continue
            kind = self.given.get(name) or self.found.get(name) or guess(first_value(strings))
            self.found[name] = kind if kind == "string" else self._fit(name, strings, kind)

    def columns(self, names: list[str]) -> Columns:
        """Return the type of every column of `names`."""
        return {name: self.given.get(name) or self.found.get(name, ALL_MISSING) for name in names}

    def _fit(self, name: str, strings: Any, kind: str) -> str:
        """Return the type that holds `strings` too: `kind`, or float where an int column meets one."""
        position = find_misfit(strings, kind)
        if position is None:
            if kind == "int" and name not in self.given:
                _refuse_padded(name, strings)
            return kind
        value = strings[position].as_py()
        if kind == "int" and INTEGER.fullmatch(value):
            raise Misfit(position, f"column {name!r} is int, and {value} is beyond 64 bits; {_advice(name, 'float')}")
        if kind == "int" and name not in self.given and find_misfit(pa.array([value]), "float") is None:
            return self._fit(name, strings, "float")
        why = "as asked for" if name in self.given else "by the values before"
        raise Misfit(position, f"column {name!r} is {kind} {why}, and {value!r} is not; {_advice(name, 'string')}")


def _refuse_padded(name: str, strings: Any) -> None:
    """Raise Misfit at a value such as 02139: a code, which as a number would lose its zero."""
    padded = pc.and_(pc.starts_with(strings, "0"), pc.greater(pc.binary_length(strings), 1))
    if pc.any(padded).as_py():
        position = pc.index(padded, True).as_py()
        value = strings[position].as_py()
        raise Misfit(
            position, f"column {name!r} is int by the values before, and {value!r} is a code; {_advice(name, 'string')}"
        )


def _advice(name: str, kind: str) -> str:
    return f"correct it, or pass types={{{name!r}: {kind!r}}} (on the command line: --type {name}={kind})"


def guess(value: str) -> str:
    """Return the type of a column whose first value is `value`.

    >>> [guess(value) for value in ("7", "7.0", "True", "2013-01-01T10:00Z", "N14228", "99999999999999999999", "02139")]
    ['int', 'float', 'bool', 'timestamp', 'string', 'int', 'string']
    """
    if PADDED.fullmatch(value):
        return "string"
    if INTEGER.fullmatch(value):
        return "int"
    fitting = (kind for kind in INFERRED if find_misfit(pa.array([value]), kind) is None)
    return next(fitting, "string")


def first_value(strings: Any) -> str:
    return str(strings[pc.index(strings.is_valid(), True).as_py()])


def find_misfit(strings: Any, kind: str) -> int | None:
    """Return the position of the first of `strings` that is not of `kind`, or None. Halves what it looks at."""
    if _fits(strings, kind):
        return None
    first, count = 0, len(strings)
    while count > 1:
        half = count // 2
        if _fits(strings.slice(first, half), kind):
            first, count = first + half, count - half
        else:
            count = half
    return first


def _fits(strings: Any, kind: str) -> bool:
    try:
        parse(strings, kind)
    except pa.ArrowInvalid:
        return False
    return True


def parse(strings: Any, kind: str) -> Any:
    """Return a pyarrow.Array of text as one of the type `kind`; pa.ArrowInvalid if a value is not of it."""
    match kind:
        case "string":
            return strings
        case "bool":
            return _parse_bool(strings)
        case "timestamp":
            return _parse_timestamp(strings)
        case _:
            return _parse_number(strings, kind)


def parse_batch(batch: Any, columns: Columns, schema: Any) -> Any:
    """Return a record batch of text as one of `columns`, all of whose values an Inference has seen."""
    arrays = [parse(batch.column(name), kind) for name, kind in columns.items()]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _parse_number(strings: Any, kind: str) -> Any:
    if kind == "int" and _has_letter_x(strings):
        raise pa.ArrowInvalid("hexadecimal")  # Arrow would read 0x10 as 16
    try:
        return strings.cast(ARROW_TYPES[kind])
    except pa.ArrowInvalid:
        plain = pc.replace_substring_regex(pc.utf8_trim_whitespace(strings), r"^\+([0-9.])", r"\1")
        return plain.cast(ARROW_TYPES[kind])


def _has_letter_x(strings: Any) -> bool:
    """Look through the bytes of all values at once: five times as fast as asking Arrow for each."""
    _, offsets, data = strings.buffers()
    if data is None:
        return False
    edges = np.frombuffer(offsets, np.int32, len(strings) + 1, strings.offset * 4)
    first, last = int(edges[0]), int(edges[-1])
    text = data.slice(first, last - first).to_pybytes()
    return b"x" in text or b"X" in text


def _parse_bool(strings: Any) -> Any:
    lower = pc.utf8_lower(pc.utf8_trim_whitespace(strings))
    true = pc.equal(lower, "true")
    if not pc.all(pc.or_(true, pc.equal(lower, "false"))).as_py():
        raise pa.ArrowInvalid("neither true nor false")
    return true


def _parse_timestamp(strings: Any) -> Any:
    """Read each distinct spelling once if many come again: times of day do, and Arrow reads only about a million a second."""
    encoded = strings.dictionary_encode()
    if len(encoded.dictionary) < len(strings) // 2:
        return _parse_timestamps(encoded.dictionary).take(encoded.indices)
    return _parse_timestamps(strings)


def _parse_timestamps(strings: Any) -> Any:
    """Values with and without a zone may stand in one column, so each kind is read by itself."""
    plain, zoned = ARROW_TYPES["timestamp"], pa.timestamp("us", "UTC")
    text = pc.utf8_trim_whitespace(strings)
    for kind in (plain, zoned):
        try:
            return text.cast(kind).cast(plain)
        except pa.ArrowInvalid:
            continue
    has_zone = pc.and_(pc.match_substring_regex(text, ZONE), pc.invert(pc.match_substring_regex(text, DATE_ONLY)))
    nothing = pa.scalar(None, pa.string())
    with_zone = pc.if_else(has_zone, text, nothing).cast(zoned).cast(plain)
    return pc.if_else(has_zone, with_zone, pc.if_else(has_zone, nothing, text).cast(plain))


def check_rows(rows: int, where: str) -> None:
    if rows == 0:
        raise CallerError(f"{where}: there are no rows below the header")
