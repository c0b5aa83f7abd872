"""Seeded histories of a whole cluster: nodes join, leave, are drained and die, workers die, jobs of all kinds are submitted.

Whatever happens: no node ever runs more than it has, no order is given twice, every generation is whole and nobody in it was
put out, and once nothing more happens every job gets its turn and ends. `pytest -k "histories and 17"` replays seed 17.
"""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pictures import BITS, leaving, member, performed, shards_of, view, worker

from muskox.coordination.layout import JobPhase, MemberRecord, WorkerRecord
from muskox.runtime.planning.picture import Abort, Explain, Form, JobView, Order, Picture
from muskox.runtime.planning.places import demand, fits, offer
from muskox.runtime.planning.plan import plan

SEEDS = 150
TICKS = 60
WORK = 6  # ticks with a generation that a job needs
CALM_TICKS_MAX = 600  # after the last event, for every job to end


@dataclass
class History:
    """A cluster in which every process does as it is told, a tick later or two."""

    draw: random.Random
    members: dict[str, MemberRecord] = field(default_factory=dict)
    drained: set[str] = field(default_factory=set)
    assignments: dict[str, Mapping[str, int]] = field(default_factory=dict)
    jobs: dict[str, JobView] = field(default_factory=dict)
    work: Counter[str] = field(default_factory=Counter)
    done: set[str] = field(default_factory=set)
    suspended: int = 0
    named: int = 0

    def happen(self) -> None:
        match self.draw.choice(["join", "join", "leave", "die", "drain", "submit", "submit", "submit", "kill", "report"]):
            case "join":
                self.named += 1
                gpus, memory = self.draw.choice([0, 0, 2]), self.draw.choice([0, 8])
                self.members[f"n{self.named}"] = member(
                    f"n{self.named}", BITS, cores=self.draw.randint(1, 4), gpus=gpus, memory_bytes=memory
                )
            case "leave" if self.members:
                name = self.draw.choice(sorted(self.members))
                self.members[name] = leaving(self.members[name])
            case "die" if self.members:
                self.bury(self.draw.choice(sorted(self.members)))
            case "drain" if self.members:
                self.drained ^= {self.draw.choice(sorted(self.members))}
            case "submit":
                self.submit()
            case "kill" | "report" as what:
                self.lose_worker(is_reported=what == "report")

    def submit(self) -> None:
        self.named += 1
        least = self.draw.choice([0, 0, 1, 2])
        asked: dict[str, Any] = {
            "workers_min": least,
            "workers": self.draw.choice([0, max(least, 1), 4]),
            "cores": self.draw.choice([0.5, 1.0, 2.0]),
            "gpus": self.draw.choice([0, 0, 0, 1]),
            "memory_bytes": self.draw.choice([0, 3]),
            "priority": self.draw.choice([0, 0, 0, 1]),
            "user": self.draw.choice(["kim", "lee"]),
            "submitted_ms": self.named,
        }
        self.jobs[f"job-{self.named}"] = view(id=f"job-{self.named}", asked=asked)

    def bury(self, name: str) -> None:
        del self.members[name]
        for job in self.jobs.values():
            self.set_workers(job.id, {who: one for who, one in job.workers.items() if one.node != name})

    def lose_worker(self, *, is_reported: bool) -> None:
        pairs = [(job.id, name) for job in self.jobs.values() for name in job.workers]
        if pairs:
            job_id, name = self.draw.choice(pairs)
            job = self.jobs[job_id]
            if is_reported:
                self.jobs[job_id] = replace(job, suspects=[*job.suspects, name])
            else:
                self.set_workers(job_id, {who: one for who, one in job.workers.items() if who != name})

    def set_workers(self, job_id: str, workers: dict[str, WorkerRecord]) -> None:
        self.jobs[job_id] = replace(self.jobs[job_id], workers=workers)

    def obey(self) -> None:
        """Nodes end whom they are to end, and a tick later start whom they are to start; jobs go on, and end."""
        for name, record in sorted(self.members.items()):
            wanted = self.assignments.get(name, {})
            for job in list(self.jobs.values()):
                if self.draw.random() < 0.3:
                    continue  # slow this time
                mine = [who for who, one in job.workers.items() if one.node == name]
                kept = [who for who in mine if who not in job.suspects][: wanted.get(job.id, 0)]
                workers = {who: one for who, one in job.workers.items() if one.node != name or who in kept}
                self.set_workers(job.id, workers)
                for _ in range(wanted.get(job.id, 0) - len(kept)):
                    if fits(demand(job.record), self.free(name)):
                        self.named += 1
                        self.set_workers(job.id, {**self.jobs[job.id].workers, f"{name}.a1b2c3.{self.named}": worker(name)})
            if record.is_leaving and not wanted:
                self.bury(name)
        for job in list(self.jobs.values()):
            if job.state.phase is JobPhase.RUNNING and job.generation.members:
                self.work[job.id] += all(one.worker in job.live for one in job.generation.members)
            if self.work[job.id] >= WORK:
                self.done.add(job.id)
                del self.jobs[job.id]

    def look(self, *, is_patient: bool) -> list[Order]:
        jobs = [replace(job, is_patient=is_patient) for job in self.jobs.values()]
        picture = Picture(dict(self.members), dict(self.assignments), jobs, drained=sorted(self.drained))
        orders = plan(picture)
        after = performed(picture, orders)
        assert plan(after) == [], "an order that was performed is not given again"
        self.check(orders)
        self.assignments = dict(after.assignments)
        self.jobs = {job.id: replace(self.jobs[job.id], generation=job.generation, state=job.state) for job in after.jobs}
        return orders

    def check(self, orders: list[Order]) -> None:
        for order in orders:
            assert not isinstance(order, Abort)
            if isinstance(order, Form):
                job, workers = self.jobs[order.job], [one.worker for one in order.generation.members]
                assert shards_of(order.generation) == list(range(job.shards)) and set(workers) <= set(job.live)
            if isinstance(order, Explain):
                self.suspended += self.jobs[order.job].generation.number > 0

    def free(self, name: str) -> list[int]:
        """Return what a node has left beside its workers, those included that are to end."""
        free = list(offer(self.members[name]))
        for job in self.jobs.values():
            count = sum(one.node == name for one in job.workers.values())
            free = [has - count * need for has, need in zip(free, demand(job.record), strict=True)]
        return free

    def check_capacity(self) -> None:
        """No node is assigned more than it has; its processes it counts itself."""
        for name, record in self.members.items():
            asked = [(demand(self.jobs[job_id].record), count) for job_id, count in self.assigned(name).items()]
            assert all(sum(need[kind] * count for need, count in asked) <= offer(record)[kind] for kind in range(3))

    def assigned(self, name: str) -> dict[str, int]:
        return {job_id: count for job_id, count in self.assignments.get(name, {}).items() if job_id in self.jobs}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_histories(seed: int) -> None:
    history = History(random.Random(f"histories/{seed}"))
    for _ in range(TICKS):
        if history.draw.random() < 0.5:
            history.happen()
        history.look(is_patient=history.draw.random() < 0.5)
        history.obey()
        history.check_capacity()
    history.drained.clear()
    history.members = {name: one for name, one in history.members.items() if not one.is_leaving}
    for job in history.jobs.values():
        history.set_workers(job.id, {who: one for who, one in job.workers.items() if one.node in history.members})
    history.members |= {name: member(name, cores=4, gpus=4, memory_bytes=20) for name in ("x", "y", "z")}
    for _ in range(CALM_TICKS_MAX):
        history.look(is_patient=False)
        history.obey()
        history.check_capacity()
        if not history.jobs:
            break
    assert not history.jobs, "every job has its turn"
    history.look(is_patient=False)
    assert history.look(is_patient=False) == [], "and then nothing is left to do"


def test_the_histories_meet_what_they_are_about() -> None:
    """Of all seeds together: jobs ended, and some of them had made room for others."""
    done = suspended = 0
    for seed in range(30):
        history = History(random.Random(f"histories/{seed}"))
        for _ in range(TICKS):
            history.happen()
            history.look(is_patient=False)
            history.obey()
        done += len(history.done)
        suspended += history.suspended
    assert done > 100 and suspended > 30
