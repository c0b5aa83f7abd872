"""What one kill showed, and how it is measured the same way for every system.

A running training writes a line for every finished round, with the time. A trial waits for a drawn round, strikes, and goes on
reading until the training is over, or until nothing has happened for so long that it is given up. `seconds` are from the blow
to the end of the first round that began after it: a round that was all but finished when the blow came is not counted as a
recovery.
"""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

LOOK_S = 0.003
START_S_MAX = 180.0  # from the first process to the round at which the blow falls, on a busy machine
ROLES = ("worker", "node", "coordinator", "keeper", "client", "zombie")


@dataclass(frozen=True, slots=True)
class Trial:
    """One blow. `seconds` is None if no round was finished after it; `reason` says why the training did not finish."""

    finished: bool
    seconds: float | None
    again: int
    digest: str
    reason: str = ""


class System(Protocol):
    """Something that trains. `roles`: which of the rows it has a counterpart for, and what that is called there."""

    name: str
    roles: Mapping[str, str]
    rounds: int

    def undisturbed(self) -> str:
        """Train without a blow and return the result's digest."""

    def trial(self, role: str, at: int) -> Trial:
        """Strike `role` after round `at`."""


@dataclass(frozen=True, slots=True)
class Line:
    """A finished round; `generation` where the system counts memberships."""

    round: int
    at_s: float
    generation: int = 0


def judge(lines: list[Line], blow_s: float, digest: str, reason: str = "") -> Trial:
    """Return what the lines of a training that was struck at `blow_s` show."""
    after = [line for line in lines if line.at_s > blow_s]
    generation = max((line.generation for line in lines if line.at_s <= blow_s), default=0)
    formed = [line for line in after if line.generation > generation]
    own = formed or after[1:]  # the second line after the blow ends a round that began after it
    seconds = own[0].at_s - blow_s if own else None
    again = len(lines) - len({line.round for line in lines})
    return Trial(bool(digest), seconds, again, digest, reason)


def write_round(file: Path, number: int) -> None:
    """Add a finished round to the lines; one write, so that lines of two processes cannot mix."""
    with file.open("ab", buffering=0) as lines:
        lines.write(f"{number} {time.monotonic():.6f}\n".encode())


def read_rounds(file: Path) -> list[Line]:
    if not file.exists():
        return []
    whole = file.read_text().rpartition("\n")[0].splitlines()
    return [Line(int(number), float(at_s)) for number, at_s in (line.split() for line in whole)]


def watch(folder: Path, at: int | None, blow: Callable[[], float], over: Callable[[], str], give_up_s: float) -> Trial:
    """Strike once round `at` is finished, then watch the training in `folder` to its end.

    Parameters
    ----------
    folder : where it writes `rounds`, and in the end its digest as `result`
    at : None to let it run undisturbed
    over : why it can no longer finish; "" while it can
    give_up_s : how long nothing may happen
    """
    result, blow_s, changed_s, seen = folder / "result", None, time.monotonic(), 0
    while not result.exists():
        now = time.monotonic()
        lines = read_rounds(folder / "rounds")
        if len(lines) > seen:
            seen, changed_s = len(lines), now
        if blow_s is None and at is not None and lines and lines[-1].round >= at:
            blow_s = changed_s = blow()
        reason = over()
        if not reason and now - changed_s > (START_S_MAX if blow_s is None else give_up_s):
            reason = f"gave up after {give_up_s:g} s" if blow_s is not None else f"did not start within {START_S_MAX:g} s"
        if reason and not result.exists():
            return judge(read_rounds(folder / "rounds"), blow_s or now, "", reason)
        time.sleep(LOOK_S)
    lines = read_rounds(folder / "rounds")
    return judge(lines, time.monotonic() if blow_s is None else blow_s, result.read_text())


def write_result(folder: Path, digest: str) -> None:
    draft = folder / "result.new"
    draft.write_text(digest)
    draft.replace(folder / "result")


class Processes:
    """Real processes of one training, which end with this block; each writes to a log of its own in `folder`."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._environment = {**os.environ, **environment}
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started.values():
            strike(family(process.pid), signal.SIGKILL)
        for process in self._started.values():
            process.wait()

    def start(self, name: str, command: Iterable[str]) -> int:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(list(command), stdout=log, stderr=log, env=self._environment, start_new_session=True)
        self._started[name] = process
        return process.pid

    def has_ended(self, name: str) -> bool:
        return self._started[name].poll() is not None

    def last_word(self, name: str) -> str:
        """Return the last line of its log that tells of an error, else the last one."""
        lines = (self.folder / f"{name}.log").read_text(errors="replace").strip().splitlines()
        errors = [line for line in lines if "rror" in line]
        return next(reversed(errors or lines), "it said nothing").strip()[:120]


def children(parent: int) -> list[int]:
    """Return the live children of a process, as Linux tells them."""
    found = []
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(pid) for pid in task.read_text().split()]
    return found


def family(pid: int) -> list[int]:
    """Return a process and all its descendants, itself first: what ends when its machine does."""
    return [pid, *(found for child in children(pid) for found in family(child))]


def strike(pids: Iterable[int], blow: int) -> float:
    """Send a signal to all of them; return when."""
    now = time.monotonic()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, blow)
    return now


def pause(pids: list[int], seconds: float) -> float:
    """Stop processes for some seconds, as a machine does that swaps or is moved; return when. They go on by themselves."""
    now = strike(pids, signal.SIGSTOP)
    timer = threading.Timer(seconds, strike, (pids, signal.SIGCONT))
    timer.daemon = True
    timer.start()
    return now


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
