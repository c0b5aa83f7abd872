"""What a decision stands on, and what it can be: the picture of the cluster, and the coordinator's orders. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from muskox.coordination import layout

ANY = 1 << 31  # as many as one likes
DEATHS_MAX = 20  # of a job's workers on one node without a round between: it may be the node that is sick


@dataclass(frozen=True, slots=True)
class Replicas:
    """Where a dataset's shards lie: for each shard the nodes that hold it, and for each node how many of them it holds."""

    of: Sequence[Sequence[str]]
    held: Mapping[str, int]

    @classmethod
    def count(cls, of: Sequence[Sequence[str]]) -> "Replicas":
        return cls(of, Counter(name for holders in of for name in holders))


@dataclass(frozen=True, slots=True)
class JobView:
    """What is known of one job that is not final.

    suspects : workers that take part no more
    fruitless : those of them that ended since a round was last finished
    pace : seconds a row of late, by worker
    is_patient : the generation was formed a moment ago: newcomers may wait for each other, so that they join at once
    is_weary : it was broken up for newcomers again and again: those who come now wait, as long as others work
    is_resting : it made room for others a moment ago, and begins again only after a while
    """

    id: str
    record: layout.JobRecord
    state: layout.JobState
    replicas: Replicas
    generation: layout.GenerationRecord
    workers: Mapping[str, layout.WorkerRecord]
    suspects: Sequence[str]
    fruitless: Sequence[str] = ()
    pace: Mapping[str, float] = field(default_factory=dict)
    is_patient: bool = False
    is_weary: bool = False
    is_resting: bool = False

    @property
    def shards(self) -> int:
        return len(self.replicas.of)

    @property
    def useful_max(self) -> int:
        """How many workers could be at work at a time: one a shard; how many tasks a task job has is not known here."""
        return ANY if self.record.parallelism == "task" else max(self.shards, 1)

    @property
    def workers_min(self) -> int:
        """How many workers it needs at least: never more than are of use."""
        return min(max(self.record.workers_min, 1), self.useful_max)

    @property
    def sick(self) -> set[str]:
        """The nodes on which its workers keep dying."""
        deaths = Counter(node_of(worker) for worker in self.fruitless)
        return {node for node, count in deaths.items() if count > DEATHS_MAX}

    @property
    def live(self) -> dict[str, layout.WorkerRecord]:
        """Its workers that nobody reported, the oldest first."""
        names = sorted(self.workers.keys() - set(self.suspects), key=seniority)
        return {name: self.workers[name] for name in names}


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that a decision stands on.

    members : the nodes that live
    unseen : the jobs that could not be seen just now, which keep what they have; with their records, as far as known
    drained : those of them whose data moves elsewhere: no work is begun there
    """

    members: Mapping[str, layout.MemberRecord]
    assignments: Mapping[str, Mapping[str, int]]
    jobs: Sequence[JobView]
    unseen: Mapping[str, layout.JobRecord | None] = field(default_factory=dict)
    drained: Collection[str] = ()

    @property
    def open(self) -> dict[str, layout.MemberRecord]:
        """The nodes that take part: those that are neither leaving nor being emptied."""
        return {name: member for name, member in self.members.items() if not member.is_leaving and name not in self.drained}


@dataclass(frozen=True, slots=True)
class Assign:
    """Have `node` run so many workers for each of these jobs."""

    node: str
    jobs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Form:
    """Make this the job's generation; the job runs. `is_for_newcomers`: those who worked would have worked on as they were."""

    job: str
    generation: layout.GenerationRecord
    is_for_newcomers: bool = False

    def __str__(self) -> str:  # of a thousand members a log needs no list
        members = len(self.generation.members)
        return f"Form(generation {self.generation.number} of job {self.job}, {members} workers: {self.generation.reason})"


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


def node_of(worker: str) -> str:
    """Return the node of a worker, which its name begins with: NODE.INCARNATION.NUMBER.

    >>> node_of("rack.7.a1b2c3.12")
    'rack.7'
    """
    return worker.rsplit(".", 2)[0]


def seniority(worker: str) -> tuple[int, str]:
    """Return a key by which the workers of one node sort in the order in which they were started.

    >>> sorted(["n.a1b2c3.10", "n.a1b2c3.9"], key=seniority)
    ['n.a1b2c3.9', 'n.a1b2c3.10']
    """
    return len(worker), worker
