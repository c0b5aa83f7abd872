"""A cluster of real processes in which histories are played: three nodes, a keeper behind a proxy, and an observer beside it.

One history at a time: a client submits its job, moments are recognised by what stands in ZooKeeper, blows fall on whoever
holds the role just then, and everything is mended after a while. In the end the answer must be that of the undisturbed run, and
nothing may be left that an undisturbed run would not leave.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from chaos.clients import Client, client_of
from chaos.faults import Faults
from chaos.histories import Blow, History
from chaos.kinds import digest_of_rows, put_data
from chaos.proxy import KeeperProxy
from killing import unnamed
from msgspec import structs

import muskox as mx
from muskox.client import down, up
from muskox.client.folder import LocalFolder
from muskox.coordination import CHROOT, layout
from muskox.errors import MuskoxError
from muskox.runtime import KeeperCommand

NODES = 3
LOOK_S = 0.004
DONE_S_MAX = 120.0  # of a history: 60 s is how long a checkpoint that cannot be had is waited for
TIDY_S_MAX = 60.0
SETTINGS = {"checkpoint_interval_s": 0.1, "progress_interval_s": 0.1, "silence_s": 2.0}
OCCASIONAL = {"progress", "pace"}  # znodes of a job that an undisturbed one may lack

T = TypeVar("T")


class Broken(AssertionError):
    """A history that did not end as it must."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run left: what its client got ("" if it was killed), the digest of the job's result, and the job's znodes."""

    told: str
    result: str
    znodes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Told:
    """How a history went: which of its blows fell, and how long it took."""

    history: History
    fell: tuple[Blow, ...]
    seconds: float

    def __str__(self) -> str:
        missed = len(self.history.blows) - len(self.fell)
        return f"{self.history}{f' ({missed} came too late)' if missed else ''}: same digest, {self.seconds:.1f} s"


class Arena:
    """See the head of this file. Use :func:`arena`."""

    def __init__(self, folder: Path, observer: mx.Cluster, proxy: KeeperProxy) -> None:
        self.observer = observer
        self._folder = folder
        self._session = observer.session
        self._faults = Faults(observer, proxy, folder, NODES)
        self._expected: dict[str, Answer] = {}
        self._count = 0

    def play(self, history: History) -> Told:
        """Play a history; Broken if its end differs from the undisturbed one's."""
        if history.kind not in self._expected:
            self._expected[history.kind] = self._run(History(history.seed, history.kind, ()))[0]
        expected, started_s = self._expected[history.kind], time.monotonic()
        found, fell = self._run(history)
        if found.told not in ("", expected.told):
            raise Broken(f"{history}: the client was given {found.told}, not {expected.told}")
        if history.kind != "predict" and found.result != expected.result:  # a prediction's result names its files
            raise Broken(f"{history}: the result is {found.result}, not {expected.result}")
        if more := found.znodes - expected.znodes - OCCASIONAL:
            raise Broken(f"{history}: it left {sorted(more)} behind")
        return Told(history, fell, time.monotonic() - started_s)

    def _run(self, history: History) -> tuple[Answer, tuple[Blow, ...]]:
        before = set(self._session.children(layout.JOBS))
        self._count += 1
        output = self._folder / f"output-{self._count}"
        with client_of(history, self._folder, output) as client:
            job = self._await(lambda: next(iter(set(self._session.children(layout.JOBS)) - before), None), f"{history}: a job")
            try:
                fell = self._strike(history, job, client)
                state = self._await(lambda: self._final(job), f"{history}: the end of {job}")
                if state.phase is not layout.JobPhase.DONE:
                    raise Broken(f"{history}: {state.phase}: {state.reason}")
                told = client.answer(DONE_S_MAX)
            finally:
                self._faults.mend()
        if not told and history.kind == "predict":
            told = self._await(lambda: digest_of_rows(output), f"{history}: the manifest of {job}")
        znodes = self._await(lambda: self._tidy(job), f"{history}: the tidying up after {job}", TIDY_S_MAX)
        return Answer(told, state.result, znodes), fell

    def _strike(self, history: History, job: str, client: Client) -> tuple[Blow, ...]:
        """Let each blow fall when its moment has come; return those that did before the job was over."""
        waiting, fell, is_final, started_s = list(history.blows), [], False, time.monotonic()
        while waiting and not is_final and time.monotonic() - started_s < DONE_S_MAX:
            with contextlib.suppress(MuskoxError):  # the keeper may be away: nothing can be seen just now
                is_final = self._final(job) is not None
                for blow in [blow for blow in waiting if self._has_come(blow, job)]:
                    waiting.remove(blow)
                    if self._faults.strike(blow, job, client):
                        fell.append(blow)
            time.sleep(LOOK_S)
        return tuple(fell)

    def _has_come(self, blow: Blow, job: str) -> bool:
        find = self._session.find
        match blow.moment:
            case "submitted":
                return True
            case "formed":
                generation = find(layout.generation(job), layout.GenerationRecord)
                return generation is not None and generation[0].number > 0
            case "round":
                progress = find(layout.progress(job), layout.ProgressRecord)
                return progress is not None and progress[0].round >= blow.round
            case "committing":
                return bool(self._session.children(layout.UPLOADS))
            case "committed":
                return self._session.version(layout.checkpoint(job)) is not None or self._final(job) is not None
            case _:
                return self._final(job) is not None

    def _final(self, job: str) -> layout.JobState | None:
        state = self._session.find(layout.job_state(job), layout.JobState)
        return state[0] if state is not None and state[0].phase.is_final else None

    def _tidy(self, job: str) -> frozenset[str] | None:
        """Return the job's znodes once nothing of it is under way any more."""
        children = self._session.children
        assigned = [
            self._session.find(layout.assignment(node), layout.AssignmentRecord) for node in children(layout.ASSIGNMENTS)
        ]
        if any(found is not None and job in found[0].jobs for found in assigned):
            return None
        if (
            children(layout.workers(job))
            or children(layout.UPLOADS)
            or self._session.version(layout.checkpoint(job)) is not None
        ):
            return None
        return frozenset(children(layout.job(job)))

    def check_blobs(self) -> None:
        """Have what nothing names collected; Broken if it stays on any node, or a job that is over still names what it kept."""

        def left_over() -> set[str]:
            jobs = self._session.children(layout.JOBS)
            checkpoints = {job for job in jobs if self._session.version(layout.checkpoint(job)) is not None}
            if unfinished := checkpoints | {job for job in jobs if self._session.children(layout.pieces(job))}:
                return unfinished
            return unnamed(self.observer)

        self.observer.set_config("collect_after_s", 0.0)
        try:
            self._await(lambda: not left_over() or None, "the collection of what nothing names", TIDY_S_MAX)
        finally:
            self.observer.set_config("collect_after_s", 3600.0)

    def _await(self, find: Callable[[], T | None], what: str, within_s: float = DONE_S_MAX) -> T:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            with contextlib.suppress(MuskoxError):  # the keeper may be away
                if (found := find()) is not None:
                    return found
            time.sleep(LOOK_S)
        raise Broken(f"{what} has not come within {within_s:g} s")


@contextlib.contextmanager
def arena(folder: Path, flights: Any) -> Iterator[Arena]:
    """An arena whose processes end with the block; `folder` keeps their logs."""
    up(folder, 1).close()  # founds the cluster: its keeper has a port now
    down(folder)
    home = LocalFolder(folder)
    keeper_port = KeeperCommand.read(home.keeper_file).port
    proxy = KeeperProxy(keeper_port)
    proxy.start()
    home.keep(structs.replace(home.get(), url=proxy.url))
    with mx.local(NODES, dir=folder) as cluster:
        for name, value in SETTINGS.items():
            cluster.set_config(name, value)
        put_data(cluster, flights)
        with mx.Cluster(
            f"zk://127.0.0.1:{keeper_port}{CHROOT}", home.secret_file.read_bytes().strip(), folder=home
        ) as observer:
            yield Arena(folder, observer, proxy)
