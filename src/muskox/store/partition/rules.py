"""The rules by which rows are cut into shards, and the words that name them: what ``by=`` and ``--by`` say.

It owns the words and the rules as records. It must never know rows: which shard a rule gives a row is `partition`'s.

========================  ==================================================================================================
``rows``                  contiguous runs of equal length
``hash:COLUMN``           by the stable 64-bit hash of the value (`hashing`)
``hash:COLUMN,COLUMN``    by the hashes of several values, combined in that order
``sha256:COLUMN``         by the whole SHA-256 of the value's text, modulo the number of shards (`sha256`)
``range:COLUMN``          by value, between bounds that a sample of the rows gave (`ranges`)
``random``                by the row's number and a seed: ``random`` is ``random:0``
``random:SEED``
========================  ==================================================================================================

Everything after the first colon is taken as one column's name if there is such a column; only then does a comma part names.
So a column whose name holds a comma or a colon can be named alone, and not among several.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from muskox.errors import CallerError

ROWS = "rows"
SEED_MAX = (1 << 64) - 1
WAYS = "'rows', 'hash:COLUMN', 'hash:COLUMN,COLUMN', 'sha256:COLUMN', 'range:COLUMN', 'random' or 'random:SEED'"


@dataclass(frozen=True, slots=True)
class ByRows:
    """Shard i of N holds the rows from ``i * rows // N`` up to ``(i + 1) * rows // N``."""


@dataclass(frozen=True, slots=True)
class ByHash:
    """Rows of equal values in `columns` lie in one shard."""

    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BySha256:
    """Rows of equal text in `column` lie in the shard that anybody's SHA-256 names."""

    column: str


@dataclass(frozen=True, slots=True)
class ByRange:
    """Every value of `column` in a shard is below every value in the next one."""

    column: str


@dataclass(frozen=True, slots=True)
class ByRandom:
    """A row lies where its number and `seed` send it, whatever it holds."""

    seed: int


Rule = ByRows | ByHash | BySha256 | ByRange | ByRandom


def parse_by(by: str, columns: Sequence[str]) -> Rule:
    """Return the rule that `by` names, for data with these `columns`.

    Raises
    ------
    CallerError
        If it names none, or a column that is not there or could be meant in two ways.

    Examples
    --------
    >>> parse_by("hash:carrier,origin", ["carrier", "origin", "delay"])
    ByHash(columns=('carrier', 'origin'))
    >>> parse_by("random", ["carrier"])
    ByRandom(seed=0)
    """
    way, colon, rest = by.partition(":")
    if colon and way in ("hash", "sha256", "range") and rest:
        names = _columns(by, rest, columns)
        if way == "hash":
            return ByHash(names)
        if len(names) > 1:
            raise CallerError(f"{by!r} names {len(names)} columns: {way} takes one; only hash takes several")
        return BySha256(names[0]) if way == "sha256" else ByRange(names[0])
    if by == "random":
        return ByRandom(0)
    if colon and way == "random":
        return ByRandom(_seed(by, rest))
    if by == ROWS:
        return ByRows()
    raise CallerError(f"{by!r} is no way to partition: use {WAYS}")


def key_columns(rule: Rule) -> tuple[str, ...]:
    """Return the columns on whose values the rule depends; none for rules that only count rows."""
    match rule:
        case ByHash():
            return rule.columns
        case BySha256() | ByRange():
            return (rule.column,)
        case ByRows() | ByRandom():
            return ()


def needs_sample(rule: Rule) -> bool:
    """Return whether the rule needs bounds, and so a pass over the rows before they are cut."""
    return isinstance(rule, ByRange)


def _columns(by: str, text: str, columns: Sequence[str]) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if text in columns:
        if len(names) > 1 and all(name in columns for name in names):
            raise CallerError(f"{by!r} may mean the column {text!r} or the columns {', '.join(names)}: rename one of them")
        return (text,)
    for position, name in enumerate(names):
        if name not in columns:
            raise CallerError(f"cannot partition by {by!r}: no column {name!r}; this data has {', '.join(columns)}")
        if name in names[:position]:
            raise CallerError(f"cannot partition by {by!r}: column {name!r} stands there twice; name it once")
    return names


def _seed(by: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(SEED_MAX)) or int(text) > SEED_MAX:
        raise CallerError(f"{by!r} has no seed that can be used: a seed is a whole number from 0 to {SEED_MAX}")
    return int(text)
