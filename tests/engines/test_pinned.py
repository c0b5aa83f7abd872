"""Pinned runs: in a child that was started with the pins, with the same errors and reports, and no child left behind."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from muskox.engines import pinned
from muskox.engines.in_process import TableDataset
from muskox.errors import CallerError, Unavailable
from muskox.program import ArrayPartition, Block, Done, Manifest, RunOptions, Shard
from muskox.records import Record
from muskox.runtime import is_pinned
from muskox.runtime.pins import pinned_environment


@dataclass(frozen=True)
class Told:
    """Tells of the process that it runs in, after `rounds` rounds, unless it is to fail."""

    pinned: ClassVar[bool] = True

    rounds: int = 1
    failure: str = ""

    def initial(self, manifest: Manifest) -> Record:
        return {"round": 0, "shards": manifest.shards}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        if self.failure == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.failure == "refused":
            raise CallerError("x must be even: it is odd")
        if self.failure == "broken":
            raise ZeroDivisionError("by nothing")
        return {"sum": sum(int(block["x"].sum()) for block in blocks)}

    def merge(self, left: Record, right: Record) -> Record:
        return {"sum": left["sum"] + right["sum"]}

    def update(self, state: Record, total: Record) -> Record | Done:
        state = {**state, **total, "round": state["round"] + 1}
        if state["round"] < self.rounds:
            return state
        here = {name: os.environ.get(name, "") for name in pinned_environment()}
        return Done({**state, "pid": os.getpid(), "here": here, "is_pinned": is_pinned()})

    def report(self, state: Record) -> dict[str, float]:
        return {"round": float(state["round"])}


def run(program: Any, **options: Any) -> Record:
    dataset = TableDataset(pa.table({"x": range(10)}), ArrayPartition(3))
    return dataset.run(program, RunOptions(**options)).result


def test_it_runs_in_a_pinned_child_which_serves_the_next_run_too() -> None:
    first, second = run(Told()), run(Told())
    assert first["sum"] == 45 and first["shards"] == 3
    assert first["here"] == pinned_environment() and first["is_pinned"]
    assert first["pid"] == second["pid"] != os.getpid()


def test_rounds_are_reported() -> None:
    rounds: list[float] = []
    run(Told(rounds=4), on_round=lambda report: rounds.append(report.metrics["round"]))
    assert rounds == [1.0, 2.0, 3.0]


def test_errors_come_back_as_they_are() -> None:
    with pytest.raises(CallerError, match=r"^x must be even: it is odd$"):
        run(Told(failure="refused"))
    with pytest.raises(CallerError, match="the program raised ZeroDivisionError: by nothing") as told:
        run(Told(failure="broken"))
    assert 'raise ZeroDivisionError("by nothing")' in "".join(told.value.__notes__)
    with pytest.raises(CallerError, match="did not finish within 2 rounds"):
        run(Told(rounds=9), rounds_max=2)


def test_a_child_that_is_killed_is_told_of_and_another_takes_its_place() -> None:
    with pytest.raises(Unavailable, match="ended"):
        run(Told(failure="killed"))
    assert run(Told())["sum"] == 45


def test_an_interrupted_run_leaves_no_child() -> None:
    pid = run(Told())["pid"]

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Told(rounds=1000), on_round=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert run(Told())["pid"] != pid


def test_a_watcher_that_refuses_ends_the_run_and_disturbs_no_other() -> None:
    def refuse(_: Any) -> None:
        raise CallerError("enough")

    with pytest.raises(CallerError, match="enough"):
        run(Told(rounds=1000), on_round=refuse)
    assert run(Told(rounds=3))["round"] == 3


def test_runs_of_two_threads_do_not_meet() -> None:
    results: list[Record] = []
    threads = [threading.Thread(target=lambda: results.append(run(Told(rounds=20)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result["round"] for result in results] == [20, 20]
    assert len(pinned._idle) <= pinned.IDLE_MAX


ORPHAN = """
import os, signal, sys
sys.path.insert(0, {folder!r})
from test_pinned import Told, run
print(run(Told())["pid"], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_child_ends_with_its_parent() -> None:
    program = ORPHAN.format(folder=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert int(done.stdout) > 0  # read to the end: the child, which could write to it too, is gone


def test_pins_set_late_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in pinned_environment().items():
        monkeypatch.setenv(name, value)
    assert not is_pinned()
