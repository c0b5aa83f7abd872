"""What a round spent its time on: numbers under names, and a bar of the shares beside them. For a screen, and as one line."""

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from muskox.cli import screen

PARTS = {"compute": ("█", "cyan"), "wait": ("░", "bright_black"), "reduce": ("▓", "magenta"), "update": ("▒", "yellow")}
BAR_WIDTHS = (10, 30)  # the least fits beside the numbers into 80 columns
NUMBERS_WIDTH = 70


def mean(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each phase over those rounds that tell it.

    >>> mean([{"wait": 1.0, "round": 2.0}, {"round": 4.0}])
    {'wait': 1.0, 'round': 3.0}
    """
    told: dict[str, list[float]] = {}
    for phases in rounds:
        for name, value in phases.items():
            told.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in told.items()}


def bar(phases: Mapping[str, float], width: int) -> Text:
    """Return the shares of the phases as a bar; each character is of the phase at the middle of its stretch.

    >>> bar({"compute": 3.0, "wait": 1.0}, 8).plain
    '██████░░'
    """
    whole = sum(phases.get(name, 0.0) for name in PARTS)
    drawn = Text()
    for place in range(width if whole > 0 else 0):
        left = (place + 0.5) / width * whole
        for name, (letter, style) in PARTS.items():
            left -= phases.get(name, 0.0)
            if left < 0:
                drawn.append(letter, style)
                break
    return drawn


def table(round_: int, metrics: Mapping[str, float], phases: Mapping[str, float], width: int) -> Table:
    """Return a line of numbers under their names: the round, its loss, rows a second, and the time of each phase."""
    made = Table.grid(padding=(0, 1))
    names = ["round", *(["loss"] if "loss" in metrics else []), "rows/s", "a round"]
    for _ in (*names, *PARTS):
        made.add_column(justify="right", no_wrap=True)
    made.add_column(no_wrap=True)
    parts = [Text(f"{letter} {name}", style) for name, (letter, style) in PARTS.items()]
    made.add_row(*(Text(name, "dim") for name in names), *parts)
    loss = [f"{metrics['loss']:.5g}"] if "loss" in metrics else []
    numbers = [f"{round_:,}", *loss, _rate(phases), _seconds(phases, "round"), *(_seconds(phases, name) for name in PARTS)]
    least, most = BAR_WIDTHS
    made.add_row(*numbers, bar(phases, min(max(width - NUMBERS_WIDTH, least), most)))
    return made


def sentence(phases: Mapping[str, float]) -> str:
    """Return the same in a few words, for a line of a log.

    >>> sentence({"rows_per_s": 2.5e6, "round": 0.04, "compute": 0.03})
    '2.5 M rows/s  40 ms a round (compute 30 ms)'
    """
    parts = ", ".join(f"{name} {screen.seconds(phases[name])}" for name in PARTS if name in phases)
    said: Iterable[str] = (
        f"{_rate(phases)} rows/s" if "rows_per_s" in phases else "",
        f"{screen.seconds(phases['round'])} a round" if "round" in phases else "",
    )
    return "  ".join(part for part in said if part) + (f" ({parts})" if parts else "")


def _rate(phases: Mapping[str, float]) -> str:
    return screen.count(phases["rows_per_s"]) if "rows_per_s" in phases else "-"


def _seconds(phases: Mapping[str, float], name: str) -> str:
    return screen.seconds(phases[name]) if name in phases else "-"
