"""Progress bars: how far each phase of something is, at which rate, and when it will be over. They go to stderr.

On a terminal the bars are drawn as they grow; elsewhere their last state is printed, once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from muskox.cli import screen

BAR_WIDTH = 20  # leaves room for numbers of nine digits at 80 columns
BYTES = "bytes"
RATES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


class Bars:
    """The bars of one command, one a phase, in the order in which the phases begin."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description:9}"), BarColumn(BAR_WIDTH), _Amount(), _Rate())
        time = TimeRemainingColumn(compact=True, elapsed_when_finished=True)
        self._progress = Progress(*columns, time, console=screen.progress())
        self._tasks: dict[str, Any] = {}
        self._since = self._progress.get_time()

    def show(self, phase: str, done: int, total: int, unit: str) -> None:
        """Say that `done` of `total` units of a phase are done; a total of 0 is one that nobody knows."""
        if phase not in self._tasks:
            self._progress.start()
            self._tasks[phase] = self._progress.add_task(phase, total=None, unit=unit)
            self._progress.tasks[-1].start_time = self._since  # what is told first is done already: it began before
        self._progress.update(self._tasks[phase], completed=done, total=total or None)
        self._since = self._progress.get_time()

    def tell(self, sentence: str) -> None:
        """Print a sentence above the bars."""
        console = self._progress.console
        console.print(sentence, markup=False, soft_wrap=not console.is_terminal)

    def end(self) -> None:
        if self._tasks:  # what is refused at once leaves no empty line
            self._progress.stop()


@contextmanager
def bars() -> Iterator[Bars]:
    """Show bars for the time of this block."""
    shown = Bars()
    try:
        yield shown
    finally:
        shown.end()


class _Amount(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(amount(int(task.completed), None if task.total is None else int(task.total), task.fields["unit"]))


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        elapsed_s = task.finished_time if task.finished else task.elapsed
        return Text(rate(task.completed / elapsed_s, task.fields["unit"]) if elapsed_s else "", style="cyan")


def amount(done: int, total: int | None, unit: str) -> str:
    """Return how much is done.

    >>> amount(1_000, 327_346, "rows"), amount(1 << 20, 5 << 20, "bytes"), amount(7, None, "rows")
    ('1,000/327,346 rows', '1.0 MiB/5.0 MiB', '7 rows')
    """
    if unit == BYTES:
        return screen.size(done) if total is None else f"{screen.size(done)}/{screen.size(total)}"
    return f"{done:,} {unit}" if total is None else f"{done:,}/{total:,} {unit}"


def rate(speed: float, unit: str) -> str:
    """Return a rate per second in three digits.

    >>> rate(1_234_567, "rows"), rate(52_428_800, "bytes"), rate(3.21, "shards")
    ('1.23 M/s', '50.0 MiB/s', '3.21 /s')
    """
    if unit == BYTES:
        return f"{screen.size(int(speed))}/s"
    for factor, letter in RATES:
        if speed >= factor:
            return f"{speed / factor:.3g} {letter}/s"
    return f"{speed:.3g} /s"
