"""Killing real processes of a running job at a drawn round, and what a test may know of it."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from whole_path_data import FEATURES, TARGET

import muskox as mx
from muskox.client import up
from muskox.program import RoundReport
from muskox.store.care.kept import Manifests, find_kept

ROUNDS_MAX = 300
C = 1000.0  # with a weaker penalty a fit takes all of them: time for two deaths, one after the other
LAST_ROUND = 60  # the fits here take more rounds than this, so a kill drawn up to it lands inside


def estimator() -> mx.LogisticRegression:
    return mx.LogisticRegression(C=C, max_rounds=ROUNDS_MAX, tol=1e-13, features=FEATURES, categorical=("month", "hour"))


@dataclass
class Killer:
    """Kills one process of `role` at a drawn round; call as a fit's `on_round`."""

    cluster: mx.Cluster
    role: str
    draw: random.Random
    at: int = 0
    pid: int = 0
    generation: int = 0
    generations: set[int] = field(default_factory=set)
    blow: Callable[[int], None] = field(default=lambda pid: os.kill(pid, signal.SIGKILL))

    def __post_init__(self) -> None:
        self.at = self.draw.randrange(2, LAST_ROUND)

    def __call__(self, report: RoundReport) -> None:
        self.generations.add(report.generation)
        if self.pid or report.round < self.at:
            return
        status = self.cluster.status()
        if not status["jobs"] or not status["jobs"][0]["workers"]:
            return
        chosen = self.choose(status)
        with contextlib.suppress(ProcessLookupError):  # it ended between the look and the blow: the next report chooses again
            self.blow(chosen)
            self.generation, self.pid = report.generation, chosen

    def choose(self, status: dict) -> int:
        workers = status["jobs"][0]["workers"]
        staffed = {worker["node"] for worker in workers}
        nodes = {node["name"]: node for node in status["nodes"]}
        match self.role:
            case "worker":
                return self.draw.choice(workers[1:] or workers)["pid"]
            case "root":
                return workers[0]["pid"]
            case "node":
                names = sorted(name for name in staffed if not nodes[name]["coordinator"])
                return nodes[self.draw.choice(names)]["pid"]
            case "coordinator":
                return next(node["pid"] for node in nodes.values() if node["coordinator"])
            case "keeper":
                return status["keeper"]["pid"]
        raise AssertionError(self.role)


def until(condition: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
    """Wait until `condition` holds; fail saying `what` did not happen."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {within_s:g} s"
        time.sleep(0.01)


def mend(cluster: mx.Cluster) -> None:
    """Start again what a test killed, before the next one."""
    assert cluster.folder is not None
    up(Path(cluster.folder.path), nodes=len(cluster.folder.get().nodes)).close()


def train(dataset: object, **options: object) -> str:
    """Fit on `dataset` and return the model's digest."""
    return estimator().fit(dataset, target=TARGET, **options).digest_


def unnamed(cluster: mx.Cluster) -> set[str]:
    """Return the blobs on live nodes that nothing in ZooKeeper names."""
    units = find_kept(cluster.home, Manifests(cluster.home), is_strict=True)
    named = {blob for kept in units for blob, _ in kept.unit.blobs}
    live = cluster.home.directory.live().values()
    return {blob for address in live for blob in cluster.client.inventory(address)} - named
