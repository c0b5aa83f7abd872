"""Pictures of made-up clusters for the tests of the coordinator's decisions, and what orders make of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from muskox.coordination import parse_runs
from muskox.coordination.layout import GenerationRecord, JobPhase, JobRecord, JobState, MemberRecord, WorkerRecord
from muskox.runtime.planning.picture import Abort, Assign, Explain, Form, JobView, Order, Picture, Replicas

NODES = ("ann", "bob", "cat", "dan", "eve")
BITS = "x86"


def member(name: str, fingerprint: str = BITS, **offers: Any) -> MemberRecord:
    known: dict[str, Any] = {"cores": 8, **offers}
    return MemberRecord(name=name, folder_id=name, incarnation="i", address="h:1", pid=1, fingerprint=fingerprint, **known)


def members(*names: str, **offers: Any) -> dict[str, MemberRecord]:
    return {name: member(name, **offers) for name in names}


def worker(node: str) -> WorkerRecord:
    return WorkerRecord(node=node, address="h:2", pid=2)


def asks(**asked: Any) -> JobRecord:
    known: dict[str, Any] = {"kind": "k", "program": "p", "program_nodes": [], "dataset": "d@1", "fingerprint": BITS, **asked}
    return JobRecord(**known)


def view(
    workers: Mapping[str, str] | None = None,
    *,
    replicas: Sequence[Sequence[str]] = (("ann", "bob"),) * 12,
    phase: JobPhase = JobPhase.WAITING,
    reason: str = "",
    asked: Mapping[str, Any] | None = None,
    **known: Any,
) -> JobView:
    """Return a job of twelve shards on ann and bob, with `workers` (name -> node), that asks for what `asked` says."""
    made = JobView(
        id="job-1",
        record=asks(**(asked or {})),
        state=JobState(phase=phase, reason=reason),
        replicas=Replicas.count(replicas),
        generation=GenerationRecord(number=0),
        workers={name: worker(node) for name, node in (workers or {}).items()},
        suspects=[],
    )
    return replace(made, **known)


def performed(picture: Picture, orders: list[Order]) -> Picture:
    """Return the picture once `orders` have been carried out."""
    assignments, jobs = dict(picture.assignments), {job.id: job for job in picture.jobs}
    for order in orders:
        match order:
            case Assign(node, wanted):
                assignments[node] = wanted
            case Form(job, generation):
                assert generation.number == jobs[job].generation.number + 1
                state = JobState(phase=JobPhase.RUNNING, reason=generation.reason)
                jobs[job] = replace(jobs[job], generation=generation, state=state)
            case Explain(job, reason):
                jobs[job] = replace(jobs[job], state=JobState(phase=JobPhase.WAITING, reason=reason))
            case Abort(job, _):
                del jobs[job]
    return replace(picture, assignments=assignments, jobs=list(jobs.values()))


def shards_of(generation: GenerationRecord) -> list[int]:
    return sorted(shard for one in generation.members for shard in parse_runs(one.shards))


def leaving(record: MemberRecord) -> MemberRecord:
    return msgspec.structs.replace(record, is_leaving=True)
