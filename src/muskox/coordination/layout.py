"""Every path that muskox keeps in ZooKeeper, and the record behind it: the whole schema on one page; of datasets and disks the
records are next door, in stored.py.

Small, few, typed: JSON on the wire, one record type a path, nothing that grows with rows or shards (large manifests are blobs
in the store, named here by digest). Two znodes are fences: the *version* of `FENCE` is the coordinator's, the version of a
job's `generation` is that generation's; neither is ever deleted and made again while anybody could hold an old number.
This file knows nothing of sessions. Pure.
"""

from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from muskox.coordination.course import CourseRecord
from muskox.errors import CallerError, Corrupt

FORMAT = 3  # of this layout; a cluster of another format is refused

CLUSTER = "/cluster"  # ClusterRecord
CONFIG = "/config"  # ConfigRecord
FENCE = "/fence"  # FenceRecord; its version is the coordinator's fence
CANDIDATES = "/candidates"  # children: CandidateRecord, ephemeral, sequential
MEMBERS = "/members"  # children: MemberRecord, ephemeral, by node name
ASSIGNMENTS = "/assignments"  # children: AssignmentRecord by node name; each node watches its own only
DATASETS = "/datasets"  # children: DatasetRecord by name; their children: VersionRecord by number, and AclRecord as "acl"
UPLOADS = "/uploads"  # children: UploadRecord by upload id: the lease that a commit checks
TRASH = "/trash"  # children: TrashRecord as NAME@NUMBER: removed versions whose bytes are still there
COLLECTING = "/collecting"  # ephemeral: an object store is being cleaned up, and no upload begins
HOLDS = "/holds"  # children: HoldRecord, ephemeral: who reads a version now
DISKS = "/disks"  # children: DiskRecord by node name
REPAIR = "/repair"  # RepairRecord
DRAINS = "/drains"  # children: DrainRecord by node name: what lies there is to move elsewhere
MODELS = "/models"  # children: ModelRecord by name
JOBS = "/jobs"  # children: JobRecord by job id
RECIPES = "/recipes"  # locks, barriers, semaphores and queues of users, by kind and name

ROOTS = (CONFIG, FENCE, CANDIDATES, MEMBERS, ASSIGNMENTS, DATASETS, UPLOADS, TRASH, HOLDS, DISKS, DRAINS, MODELS, JOBS, RECIPES)

NAME_LENGTH_MAX = 128  # a znode name; also keeps paths and messages readable


class ClusterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What makes this chroot a muskox cluster. `id` goes into every connection's handshake.

    store : where blobs are durable: the URL of an object store's folder; "" on the nodes themselves
    """

    id: str
    format: int = FORMAT
    store: str = ""


class ConfigRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The live settings that differ from their defaults; see coordination/config.py."""

    values: dict[str, Any] = {}


class FenceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the coordinator's fence, for people who look."""

    coordinator: str = ""
    incarnation: str = ""


class CandidateRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who stands for coordinator, and where its store listens, by which others tell that its process lives."""

    node: str
    incarnation: str
    address: str


class MemberRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A live node. `address` is its Flight service as host:port; `folder_id` is kept in its locked folder.

    rack : what fails together with it, as its operator says; "" where nobody said
    disk_bytes : the size of its disk, by which shards are spread
    memory_bytes, gpus : what it offers to workers beside its cores; memory 0: it does not say, and nothing is counted
    is_leaving : it ends as soon as its workers are missed no more
    metrics : where on its own machine Prometheus finds its figures, as host:port; "" for nowhere
    host, folder : this machine's id and where the blobs lie on it, for readers on the same machine
    """

    name: str
    folder_id: str
    incarnation: str
    address: str
    pid: int
    cores: int
    fingerprint: str
    rack: str = ""
    disk_bytes: int = 1
    memory_bytes: int = 0
    gpus: int = 0
    is_leaving: bool = False
    metrics: str = ""
    host: str = ""
    folder: str = ""


class AssignmentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How many workers a node shall run for which job."""

    jobs: dict[str, int] = {}


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a client submitted, never changed. `program` is the digest of a packed record that lies on `program_nodes`.

    dataset : name@version
    columns : those that the program looks at; none means all
    workers, workers_min : how many at most, 0 meaning one a node; and how many at least, 0 meaning one
    cores, memory_bytes, gpus : what each worker takes of its node
    priority : of jobs that do not all fit, the higher runs first, and takes from the lower
    user : who shares the cluster fairly with other users
    audit : the share of shard results that is computed twice, to be compared
    parallelism : "data", "task" or "hybrid": what runs side by side
    changes : (round, values by parameter) of a run before, to be made again at the same rounds
    model : register the result under this name; "" for none
    fingerprint : the numeric fingerprint the result shall have; nodes of another one take no part
    """

    kind: str
    program: str
    program_nodes: list[str]
    dataset: str
    columns: list[str] = []
    workers: int = 0
    workers_min: int = 0
    cores: float = 1.0
    memory_bytes: int = 0
    gpus: int = 0
    priority: int = 0
    user: str = ""
    audit: float = 0.0
    parallelism: str = "data"
    changes: list[tuple[int, dict[str, float]]] = []
    model: str = ""
    fingerprint: str = ""
    rounds_max: int = 1_000_000
    lineage: dict[str, Any] = {}
    submitted_ms: int = 0


class JobPhase(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (JobPhase.DONE, JobPhase.FAILED, JobPhase.CANCELLED)


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job stands. `reason` says why it waits or failed; `attempt` is the commit that wrote a final state.

    result : digest of the result's value; result_blob its bytes in the store, on result_nodes
    """

    phase: JobPhase
    reason: str = ""
    attempt: str = ""
    rounds: int = 0
    result: str = ""
    result_blob: str = ""
    result_nodes: list[str] = []
    finished_ms: int = 0


class GenerationMember(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One worker of a generation. `shards` are index runs such as "0-3,8"; see :func:`format_runs`.

    A JSON list, not an object: the names of the fields would be half of the bytes that 1,000 nodes read of 1,000 members.
    """

    worker: str
    node: str
    address: str
    pid: int
    shards: str


class GenerationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One membership of a job, in rank order: the first is the tree's root. `number` equals the znode's version."""

    number: int
    members: list[GenerationMember] = []
    reason: str = ""
    course: CourseRecord = CourseRecord()


class ProgressRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The last round that the root told of; written at most about once a second."""

    round: int
    generation: int
    metrics: dict[str, float] = {}
    phases: dict[str, float] = {}


class PaceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How long the workers of a generation took for a row of late, by name: slow ones get fewer shards in the next one."""

    generation: int
    seconds: dict[str, float] = {}


class CheckpointRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The state after `round` rounds: a packed record under `blob` on `nodes`; `digest` is the state's own.

    Of a task job it is one piece of its finished results, and `round` the number of the piece.
    """

    round: int
    digest: str
    blob: str
    nodes: list[str]


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A live worker process of a job (ephemeral); `address` is where its collective listens."""

    node: str
    address: str
    pid: int


class SuspectRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that takes part no more, who said so, and why. Worker names are never used twice."""

    reporter: str
    reason: str


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A trained model. `digest` is what it is; `blob` on `nodes` is where its bytes lie.

    lineage : where it comes from, for people
    program ... gpus : the job's, with which it can be made again; see JobRecord. The program is kept as long as the model
    """

    digest: str
    blob: str
    nodes: list[str]
    kind: str
    dataset: str
    rounds: int
    job: str
    metrics: dict[str, float] = {}
    lineage: dict[str, Any] = {}
    created_ms: int = 0
    program: str = ""
    program_nodes: list[str] = []
    columns: list[str] = []
    rounds_max: int = 1_000_000
    fingerprint: str = ""
    parallelism: str = "data"
    changes: list[tuple[int, dict[str, float]]] = []
    cores: float = 1.0
    memory_bytes: int = 0
    gpus: int = 0


Payload = TypeVar("Payload", bound=msgspec.Struct)


def encode(record: msgspec.Struct) -> bytes:
    return msgspec.json.encode(record)


def decode(data: bytes, kind: type[Payload], path: str) -> Payload:
    """Return the record behind `path`.

    Raises
    ------
    Corrupt
        If the bytes are not a record of that kind: somebody else wrote there.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Corrupt(f"znode {path} holds no {kind.__name__}: {error}") from error


def check_name(kind: str, name: str) -> str:
    """Return `name` if it can be a znode and a file, else raise CallerError with the rule."""
    good = bool(name) and name.isascii() and len(name) <= NAME_LENGTH_MAX and name[0].isalnum()
    if not good or any(not (letter.isalnum() or letter in "._-") for letter in name):
        raise CallerError(
            f"{kind} name {name!r} is not valid: use ASCII letters, digits, '.', '_' and '-', at most {NAME_LENGTH_MAX}, "
            "and begin with a letter or digit"
        )
    return name


def candidate_prefix(incarnation: str) -> str:
    return f"{CANDIDATES}/{incarnation}-"


def member(node: str) -> str:
    return f"{MEMBERS}/{node}"


def assignment(node: str) -> str:
    return f"{ASSIGNMENTS}/{node}"


def dataset(name: str) -> str:
    return f"{DATASETS}/{name}"


def version(name: str, number: int) -> str:
    return f"{DATASETS}/{name}/{number}"


def acl(name: str) -> str:
    return f"{DATASETS}/{name}/acl"


def placement(name: str, number: int, group: int) -> str:
    return f"{DATASETS}/{name}/{number}/group-{group}"


def manifest_placement(name: str, number: int) -> str:
    return f"{DATASETS}/{name}/{number}/manifest"


def trash(name: str, number: int) -> str:
    return f"{TRASH}/{name}@{number}"


def hold(name: str) -> str:
    return f"{HOLDS}/{name}"


def disk(node: str) -> str:
    return f"{DISKS}/{node}"


def drain(node: str) -> str:
    return f"{DRAINS}/{node}"


def upload(upload_id: str) -> str:
    return f"{UPLOADS}/{upload_id}"


def model(name: str) -> str:
    return f"{MODELS}/{name}"


def job(job_id: str) -> str:
    return f"{JOBS}/{job_id}"


def job_state(job_id: str) -> str:
    return f"{JOBS}/{job_id}/state"


def generation(job_id: str) -> str:
    return f"{JOBS}/{job_id}/generation"


def progress(job_id: str) -> str:
    return f"{JOBS}/{job_id}/progress"


def changes(job_id: str) -> str:
    return f"{JOBS}/{job_id}/changes"


def wishes(job_id: str) -> str:
    return f"{JOBS}/{job_id}/wanted"


def wish(job_id: str, request: str) -> str:
    return f"{JOBS}/{job_id}/wanted/{request}"


def pace(job_id: str) -> str:
    return f"{JOBS}/{job_id}/pace"


def checkpoint(job_id: str) -> str:
    return f"{JOBS}/{job_id}/checkpoint"


def pieces(job_id: str) -> str:
    return f"{JOBS}/{job_id}/pieces"


def piece(job_id: str, number: int) -> str:
    return f"{JOBS}/{job_id}/pieces/{number}"


def workers(job_id: str) -> str:
    return f"{JOBS}/{job_id}/workers"


def worker(job_id: str, name: str) -> str:
    return f"{JOBS}/{job_id}/workers/{name}"


def suspects(job_id: str) -> str:
    return f"{JOBS}/{job_id}/suspects"


def suspect(job_id: str, name: str) -> str:
    return f"{JOBS}/{job_id}/suspects/{name}"


def recipe(kind: str, name: str) -> str:
    return f"{RECIPES}/{kind}/{check_name(kind, name)}"
