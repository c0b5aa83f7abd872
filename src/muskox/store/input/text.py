"""Text to values: what a spelling means, which type a column of spellings has, and which spelling breaks it.

The first value of a column that is not missing decides its type, in the order int, float, bool, timestamp, string. A later
float makes an int column float; anything else that does not fit is an error. It knows nothing of files and lines: it speaks of
a column and a position.

Missing is, unquoted, one of MISSING_SPELLINGS. An empty value that is not missing so, a quoted one, is the empty text in a
column of text and missing in any other; it decides no type, but a column in which nothing else ever stands is text. An int is
decimal digits with a sign or none, within int64; a bool is "true" or "false" in any case; a timestamp is ISO 8601 from the date
on, in UTC where no zone is given. A float is the nearest float64. One beyond its range, such as 1e400, is refused: it would
silently become infinite. Who means infinity spells it: inf, -inf, Infinity, in any case, as Arrow, pandas and NumPy read and
write it (scikit-learn's estimators refuse it when they fit). Blanks around a value do not count, except in text.
"""

import re
from collections.abc import Callable, Iterable
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
NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
INFINITE = ("inf", "infinity")  # in lower case, without a sign
PADDED = re.compile(r"0[0-9]+")  # a postcode, say: a number would lose the zero
ZONE = r"[0-9](Z|[+-][0-9]{2}(:?[0-9]{2})?)$"  # after the time of day
DATE_ONLY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"  # "-02" at its end is no zone


Run = Callable[[Callable[[str], Any], Iterable[str]], Iterable[Any]]  # map, or that of a pool of threads


class Misfit(Exception):
    """The value at `position` of a batch does not fit; `reason` says why. Not yet an error: its finder knows the file."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(reason)
        self.position = position
        self.reason = reason


@dataclass(slots=True)
class Inference:
    """What the columns have turned out to be so far. `given` types are kept and only checked.

    is_promoted : whether a column became float after values of it had been returned as int
    """

    given: Columns
    found: dict[str, str] = field(default_factory=dict)
    has_empty: dict[str, bool] = field(default_factory=dict)
    is_promoted: bool = False

    def look(self, batch: Any, run: Run = map) -> Any:
        """Take in a record batch of text and return its values; a column of which nothing is known yet is returned as it is.

        `run` may work on several columns at a time.

        Raises
        ------
        Misfit
            At the first column that a value breaks.
        """
        names = batch.schema.names
        fits = list(run(lambda name: self._look(name, batch.column(name)), names))
        for name, (kind, _) in zip(names, fits, strict=True):
            if kind is None:
                continue
            self.is_promoted |= self.found.get(name) == "int" and kind == "float"
            self.found[name] = kind
        return pa.RecordBatch.from_arrays([array for _, array in fits], names=names)

    def columns(self, names: list[str]) -> Columns:
        """Return the type of every column of `names`."""
        nothing = {name: "string" if self.has_empty.get(name) else ALL_MISSING for name in names}
        return {name: self.given.get(name) or self.found.get(name) or nothing[name] for name in names}

    def _look(self, name: str, strings: Any) -> tuple[str | None, Any]:
        kind = self.given.get(name) or self.found.get(name)
        if kind is None:
            value = first_value(strings)
            if value is None:
                self.has_empty[name] = self.has_empty.get(name, False) or strings.null_count < len(strings)
                return None, strings
            kind = guess(value)
        return (kind, strings) if kind == "string" else self._fit(name, strings, kind)

    def _fit(self, name: str, strings: Any, kind: str) -> tuple[str, Any]:
        """Return the type that holds `strings` too (`kind`, or float where an int column meets one), and their values."""
        is_given = name in self.given
        try:
            values = parse(strings, kind)
        except pa.ArrowInvalid:
            position = find_misfit(strings, kind)
            assert position is not None, "what is refused as a whole has a part that is"
        else:
            if kind == "int" and not is_given:
                _refuse_padded(name, strings)
            return kind, values
        value = strings[position].as_py()
        if is_beyond(value, kind):
            raise Misfit(position, beyond(name, value, kind))
        if kind == "int" and not is_given and (NUMBER.fullmatch(value) or find_misfit(pa.array([value]), "float") is None):
            return self._fit(name, strings, "float")
        raise Misfit(position, conflict(name, repr(value), kind, is_given))


def is_beyond(value: str, kind: str) -> bool:
    """Tell whether `value` is a number that only its size keeps from being of `kind`; it is known not to be of it."""
    return bool((kind == "int" and INTEGER.fullmatch(value)) or (kind == "float" and NUMBER.fullmatch(value)))


def beyond(name: str, value: str, kind: str) -> str:
    """Return the sentence that refuses a number that is too large."""
    return f"column {name!r} is {kind}, and {value} is beyond 64 bits; {_advice(name, 'float' if kind == 'int' else 'string')}"


def conflict(name: str, value: str, kind: str, is_given: bool) -> str:
    """Return the sentence that refuses a value, `value` as it is to be shown, in a column of `kind`."""
    why = "as asked for" if is_given else "by the values before"
    return f"column {name!r} is {kind} {why}, and {value} is not; {_advice(name, 'string')}"


def _refuse_padded(name: str, strings: Any) -> None:
    """Raise Misfit at a value such as 02139: a code, which as a number would lose its zero."""
    edges, data = _bytes_of(strings)
    starts = np.minimum(edges[:-1], len(data) - 1)  # the last values may be missing, after all bytes
    padded = (data[starts] == ord("0")) & (edges[1:] > edges[:-1] + 1)
    if padded.any():
        position = int(padded.argmax())
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
    if NUMBER.fullmatch(value):
        return "float"
    fitting = (kind for kind in INFERRED if find_misfit(pa.array([value]), kind) is None)
    return next(fitting, "string")


def first_value(strings: Any) -> str | None:
    """Return the first value that is neither missing nor empty, or None."""
    if strings.null_count == len(strings):
        return None
    position = pc.index(pc.greater(pc.binary_length(strings), 0), True).as_py()
    return None if position < 0 else str(strings[position])


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
    if kind == "string":
        return strings
    try:
        return _parse(strings, kind)
    except pa.ArrowInvalid:
        empty = pc.equal(strings, "")
        if not pc.any(empty).as_py():
            raise
        return _parse(pc.if_else(empty, pa.scalar(None, pa.string()), strings), kind)


def _parse(strings: Any, kind: str) -> Any:
    match kind:
        case "bool":
            return _parse_bool(strings)
        case "timestamp":
            return _parse_timestamp(strings)
        case _:
            return _parse_number(strings, kind)


def parse_batch(batch: Any, columns: Columns, run: Run = map) -> Any:
    """Return a record batch of text as one of `columns`, all of whose values an Inference has seen."""
    arrays = list(run(lambda name: parse(batch.column(name), columns[name]), columns))
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _parse_number(strings: Any, kind: str) -> Any:
    if kind == "int" and _has_letter(strings):
        raise pa.ArrowInvalid("letters")  # Arrow would read 0x10 as 16
    try:
        values = strings.cast(ARROW_TYPES[kind])
    except pa.ArrowInvalid:
        plain = pc.replace_substring_regex(pc.utf8_trim_whitespace(strings), r"^\+([0-9.])", r"\1")
        values = plain.cast(ARROW_TYPES[kind])
    if kind == "float":
        infinite = pc.is_inf(values)
        if pc.any(infinite).as_py():
            spelled = pc.utf8_ltrim(pc.utf8_lower(pc.utf8_trim_whitespace(strings.filter(infinite))), "+-")
            if not pc.all(pc.is_in(spelled, pa.array(INFINITE))).as_py():
                raise pa.ArrowInvalid("beyond the range of a float")  # Arrow reads 1e400 as infinite
    return values


def _has_letter(strings: Any) -> bool:
    """Look through the bytes of all values at once: many times as fast as asking Arrow for each."""
    edges, data = _bytes_of(strings)
    text = data[edges[0] : edges[-1]]
    return len(text) > 0 and bool(text.max() > ord("9"))


def _bytes_of(strings: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return where each value begins, and the last one ends, in the bytes of all; a missing value has none."""
    _, offsets, data = strings.buffers()
    edges = np.frombuffer(offsets, np.int32, len(strings) + 1, strings.offset * 4)
    return edges, np.frombuffer(b"" if data is None else data, np.uint8)


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


def check_rows(rows: int, where: str, below: str = " below the header") -> None:
    if rows == 0:
        raise CallerError(f"{where}: there are no rows{below}")
