"""Following a job on the screen: the loss round by round, what a round spends its time on, who works, and who died.

The rounds arrive on a thread of their own, so that the screen stays alive and Ctrl-C is answered at once; leaving changes
nothing for the job.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from muskox.cli import phases, screen
from muskox.cli.curve import chart

if TYPE_CHECKING:
    from muskox.client import Cluster
    from muskox.program import RoundReport

LOOK_S = 0.5  # between looks at who works
DRAW_S = 0.1
PLAIN_LINE_S = 1.0  # between lines where the output is no terminal
CURVE_HEIGHT = 8
EVENTS_SHOWN = 6
RECENT = 20  # rounds over which times are averaged, so that they can be read

OnReport = Callable[["RoundReport"], None]


class Follower:
    """A job as its watcher knows it: reports as they come, and its record, looked at now and then.

    An entry of `arrived` is a RoundReport, the final record of the job, or the error that ended the following.
    """

    def __init__(self, cluster: "Cluster", job_id: str) -> None:
        self._cluster = cluster
        self._job_id = job_id
        self.arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.record: dict[str, Any] = {}
        self._over = threading.Event()
        for target in (self._stream, self._look):
            threading.Thread(target=target, name=f"follow {job_id}", daemon=True).start()

    def stop(self) -> None:
        self._over.set()

    def _stream(self) -> None:
        try:
            for report in self._cluster.follow(self._job_id):
                self.arrived.put(report)
                if self._over.is_set():
                    return
            self.arrived.put(self._cluster.wait(self._job_id))
        except Exception as error:  # noqa: BLE001  # bulkhead: it is raised again on the thread that draws
            self.arrived.put(error)
        finally:
            self._over.set()

    def _look(self) -> None:
        while not self._over.is_set():
            try:
                self.record = self._cluster.job(self._job_id)
            except Exception:  # noqa: BLE001  # bulkhead: a look that fails is made again; the stream tells of real trouble
                self.record = {}
            self._over.wait(LOOK_S)


class JobScreen:
    """What is drawn of a job: its curve of the loss, one line of words, the times of a round, and what happened."""

    def __init__(self, title: str, rounds_max: int | None = None, footer: Callable[[], str] | None = None) -> None:
        self._title = title
        self._footer = footer
        self._rounds_max = rounds_max
        self._started = time.monotonic()
        self._losses: list[float] = []
        self._marks: list[int] = []
        self._events: list[Text] = []
        self._unexplained: list[tuple[int, int, Text]] = []  # generations that ended, came, and where to say why: see() knows
        self._changes = 0  # of parameters, that were noted
        self._recent: deque[Mapping[str, float]] = deque(maxlen=RECENT)
        self._generation = 0
        self.last: RoundReport | None = None
        self.workers: list[dict[str, Any]] = []
        self.waits = ""

    def add(self, report: "RoundReport") -> None:
        if self._generation and report.generation != self._generation:
            line = self._note(f"round {report.round}: goes on in generation {report.generation}", "yellow")
            self._unexplained.append((self._generation, report.generation, line))
        self._generation = report.generation
        self.last = report
        self._recent.append(report.phases)
        if "loss" in report.metrics:
            self._losses.append(report.metrics["loss"])

    def mark(self, event: str, style: str = "yellow") -> None:
        """Note an event, and mark its place in the curve."""
        self._note(event, style)

    def _note(self, event: str, style: str) -> Text:
        self._marks.append(len(self._losses))
        self._events.append(Text(event, style, overflow="ellipsis", no_wrap=True))
        return self._events[-1]

    def see(self, record: dict[str, Any]) -> None:
        """Take over what a look at the job found."""
        if record:
            self.workers = record["workers"] or self.workers
            self.waits = record["reason"] if record["state"] == "waiting" else ""
            round_ = 0 if self.last is None else self.last.round
            made = [change for change in record["changes"] if change["round"] <= round_]  # a run that repeats knows the others
            for change in made[self._changes :]:
                self.mark(f"round {change['round']}: {screen.assignments(change['values'])}", "green")
                if self._rounds_max:
                    self._rounds_max = int(change["values"].get("max_rounds", self._rounds_max))
            self._changes = len(made)
            self._unexplained = [entry for entry in self._unexplained if not self._explain(*entry, record)]

    def _explain(self, before: int, after: int, line: Text, record: dict[str, Any]) -> bool:
        """Say why the generations since `before` were formed; return whether the record knows of `after` already."""
        formed = [past for past in record["generations"] if before < past["number"] <= after]
        if not formed or formed[-1]["number"] != after:
            return False
        parts = []
        for past in formed:
            deaths = [death["reason"] for death in record["deaths"] if death["generation"] == past["number"] - 1]
            parts.append(past["reason"] + (f" ({', '.join(deaths)})" if deaths else ""))
        line.append(f": {', '.join(parts)}")
        return True

    @property
    def phases(self) -> dict[str, float]:
        """What a round spends its time on, of late."""
        return phases.mean(self._recent)

    def line(self) -> str:
        """Return what there is to say in one line, but for the times."""
        if self.last is None:
            return f"waiting: {self.waits}" if self.waits else "starting workers"
        limit = f" of at most {self._rounds_max + 1}" if self._rounds_max else ""
        nodes = " ".join(worker["node"] for worker in self.workers)
        parts = [f"round {self.last.round}{limit}", screen.metrics(dict(self.last.metrics)), f"generation {self._generation}"]
        return "   ".join(part for part in (*parts, f"on {nodes}" if nodes else "") if part)

    def __rich_console__(self, console: Console, _: Any) -> Any:
        width = min(console.width, 100)
        elapsed = f"{time.monotonic() - self._started:.1f} s"
        title = Text(self._title, "bold").append(f"   loss by round   {elapsed}", "dim")
        curve = chart(self._losses, width, CURVE_HEIGHT, self._marks) if self._losses else []
        footer = [Text(self._footer(), "dim")] if self._footer is not None else []
        line = Text(self.line(), overflow="ellipsis", no_wrap=True)
        times = []
        if self.last is not None and self.phases:
            times = [phases.table(self.last.round, self.last.metrics, self.phases, width)]
        yield Group(title, *curve, line, *times, *self._events[-EVENTS_SHOWN:], *footer)


def follow(cluster: "Cluster", job_id: str, shown: JobScreen | None, on_report: OnReport | None = None) -> dict[str, Any]:
    """Draw `shown`, if given, until the job is over, and return its record.

    Ctrl-C is raised as KeyboardInterrupt; the job goes on.
    """
    follower = Follower(cluster, job_id)
    console = screen.progress()
    try:
        if shown is None:
            return _drain(follower, JobScreen(""), on_report)
        if not console.is_terminal:
            return _plain(follower, shown, on_report)
        with Live(shown, console=console, refresh_per_second=1 / DRAW_S, redirect_stdout=False):
            return _drain(follower, shown, on_report)
    finally:
        follower.stop()


def _drain(follower: Follower, shown: JobScreen, on_report: OnReport | None) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    while True:
        if follower.record is not seen:
            seen = follower.record
            shown.see(seen)
        try:
            found = follower.arrived.get(timeout=DRAW_S)
        except queue.Empty:
            continue
        if isinstance(found, Exception):
            raise found
        if isinstance(found, dict):
            return found
        shown.add(found)
        if on_report is not None:
            on_report(found)


def _plain(follower: Follower, shown: JobScreen, on_report: OnReport | None) -> dict[str, Any]:
    """Print a line a second: into a log a curve is of no use."""
    printed = 0.0

    def show(report: "RoundReport") -> None:
        nonlocal printed
        if time.monotonic() - printed >= PLAIN_LINE_S:
            printed = time.monotonic()
            screen.tell("   ".join(part for part in (shown.line(), phases.sentence(shown.phases)) if part))
        if on_report is not None:
            on_report(report)

    return _drain(follower, shown, show)


def detached(job_id: str) -> typer.Exit:
    """Say that the job goes on and how to come back to it; to be raised: the command did not get what it waited for."""
    screen.tell(
        f"detached: job {job_id} goes on; `muskox jobs {job_id} --follow` attaches again, `muskox cancel {job_id}` ends it"
    )
    return typer.Exit(1)
