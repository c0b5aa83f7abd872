"""What the coordinator decides: which node runs workers for which job, and who makes up a generation. Pure.

:func:`plan` is level-triggered: it compares what there is with what there should be and returns the orders that bring
it nearer.
The same picture gives the same orders; lost, doubled or late news do no harm. Each decision carries its reason.

A worker that is to go is first left out of its job's generation, and only then taken from its node: so the others go on with
the state that they hold. Where nobody would be left who holds it, its node keeps a checkpoint before it ends it (job_agent.py),
and the next generation waits for that.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from muskox.coordination import count_runs, format_runs, layout, parse_runs
from muskox.runtime.planning.picture import Abort, Assign, Explain, Form, JobView, Order, Picture
from muskox.runtime.planning.places import allocate
from muskox.runtime.planning.shares import GAIN_MIN, gain, gain_max, share


def plan(picture: Picture) -> list[Order]:
    """Return the orders that bring the cluster nearer to what its jobs ask for; none if all is well."""
    allocation = allocate(picture)
    wanted: dict[str, dict[str, int]] = {}
    for node, jobs in picture.assignments.items():
        if kept := {job_id: count for job_id, count in jobs.items() if job_id in picture.unseen}:
            wanted[node] = kept
    forms: list[Order] = []
    others: list[Order] = []
    for job in sorted(picture.jobs, key=lambda view: (view.record.submitted_ms, view.id)):
        staff = {} if job.is_resting else allocation.staff.get(job.id, {})
        for node, count in staff.items():
            wanted.setdefault(node, {})[job.id] = count
        if staff:
            forms.extend(_lead(job, staff, picture))
        elif not job.is_resting:
            others.extend(_explain(job, allocation.reasons[job.id], picture))
    assigns: list[Order] = [
        Assign(node, wanted.get(node, {}))
        for node in sorted({*picture.assignments, *wanted})
        if wanted.get(node, {}) != picture.assignments.get(node, {})
    ]
    return [*forms, *assigns, *others]


def _explain(job: JobView, reason: str, picture: Picture) -> list[Order]:
    """Return what to say of a job that has no place, once none of its workers is left: a checkpoint is kept before they end."""
    fitting = {name for name, member in picture.open.items() if member.fingerprint == job.record.fingerprint}
    if fitting and fitting <= job.sick:
        reason = f"its workers died {len(job.fruitless)} times on every node without a round between; `muskox logs` tells how"
        return [Abort(job.id, reason)]
    if any(worker.node in picture.members for worker in job.live.values()):
        return []
    is_said = job.state.phase is layout.JobPhase.WAITING and job.state.reason == reason
    return [] if is_said else [Explain(job.id, reason)]


def _lead(job: JobView, staff: Mapping[str, int], picture: Picture) -> list[Order]:
    """Return what to do about the generation of a job that has places."""
    live = {name: worker for name, worker in job.live.items() if worker.node in picture.members}
    seated: set[str] = set()
    taken: Counter[str] = Counter()
    for name, worker in live.items():
        if taken[worker.node] < staff.get(worker.node, 0):  # of those on a node the oldest, which is whom it keeps
            taken[worker.node] += 1
            seated.add(name)
    current = [member.worker for member in job.generation.members]
    stayed = [name for name in current if name in seated]
    joined = sorted(seated.difference(current))
    lost = [name for name in current if name not in seated]
    if not stayed and (any(name in live for name in lost) or len(joined) < min(job.workers_min, sum(staff.values()))):
        return []  # who held the state keeps it first; and too few do not begin
    if (job.is_patient or (job.is_weary and stayed)) and len(stayed) + len(joined) < sum(staff.values()):
        joined = []
    ranked = [*stayed, *joined]
    if not ranked:
        return []
    if lost or joined:
        generation = form_generation(job, ranked, _reason(job, lost, joined, picture))
        return [Form(job.id, generation, is_for_newcomers=bool(stayed and not lost))]
    return [] if job.is_patient or job.is_weary else _rebalance(job, ranked)


def _reason(job: JobView, lost: Sequence[str], joined: Sequence[str], picture: Picture) -> str:
    parts = []
    for name in lost:
        if name in job.suspects:
            parts.append(f"{name} was reported")
        elif name not in job.workers or job.workers[name].node not in picture.members:
            parts.append(f"{name} is gone")
        else:
            parts.append(f"{name} makes room" if job.workers[name].node in picture.open else f"{name} leaves with its node")
    parts += [f"{name} joined" for name in joined]
    return ", ".join(parts)


def _rebalance(job: JobView, ranked: Sequence[str]) -> list[Order]:
    """Have shards move from slow workers to others, if that saves enough of a round's time."""
    owned = {member.worker: count_runs(member.shards) for member in job.generation.members}
    if not job.pace or gain_max(owned, job.pace) < GAIN_MIN:
        return []
    record = form_generation(job, ranked, "")
    after = {member.worker: count_runs(member.shards) for member in record.members}
    if gain(owned, after, job.pace) < GAIN_MIN:
        return []
    slow = ", ".join(name for name in ranked if after[name] < owned[name])
    return [Form(job.id, msgspec.structs.replace(record, reason=f"shards move from {slow}, which took longer for a row"))]


def form_generation(job: JobView, workers: Sequence[str], reason: str) -> layout.GenerationRecord:
    """Return the next generation of `job`, made of `workers` in rank order."""
    before = {shard: member.worker for member in job.generation.members for shard in parse_runs(member.shards)}
    nodes = {name: job.workers[name].node for name in workers}
    shares = share(job.replicas.of, nodes, before, job.pace)
    members = [
        layout.GenerationMember(
            worker=name,
            node=job.workers[name].node,
            address=job.workers[name].address,
            pid=job.workers[name].pid,
            shards=format_runs(shares[name]),
        )
        for name in workers
    ]
    return layout.GenerationRecord(number=job.generation.number + 1, members=members, reason=reason)
