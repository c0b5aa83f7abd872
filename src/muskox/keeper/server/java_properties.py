"""Java's ``.properties`` syntax, which Apache's zoo.cfg is written in, read as ``java.util.Properties.load`` reads it.

Pure: bytes in, properties out, each with the line on which it begins. The rules are those that Java documents for
``Properties.load(InputStream)``: ISO 8859-1, comments after ``#`` or ``!``, a key up to the first unescaped ``=``, ``:`` or
blank, lines that go on after an odd number of backslashes, ``\\uXXXX``. Java keeps the last of several values of a key; that
is left to the caller, who can say so. A lone backslash at the end of a file, which Java takes for an empty key, is dropped.
"""

import re
from typing import NamedTuple

from muskox.errors import CallerError

BLANKS = " \t\f"
COMMENT = "#!"
ASSIGN = "=:"
ENDS = re.compile(r"\r\n|\r|\n")
ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
HEX_DIGITS = re.compile(r"[0-9a-fA-F]{4}")


class Property(NamedTuple):
    """One ``key=value``; `line` counts from 1."""

    key: str
    value: str
    line: int


def parse(data: bytes) -> list[Property]:
    """Return the properties in `data`, in order, a key as often as it stands there.

    Raises
    ------
    CallerError
        If ``\\u`` is not followed by four hexadecimal digits; the message begins with the line.
    """
    properties = []
    for number, line in logical_lines(data.decode("latin-1")):
        key, value = split(line)
        properties.append(Property(unescape(key, number), unescape(value, number), number))
    return properties


def logical_lines(text: str) -> list[tuple[int, str]]:
    """Return the lines that are neither empty nor comments, joined where one goes on, each with its number."""
    lines = []
    begun: tuple[int, str] | None = None
    for number, raw in enumerate(ENDS.split(text), 1):
        part = raw.lstrip(BLANKS)
        if begun is None and (not part or part[0] in COMMENT):
            continue
        first, head = begun or (number, "")
        goes_on = is_odd_backslash(part)
        whole = head + (part[:-1] if goes_on else part)
        # What is still empty after a lone backslash is as if it had not begun: a comment may follow it.
        begun = (first, whole) if goes_on and whole else None
        if not goes_on and whole:
            lines.append((first, whole))
    if begun is not None:
        lines.append(begun)
    return lines


def is_odd_backslash(part: str) -> bool:
    return (len(part) - len(part.rstrip("\\"))) % 2 == 1


def split(line: str) -> tuple[str, str]:
    """Return key and value of a logical line, both still escaped."""
    at = 0
    while at < len(line) and line[at] not in ASSIGN + BLANKS:
        at += 2 if line[at] == "\\" else 1
    value = line[at:].lstrip(BLANKS)
    if value[:1] and value[0] in ASSIGN:
        value = value[1:].lstrip(BLANKS)
    return line[:at], value


def unescape(text: str, number: int) -> str:
    if "\\" not in text:
        return text
    result = []
    at = 0
    while at < len(text):
        letter = text[at]
        at += 1
        if letter == "\\":
            letter = text[at : at + 1]
            at += 1
            if letter == "u":
                digits = HEX_DIGITS.match(text, at)
                if digits is None:
                    raise CallerError(f"line {number}: \\u must be followed by four hexadecimal digits, as in \\u00e9")
                letter = chr(int(digits[0], 16))
                at += len(digits[0])
            else:
                letter = ESCAPES.get(letter, letter)
        result.append(letter)
    # Java's strings are UTF-16: two escapes may make one letter.
    return "".join(result).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
