"""What the demo does to its own cluster: SIGKILL to real processes while a job runs, and a supervisor that starts them again.

The supervisor is what systemd or Kubernetes would be: it starts dead nodes, and knows nothing of jobs. The killer picks its
victims from what the cluster says of itself.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from muskox.errors import MuskoxError

if TYPE_CHECKING:
    from muskox.client import Cluster, LocalFolder
    from muskox.program import RoundReport

LOOK_S = 0.2


class Victim(Enum):
    """Whom to kill: a node that works for the job and does not coordinate, or the one that coordinates."""

    NODE = "node"
    COORDINATOR = "coordinator"


@dataclass(frozen=True, slots=True)
class Order:
    """Kill `victim` when a round from `after_round` on is reported."""

    after_round: int
    victim: Victim


@dataclass(slots=True)
class Kill:
    """A kill that was carried out; `seconds` until the next round finished, in a new generation."""

    name: str
    pid: int
    victim: Victim
    round: int
    generation: int
    at: float
    seconds: float | None = None


class Supervisor:
    """Starts dead nodes of a local cluster again, until :meth:`stop`.

    pids : of the keeper and the nodes that lived at the last look, by name
    """

    def __init__(self, folder: "LocalFolder", lifeline: int) -> None:
        self._folder = folder
        self._lifeline = lifeline
        self._over = threading.Event()
        self.pids: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        from muskox.client import up

        names = self._folder.get().nodes
        while not self._over.wait(LOOK_S):
            found = {name: self._folder.node_pid(name) for name in names}
            self.pids = {name: pid for name, pid in {**found, "keeper": self._folder.keeper_pid()}.items() if pid is not None}
            if None not in found.values():
                continue
            with suppress(MuskoxError):  # a node that does not come up now is started again at the next look
                up(self._folder.path, len(names), lifeline=self._lifeline).close()


@dataclass(slots=True)
class Killer:
    """Carries out `orders` while a job is followed: give it every report.

    A kill waits until every node is live again and the one before it was survived: one failure at a time is what two replicas
    promise to bear.
    """

    cluster: "Cluster"
    nodes: int
    orders: Sequence[Order]
    on_kill: Callable[[Kill], None]
    kills: list[Kill] = field(default_factory=list)
    _looked: float = 0.0

    def see(self, report: "RoundReport") -> None:
        now = time.monotonic()
        if self.kills and self.kills[-1].seconds is None:
            if report.generation > self.kills[-1].generation:
                self.kills[-1].seconds = now - self.kills[-1].at
            return
        due = len(self.kills) < len(self.orders) and report.round >= self.orders[len(self.kills)].after_round
        if due and now - self._looked >= LOOK_S:
            self._looked = now
            self._strike(self.orders[len(self.kills)].victim, report)

    def _strike(self, victim: Victim, report: "RoundReport") -> None:
        view = self.cluster.status()
        killed = {kill.pid for kill in self.kills}  # the dead count as members until their sessions have expired
        if sum(node["pid"] not in killed for node in view["nodes"]) < self.nodes:
            return
        working = {worker["node"] for job in view["jobs"] for worker in job["workers"]}
        node = choose(view["nodes"], working, victim)
        if node is None:
            return
        with suppress(ProcessLookupError):
            os.kill(node["pid"], signal.SIGKILL)
        kill = Kill(node["name"], node["pid"], victim, report.round, report.generation, time.monotonic())
        self.kills.append(kill)
        self.on_kill(kill)


def choose(nodes: Sequence[dict[str, Any]], working: set[str], victim: Victim) -> dict[str, Any] | None:
    """Return the first node that fits, or None."""
    match victim:
        case Victim.NODE:
            fitting = [node for node in nodes if node["name"] in working and not node["coordinator"]]
        case Victim.COORDINATOR:
            fitting = [node for node in nodes if node["coordinator"]]
    return fitting[0] if fitting else None
