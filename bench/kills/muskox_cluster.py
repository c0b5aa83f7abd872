"""muskox with its defaults: three nodes, a worker each, data and checkpoints on two of them, and the embedded keeper.

Rounds are seen by a client that follows the job, as a person would. Whoever is killed stays dead until the training is over;
only then is the cluster mended for the next one.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from kills.problem import FEATURES, SHARDS, make_shard
from kills.trials import LOOK_S, START_S_MAX, Line, Trial, family, judge, pause, strike

import muskox as mx
from muskox.client import up
from muskox.errors import Unavailable

T = TypeVar("T")

NODES = 3
MODEL = "struck"
CLIENT = """
import sys, muskox as mx
from kills.muskox_cluster import estimator
with mx.connect(dir=sys.argv[1]) as cluster:
    estimator(int(sys.argv[2])).fit(cluster.dataset("rows"), target="y", name=sys.argv[3])
"""


def estimator(rounds: int) -> mx.LogisticRegression:
    return mx.LogisticRegression(max_rounds=rounds, solver="gd", learning_rate=0.5, tol=0.0)


def table(rows: int) -> Any:
    import pyarrow as pa

    X, y = (np.concatenate(columns) for columns in zip(*(make_shard(index, rows) for index in range(SHARDS)), strict=True))
    return pa.table({**{f"x{column}": X[:, column] for column in range(FEATURES)}, "y": y.astype(bool)})


class Muskox:
    """See the head of this file."""

    roles = {  # noqa: RUF012  # never changed
        "worker": "a worker",
        "node": "a node with its worker",
        "coordinator": "the coordinator's node with its worker",
        "keeper": "the keeper",
        "client": "the client that submitted it",
        "zombie": "a node with its worker",
    }

    def __init__(self, rounds: int, rows: int, give_up_s: float, pause_s: float) -> None:
        from importlib.metadata import version

        self.name = f"muskox {version('muskox')}"
        self.rounds, self._give_up_s, self._pause_s = rounds, give_up_s, pause_s
        self._stack = contextlib.ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="kill-muskox-", ignore_cleanup_errors=True))
        self._folder = Path(folder)
        self._cluster = self._stack.enter_context(mx.local(nodes=NODES, dir=self._folder))
        self._dataset = self._cluster.put("rows", table(rows), shards=SHARDS, replicas=2)

    def close(self) -> None:
        self._stack.close()

    def undisturbed(self) -> str:
        return estimator(self.rounds).fit(self._dataset, target="y").digest_

    def trial(self, role: str, at: int) -> Trial:
        with contextlib.ExitStack() as stack:
            if role == "client":
                job, client = self._submit_elsewhere()
                stack.callback(client.wait)
                stack.callback(client.kill)
            else:
                job, client = self._cluster.submit(estimator(self.rounds), self._dataset, "y", name=MODEL), None
            struck = self._watch(job, at, lambda: self._strike(role, job, client))
        if role == "zombie":
            time.sleep(self._pause_s)  # it wakes up only then; nothing tells
        up(self._folder, nodes=NODES).close()
        return struck

    def _strike(self, role: str, job: str, client: "subprocess.Popen[bytes] | None") -> float | None:
        """Strike whoever holds the role; None if nobody does who works for the job: a node that came back may not yet."""
        workers = self._cluster.job(job)["workers"]
        match role:
            case "worker":
                return strike([workers[-1]["pid"]], signal.SIGKILL)
            case "keeper":
                return strike([self._cluster.status()["keeper"]["pid"]], signal.SIGKILL)
            case "client":
                return strike([] if client is None else [client.pid], signal.SIGKILL)
        staffed = {worker["node"] for worker in workers}
        nodes = [node for node in self._cluster.status()["nodes"] if node["name"] in staffed]
        pids = [node["pid"] for node in nodes if node["coordinator"] == (role == "coordinator")]
        if not pids:
            return None
        own = [pid for pid in family(pids[0]) if os.getsid(pid) == pids[0]]  # not the keeper, which any node may have started
        return pause(own, self._pause_s) if role == "zombie" else strike(own, signal.SIGKILL)

    def _submit_elsewhere(self) -> tuple[str, "subprocess.Popen[bytes]"]:
        before = {job["id"] for job in self._cluster.jobs()}
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(self._folder), str(self.rounds), MODEL],
            env={"PYTHONPATH": ":".join(sys.path)},
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline:
            for job in self._cluster.jobs():
                if job["id"] not in before:
                    return job["id"], client
            time.sleep(LOOK_S)
        raise SystemExit(f"no client submitted anything within {START_S_MAX:g} s")

    def _watch(self, job: str, at: int, blow: Callable[[], float | None]) -> Trial:
        lines: list[Line] = []
        over: list[dict[str, Any]] = []
        threading.Thread(target=self._follow, args=(job, lines), daemon=True).start()
        threading.Thread(target=lambda: over.append(self._insist(lambda: self._cluster.wait(job))), daemon=True).start()
        blow_s, changed_s, seen = None, time.monotonic(), 0
        while not over:
            if len(lines) > seen:
                seen, changed_s = len(lines), time.monotonic()
            if blow_s is None and seen and lines[-1].round >= at:
                blow_s = blow()
                changed_s = time.monotonic()
            if time.monotonic() - changed_s > (START_S_MAX if blow_s is None else self._give_up_s):
                return judge(lines, blow_s or changed_s, "", f"gave up after {self._give_up_s:g} s")
            time.sleep(LOOK_S)
        told = {(line.round, line.generation) for line in lines} | self._told(job)
        again = len(told) - len({number for number, _ in told})
        struck = judge(lines, blow_s or time.monotonic(), over[0]["digest"], over[0]["reason"])
        return replace(struck, again=again)

    def _insist(self, ask: Callable[[], T]) -> T:
        """Ask again as long as the keeper is away."""
        while True:
            with contextlib.suppress(Unavailable):
                return ask()

    def _follow(self, job: str, lines: list[Line]) -> None:
        def follow() -> None:
            for report in self._cluster.follow(job):
                lines.append(Line(report.round, time.monotonic(), report.generation))

        self._insist(follow)

    def _told(self, job: str) -> set[tuple[int, int]]:
        """Return all rounds that live nodes have told of, with their generations: a follower is told of each round once."""
        told, argument = set(), json.dumps({"job": job, "after": -1}).encode()
        for node in self._cluster.status()["nodes"]:
            with contextlib.suppress(Unavailable):
                for batch in self._cluster.client.stream(node["address"], "progress", argument):
                    if not batch.num_rows:
                        break
                    told |= set(zip(batch["round"].to_pylist(), batch["generation"].to_pylist(), strict=True))
        return told
