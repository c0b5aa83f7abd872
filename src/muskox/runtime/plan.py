"""What the coordinator decides: which node runs workers for which job, and who makes up a generation. Pure.

:func:`plan` is level-triggered: it compares what there is with what there should be and returns the orders that bring
it nearer.
The same picture gives the same orders; lost, doubled or late news do no harm. Each decision carries its reason.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from muskox.coordination import format_runs, layout, parse_runs

RUNS_PER_WORKER = 4  # aligned runs of shards a worker gets at least, where there are enough: load balance against messages
DEATHS_MAX = 20  # of a job's workers on one node without a round between: it may be the node that is sick


@dataclass(frozen=True, slots=True)
class JobView:
    """What is known of one job that is not final.

    replicas : for each shard the names of the nodes that hold it
    suspects : workers that take part no more
    fruitless : those of them that ended since a round was last finished
    is_patient : the generation was formed a moment ago: newcomers may wait for each other, so that they join at once
    """

    id: str
    phase: layout.JobPhase
    fingerprint: str
    workers_max: int
    submitted_ms: int
    replicas: Sequence[Sequence[str]]
    generation: layout.GenerationRecord
    workers: Mapping[str, layout.WorkerRecord]
    suspects: Sequence[str]
    reason: str = ""
    fruitless: Sequence[str] = ()
    is_patient: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that a decision stands on. `unseen` are jobs that could not be read just now: they stay as they are."""

    members: Mapping[str, layout.MemberRecord]
    assignments: Mapping[str, Mapping[str, int]]
    jobs: Sequence[JobView]
    unseen: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Assign:
    """Have `node` run so many workers for each of these jobs."""

    node: str
    jobs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Form:
    """Make this the job's generation; the job runs."""

    job: str
    generation: layout.GenerationRecord


@dataclass(frozen=True, slots=True)
class Explain:
    """The job waits, and this is why."""

    job: str
    reason: str


@dataclass(frozen=True, slots=True)
class Abort:
    """The job cannot go on."""

    job: str
    reason: str


Order = Assign | Form | Explain | Abort


def plan(picture: Picture) -> list[Order]:
    """Return the orders that bring the cluster nearer to what its jobs ask for; none if all is well."""
    wanted: dict[str, dict[str, int]] = {}
    for node, jobs in picture.assignments.items():
        if kept := {job_id: count for job_id, count in jobs.items() if job_id in picture.unseen}:
            wanted[node] = kept
    orders: list[Order] = []
    for job in sorted(picture.jobs, key=lambda view: (view.submitted_ms, view.id)):
        staff = staffing(job, picture.members)
        for node, count in staff.items():
            wanted.setdefault(node, {})[job.id] = count
        orders.extend(_lead(job, staff, picture.members))
    known = sorted({*picture.assignments, *wanted})
    assigns = [
        Assign(node, wanted.get(node, {})) for node in known if wanted.get(node, {}) != picture.assignments.get(node, {})
    ]
    return [*assigns, *orders]


def staffing(job: JobView, members: Mapping[str, layout.MemberRecord]) -> dict[str, int]:
    """Return how many workers each node shall run for `job`: one a node, or `workers_max` spread evenly by name.

    Never more workers than shards, and only on nodes that compute the job's bits.
    """
    deaths = Counter(node_of(worker) for worker in job.fruitless)
    fitting = (name for name, member in members.items() if member.fingerprint == job.fingerprint)
    nodes = sorted(name for name in fitting if deaths[name] <= DEATHS_MAX)
    if not nodes:
        return {}
    count = min(job.workers_max or len(nodes), max(len(job.replicas), 1))
    local = {name: sum(name in holders for holders in job.replicas) for name in nodes}
    nodes.sort(key=lambda name: (-local[name], name))
    share, rest = divmod(count, len(nodes))
    staff = {name: share + (position < rest) for position, name in enumerate(nodes)}
    return {name: workers for name, workers in sorted(staff.items()) if workers}


def node_of(worker: str) -> str:
    """Return the node of a worker, which its name begins with: NODE.INCARNATION.NUMBER.

    >>> node_of("rack.7.a1b2c3.12")
    'rack.7'
    """
    return worker.rsplit(".", 2)[0]


def _lead(job: JobView, staff: Mapping[str, int], members: Mapping[str, layout.MemberRecord]) -> list[Order]:
    """Return what to do about the job's generation."""
    if not staff and len(job.fruitless) > DEATHS_MAX:
        reason = f"its workers died {len(job.fruitless)} times on every node without a round between; `muskox logs` tells how"
        return [Abort(job.id, reason)]
    if not staff:
        have = ", ".join(sorted({member.fingerprint for member in members.values()})) or "none"
        reason = f"no node computes with the numeric fingerprint {job.fingerprint}; those here: {have}"
        return [] if reason == job.reason else [Explain(job.id, reason)]
    live = {name: worker for name, worker in job.workers.items() if name not in job.suspects}
    current = [member.worker for member in job.generation.members]
    stayed = [name for name in current if name in live]
    joined = [name for name in sorted(live) if name not in current and live[name].node in staff]
    lost = [name for name in current if name not in live]
    if job.is_patient and len(stayed) + len(joined) < sum(staff.values()):
        joined = []
    ranked = [*stayed, *joined]
    if not ranked or not (lost or joined):
        return []
    return [Form(job.id, form_generation(job, ranked, _reason(lost, joined, job.suspects)))]


def _reason(lost: Sequence[str], joined: Sequence[str], suspects: Sequence[str]) -> str:
    parts = [f"{name} {'was reported' if name in suspects else 'is gone'}" for name in lost]
    parts += [f"{name} joined" for name in joined]
    return ", ".join(parts)


def form_generation(job: JobView, workers: Sequence[str], reason: str) -> layout.GenerationRecord:
    """Return the next generation of `job`, made of `workers` in rank order."""
    before = {shard: member.worker for member in job.generation.members for shard in parse_runs(member.shards)}
    nodes = {name: job.workers[name].node for name in workers}
    shares = share(job.replicas, nodes, before)
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


def share(replicas: Sequence[Sequence[str]], workers: Mapping[str, str], before: Mapping[int, str]) -> dict[str, list[int]]:
    """Return which shards each worker (name -> node) owns: whole aligned runs, evenly many, near their bytes.

    A run goes to the worker that had it, else to one whose node holds a replica, else to whoever has least; never beyond an
    even share, so that one more worker takes its part at once.
    """
    count = len(replicas)
    level = 0
    while count >> (level + 1) >= RUNS_PER_WORKER * len(workers):
        level += 1
    runs = [list(range(first, min(first + (1 << level), count))) for first in range(0, count, 1 << level)]
    room = _Room(workers, *divmod(len(runs), len(workers)))
    owned: dict[str, list[int]] = {name: [] for name in workers}
    homeless: list[list[int]] = []
    for run in runs:
        owner = before.get(run[0])
        if owner in owned and room.has(owner):
            owned[owner].extend(run)
            room.take(owner)
        else:
            homeless.append(run)
    for run in homeless:
        free = [name for name in workers if room.has(name)]
        near = [name for name in free if workers[name] in replicas[run[0]]]
        owner = min(near or free, key=lambda name: (room.taken[name], name))
        owned[owner].extend(run)
        room.take(owner)
    return owned


class _Room:
    """An even share of runs: everybody gets `least` of them, and only `larger` workers one more."""

    def __init__(self, workers: Iterable[str], least: int, larger: int) -> None:
        self.taken = dict.fromkeys(workers, 0)
        self._least = least
        self._larger = larger

    def has(self, worker: str) -> bool:
        return self.taken[worker] < self._least or (self.taken[worker] == self._least and self._larger > 0)

    def take(self, worker: str) -> None:
        if self.taken[worker] == self._least:
            self._larger -= 1
        self.taken[worker] += 1
