"""Every path that muskox keeps in ZooKeeper, and the record behind it: the whole schema on one page.

Small, few, typed: JSON on the wire, one record type a path, nothing that grows with rows or shards (large manifests are blobs
in the store, named here by digest). Two znodes are fences: the *version* of `FENCE` is the coordinator's, the version of a
job's `generation` is that generation's; neither is ever deleted and made again while anybody could hold an old number.
This file knows nothing of sessions. Pure.
"""

from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from muskox.errors import CallerError, Corrupt

FORMAT = 1  # of this layout; a cluster of another format is refused

CLUSTER = "/cluster"  # ClusterRecord
CONFIG = "/config"  # ConfigRecord
FENCE = "/fence"  # FenceRecord; its version is the coordinator's fence
CANDIDATES = "/candidates"  # children: ephemeral, sequential
MEMBERS = "/members"  # children: MemberRecord, ephemeral, by node name
ASSIGNMENTS = "/assignments"  # children: AssignmentRecord by node name; each node watches its own only
DATASETS = "/datasets"  # children: DatasetRecord by name; their children: VersionRecord by number
UPLOADS = "/uploads"  # children: UploadRecord by upload id: the lease that a commit checks
MODELS = "/models"  # children: ModelRecord by name
JOBS = "/jobs"  # children: JobRecord by job id
RECIPES = "/recipes"  # locks, barriers, semaphores and queues of users, by kind and name

ROOTS = (CONFIG, FENCE, CANDIDATES, MEMBERS, ASSIGNMENTS, DATASETS, UPLOADS, MODELS, JOBS, RECIPES)

NAME_LENGTH_MAX = 128  # a znode name; also keeps paths and messages readable


class ClusterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What makes this chroot a muskox cluster. `id` goes into every connection's handshake."""

    id: str
    format: int = FORMAT


class ConfigRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The live settings that differ from their defaults; see coordination/config.py."""

    values: dict[str, Any] = {}


class FenceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the coordinator's fence, for people who look."""

    coordinator: str = ""
    incarnation: str = ""


class MemberRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A live node. `address` is its Flight service as host:port; `folder_id` is kept in its locked folder."""

    name: str
    folder_id: str
    incarnation: str
    address: str
    pid: int
    cores: int
    fingerprint: str


class AssignmentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How many workers a node shall run for which job."""

    jobs: dict[str, int] = {}


class DatasetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset's latest committed version; 0 while there is none."""

    latest: int


class VersionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A committed, immutable version of a dataset. `manifest` is the digest of a blob that lies on `nodes`."""

    manifest: str
    nodes: list[str]
    digest: str
    rows: int
    shards: int
    bytes: int
    replicas: int
    by: str
    created_ms: int
    upload: str


class UploadRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An upload under way; the commit checks and deletes it."""

    dataset: str
    started_ms: int


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a client submitted, never changed. `program` is the digest of a packed record that lies on `program_nodes`.

    dataset : name@version
    workers : how many at most; 0 means one a node
    model : register the result under this name; "" for none
    fingerprint : the numeric fingerprint the result shall have; nodes of another one take no part
    """

    kind: str
    program: str
    program_nodes: list[str]
    dataset: str
    workers: int = 0
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


class GenerationMember(msgspec.Struct, frozen=True, kw_only=True):
    """One worker of a generation. `shards` are index runs such as "0-3,8"; see :func:`format_runs`."""

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


class ProgressRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The last round that the root told of; written at most about once a second."""

    round: int
    generation: int
    metrics: dict[str, float] = {}


class CheckpointRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The state after `round` rounds: a packed record under `blob` on `nodes`; `digest` is the state's own."""

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
    """A trained model. `digest` is what it is; `blob` on `nodes` is where its bytes lie."""

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


def checkpoint(job_id: str) -> str:
    return f"{JOBS}/{job_id}/checkpoint"


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


def format_runs(shards: list[int]) -> str:
    """Return sorted shard indexes as runs, so that a record grows with pieces and not with shards.

    >>> format_runs([0, 1, 2, 3, 8, 10, 11])
    '0-3,8,10-11'
    """
    runs: list[list[int]] = []
    for index in sorted(shards):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def parse_runs(text: str) -> list[int]:
    """Return the indexes that :func:`format_runs` wrote."""
    shards: list[int] = []
    for run in filter(None, text.split(",")):
        first, _, last = run.partition("-")
        shards.extend(range(int(first), int(last or first) + 1))
    return shards
