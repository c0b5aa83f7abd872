"""Lines of JSON to columns, value by value: the careful and slow way, on which the place of each mistake is known.

It owns what a JSON value means in a column (the rules open input/jsonlines.py). It knows no files: a Misfit's position is a
line of the block, counted from 0.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from muskox.store.input.text import PADDED, Misfit, beyond, conflict, find_misfit, parse
from muskox.store.schema import ARROW_TYPES

INT_MIN, INT_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it is spelled; `is_int` if it has neither point nor exponent."""

    spelling: str
    is_int: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """Lines as a record batch.

    kinds : the type of each of its columns; None where nothing decides it, and the column is null or missing and empty text
    count : how many there are: a batch without columns does not know it
    """

    batch: Any
    kinds: dict[str, str | None]
    count: int


def read_values(data: bytes, kinds: Mapping[str, str | None], given: Mapping[str, str], ignore_others: bool) -> Rows:
    """Return the rows that the lines are.

    Parameters
    ----------
    kinds : the types known so far, in order
    given : those of them that were asked for, which no value changes
    ignore_others : whether members that are not in `kinds` are left out

    Raises
    ------
    Misfit
    """
    numbers, rows = _objects(data)
    names = dict.fromkeys(kinds)
    if not ignore_others:
        names.update(dict.fromkeys(name for row in rows for name in row))
    arrays, found = [], {}
    for name in names:
        column = _Column(name, given.get(name) or kinds.get(name), name in given)
        values = [row.get(name) for row in rows]
        array = column.read(values, numbers)
        arrays.append(array)
        found[name] = column.kind
    return Rows(pa.RecordBatch.from_arrays(arrays, names=list(names)), found, len(rows))


def _objects(data: bytes) -> tuple[list[int], list[dict[str, Any]]]:
    """Return the objects of the lines that are not blank, and which lines these are."""
    numbers, rows = [], []
    for number, line in enumerate(data.split(b"\n")):
        try:
            text = line.decode("utf-8-sig" if number == 0 else "utf-8")
        except UnicodeDecodeError:
            raise Misfit(number, "this is not UTF-8; convert the file first") from None
        if not text.strip():
            continue
        try:
            row = _DECODER.decode(text.strip())
            json.dumps(row, ensure_ascii=False, default=str).encode()
        except (json.JSONDecodeError, RecursionError) as error:
            raise Misfit(number, f"this is no JSON object on one line: {error}") from None
        except UnicodeEncodeError:
            raise Misfit(number, "half of a surrogate pair stands alone: this is no text") from None
        except _Twice as twice:
            raise Misfit(number, f"column {twice.args[0]!r} comes twice in this object") from None
        if not isinstance(row, dict):
            raise Misfit(number, 'this line is no JSON object, such as {"a": 1}: a row is one object on one line')
        numbers.append(number)
        rows.append(row)
    return numbers, rows


class _Twice(Exception):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in pairs:
        if name in row:
            raise _Twice(name)
        row[name] = value
    return row


_DECODER = json.JSONDecoder(
    object_pairs_hook=_once,
    parse_int=lambda text: Number(text, True),
    parse_float=lambda text: Number(text, False),
    parse_constant=lambda text: Number(text, False),
)


class _Column:
    """The values of one column, as its type says; the type if the values say it."""

    def __init__(self, name: str, kind: str | None, is_given: bool) -> None:
        self.name = name
        self.kind = kind
        self._is_given = is_given

    def read(self, values: list[Any], numbers: list[int]) -> Any:
        for value, number in zip(values, numbers, strict=True):
            self._take_in(value, number)
        match self.kind:
            case None:
                return pa.array(values, pa.string())
            case "string":
                return pa.array([_text(value) for value in values], pa.string())
            case "timestamp":
                return self._timestamps(values, numbers)
            case _:
                kept = [self._number(value, number) for value, number in zip(values, numbers, strict=True)]
                return pa.array(kept, ARROW_TYPES[self.kind])

    def _take_in(self, value: Any, number: int) -> None:
        """Let a value decide or change the type; Misfit if it does not fit."""
        if value is None or value == "":
            return
        if isinstance(value, dict | list):
            raise Misfit(
                number, f"column {self.name!r} holds an object or a list: muskox keeps plain values; give each member a column"
            )
        if isinstance(value, str) and self.kind in ("string", "timestamp"):
            return  # which text is no timestamp, its reading finds
        own = _kind(value)
        if self.kind is None:
            self.kind = own
        elif self.kind == "int" and own == "float" and not self._is_given:
            self.kind = "float"
        elif not self._holds(own):
            shown = value.spelling if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)
            raise Misfit(number, conflict(self.name, shown, self.kind, self._is_given))

    def _holds(self, own: str) -> bool:
        if own == self.kind or (own == "int" and self.kind == "float"):
            return True
        return self.kind == "string" and self._is_given

    def _number(self, value: Any, number: int) -> Any:
        if not isinstance(value, Number):
            return value if isinstance(value, bool) else None
        if self.kind == "int":
            if not INT_MIN <= int(value.spelling) <= INT_MAX:
                raise Misfit(number, beyond(self.name, value.spelling, "int"))
            return int(value.spelling)
        read = float(value.spelling)
        if math.isinf(read) and not value.spelling.endswith("Infinity"):
            raise Misfit(number, beyond(self.name, value.spelling, "float"))
        return None if math.isnan(read) else read

    def _timestamps(self, values: list[Any], numbers: list[int]) -> Any:
        strings = pa.array(values, pa.string())
        position = find_misfit(strings, "timestamp")
        if position is None:
            return parse(strings, "timestamp")
        raise Misfit(numbers[position], conflict(self.name, json.dumps(values[position]), "timestamp", self._is_given))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, Number):
        return "int" if value.is_int else "float"
    is_time = not PADDED.fullmatch(value) and find_misfit(pa.array([value]), "timestamp") is None
    return "timestamp" if is_time else "string"


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.spelling if isinstance(value, Number) else value
