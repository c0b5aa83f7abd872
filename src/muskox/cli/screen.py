"""What reaches the terminal: JSON, tables, numbers as people read them. Results go to stdout, progress and errors to stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 200  # into a file or pipe nothing is cut off at a terminal's edge
KIB = 1024
AGES = ((86_400, "d"), (3_600, "h"), (60, "min"))


def output() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def progress() -> Console:
    return Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Print one sentence of a result, broken between words on a terminal and nowhere else."""
    console = output()
    console.print(text, markup=False, soft_wrap=not console.is_terminal)


def tell(text: str) -> None:
    """Print one sentence about what is going on."""
    console = progress()
    console.print(text, markup=False, soft_wrap=not console.is_terminal)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_json_line(value: Any) -> None:
    """Print a value on a line of its own at once: a reader may follow."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[str] = ()) -> Table:
    """Return a table of text; the columns in `numbers` are set to the right."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for column in columns:
        is_number = column in numbers
        made.add_column(column, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return made


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[str] = (), empty: str = "") -> None:
    """Print a table, or the sentence `empty` if there are no rows."""
    listed = list(rows)
    if listed or not empty:
        output().print(table(columns, listed, numbers))
    else:
        say(empty)


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, one a line."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row(Text(name), value if isinstance(value, Text | Table) else Text(str(value)))
    output().print(grid)


def size(count: int) -> str:
    """Return bytes as people read them.

    >>> size(17), size(1670644)
    ('17 B', '1.6 MiB')
    """
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < KIB:
            break
        value, unit = value / KIB, larger
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def ago(when: str | int) -> str:
    """Return how long ago a time was, as ISO 8601 or in ms since 1970, by its largest unit; "never" for none."""
    if not when:
        return "never"
    seconds = when / 1000 if isinstance(when, int) else datetime.fromisoformat(when).timestamp()
    past_s = max(datetime.now(UTC).timestamp() - seconds, 0.0)
    for unit_s, unit in AGES:
        if past_s >= unit_s:
            return f"{past_s / unit_s:.0f} {unit} ago"
    return "now"


def ask(question: str) -> bool:
    """Return whether whoever sits at the terminal says yes; nothing but yes is yes."""
    progress().print(f"{question} [y/N] ", end="", markup=False)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def number(value: Any) -> str:
    """Return a number with what a person can take in: thousands set apart, six digits of a fraction."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def seconds(value: float) -> str:
    """Return a time span with the unit that suits it.

    >>> seconds(0.000085), seconds(0.0412), seconds(2.5), seconds(200.0)
    ('85 µs', '41 ms', '2.5 s', '200 s')
    """
    scale, unit = next(((s, u) for s, u in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")) if value >= 0.9995 * s), (1e-6, "µs"))
    scaled = value / scale
    return f"{scaled:.1f} {unit}" if scaled < 9.95 and unit != "µs" else f"{scaled:.0f} {unit}"


def count(value: float) -> str:
    """Return a great number as people read it.

    >>> count(950), count(12345), count(3.21e6)
    ('950', '12 k', '3.2 M')
    """
    scale, unit = next(((s, u) for s, u in ((1e9, " G"), (1e6, " M"), (1e3, " k")) if value >= 0.9995 * s), (1.0, ""))
    scaled = value / scale
    return f"{scaled:.1f}{unit}" if unit and scaled < 9.95 else f"{scaled:.0f}{unit}"


def metrics(values: dict[str, float]) -> str:
    return "  ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in values.items())


def assignments(values: dict[str, float]) -> str:
    """Return parameters and their values as they are set.

    >>> assignments({"learning_rate": 0.05, "max_rounds": 300})
    'learning_rate=0.05, max_rounds=300'
    """
    return ", ".join(f"{name}={value:.10g}" for name, value in values.items())


def shortened(items: Sequence[Any], shown: int = 5) -> str:
    """Return the first few of a list, and how many more there are.

    >>> shortened([1, 2, 3], 2), shortened([])
    ('1, 2 and 1 more', '')
    """
    more = f" and {len(items) - shown:,} more" if len(items) > shown else ""
    return ", ".join(map(str, items[:shown])) + more


def bad(text: str) -> Text:
    return Text(text, style="bold red")


def warning(text: str) -> Text:
    return Text(text, style="yellow")


def health(words: str) -> Text:
    """Return a dataset's health in its colour."""
    if words.endswith("away"):
        return bad(words)
    return warning(words) if words.endswith("below") else Text(words, style="green")


def state(word: str) -> Text:
    """Return a job's state in its colour."""
    colours = {"running": "cyan", "done": "green", "failed": "bold red", "cancelled": "yellow", "waiting": "yellow"}
    return Text(word, style=colours.get(word, ""))
