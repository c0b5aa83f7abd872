"""Jobs as a client sees them: submit, wait, cancel, result. A submitted job needs no client.

Submitting writes the program's blob, then one znode, under a lease that keeps what nothing names yet from being collected. The
job's id is chosen here, so a lost reply is no riddle: if the znode is there, it is ours.
"""

import contextlib
import getpass
import os
import secrets
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from muskox.coordination import Check, Create, Delete, Operation, Refused, Session, Set, layout, live_members, read_config
from muskox.errors import CallerError, Unavailable
from muskox.program import Carries, Composed, Program, check_changes, is_portable, reference
from muskox.records import Record, pack, unpack
from muskox.store import Home
from muskox.task_list import TaskList

LOOK_S = 1.0  # a waiter looks at least so often, whatever watches do
WORKERS_MAX = 2_000  # of one job: its generation, at some 150 bytes a worker, is one znode, which ZooKeeper bounds at 1 MB
CORES_MAX = 65_536  # of one worker
PRIORITY_MAX = 1_000
SUBMITS_MAX = 3  # tries: each fails only if the session is lost in the midst of it


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What to submit: see layout.JobRecord for the fields."""

    kind: str
    program: Record
    dataset: str
    columns: Sequence[str] = ()
    workers: int = 0
    workers_min: int = 0
    cores: float = 1.0
    memory_bytes: int = 0
    gpus: int = 0
    priority: int = 0
    audit: float = 0.0
    parallelism: str = "data"
    changes: Sequence[tuple[int, Mapping[str, float]]] = ()
    model: str = ""
    fingerprint: str = ""  # that of most nodes, if nothing is said
    rounds_max: int = 1_000_000
    lineage: dict[str, Any] | None = None


def program_record(program: Program | TaskList) -> Record:
    """Return `program` as it travels: by name if it is muskox's own, else its code."""
    if is_portable(program):
        return reference(program)
    import sys

    import numpy as np

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"code": np.frombuffer(_code(program), np.uint8), "python": version}


def _code(program: Program | TaskList) -> bytes:
    """Return `program` pickled with the code of the user's own modules, which the nodes have not."""
    import cloudpickle

    parts = program.programs if isinstance(program, Composed) else [program]
    functions = [getattr(part, name, None) for part in parts for name in getattr(part, "__slots__", ())]
    functions += [each for part in parts if isinstance(part, Carries) for each in part.carried()]
    own = _own_modules([*functions, *map(type, parts)])
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(program))
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def _own_modules(functions: Sequence[Any]) -> list[ModuleType]:
    """Return the modules that `functions` come from and those that these use, but for what is installed or runs as a script."""
    import sys
    from sysconfig import get_path

    installed = (get_path("stdlib"), get_path("purelib"), get_path("platlib"))
    names = [getattr(function, "__module__", None) for function in functions]
    found: dict[str, ModuleType] = {}
    while names:
        name = names.pop()
        module = sys.modules.get(str(name))
        if module is None or str(name) in found or str(name).partition(".")[0] == "muskox":
            continue
        if name == "__main__" or not str(getattr(module, "__file__", installed[0])).startswith(installed):
            found[str(name)] = module
            used = list(vars(module).values())
            names += [value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None) for value in used]
    found.pop("__main__", None)  # pickled with its code in any case
    return [found[name] for name in sorted(found)]


def submit(home: Home, spec: JobSpec) -> str:
    """Submit a job and return its id; from then on it goes on without this client.

    Raises
    ------
    CallerError
        If it asks for what cannot be.
    Unavailable
        If the cluster has no live node, or its ZooKeeper forgot this client again and again.
    """
    session = home.session
    check_asked(spec)
    members = live_members(session)
    if not members:
        raise Unavailable(f"the cluster at {session.address} has no live node: start one with `muskox up` or `muskox node`")
    model = spec.model and layout.check_name("model", spec.model)
    kind = layout.check_name("job kind", spec.kind)
    replicas = int(read_config(session)["replicas"])
    program, job_id = pack(spec.program), f"{kind}-{secrets.token_hex(4)}"
    for _ in range(SUBMITS_MAX):
        with home.writing() as lease:
            blob, nodes = home.put(program, replicas)
            record = layout.JobRecord(
                kind=kind,
                program=blob,
                program_nodes=nodes,
                dataset=spec.dataset,
                columns=list(spec.columns),
                workers=spec.workers,
                workers_min=spec.workers_min,
                cores=spec.cores,
                memory_bytes=spec.memory_bytes,
                gpus=spec.gpus,
                priority=spec.priority,
                user=submitter(),
                audit=spec.audit,
                parallelism=spec.parallelism,
                changes=[(round_, dict(values)) for round_, values in spec.changes],
                model=model,
                fingerprint=spec.fingerprint or usual_fingerprint(members),
                rounds_max=spec.rounds_max,
                lineage=spec.lineage or {},
                submitted_ms=time.time_ns() // 1_000_000,
            )
            operations: list[Operation] = [Check(layout.upload(lease), 0), Create(layout.job(job_id), record)]
            try:
                session.commit(operations, lambda: session.version(layout.job(job_id)) is not None)
                return job_id
            except Refused:
                continue  # the lease went with its session, and the program may have gone, too
    raise Unavailable(f"the session with {session.address} was lost {SUBMITS_MAX} times while the job was submitted: try again")


def check_asked(spec: JobSpec) -> None:
    """Raise CallerError with the rule if `spec` asks for what cannot be."""
    if spec.workers < 0:
        raise CallerError(f"workers must be at least 1, or 0 for one a node, not {spec.workers}")
    if max(spec.workers, spec.workers_min) > WORKERS_MAX:
        raise CallerError(f"a job has at most {WORKERS_MAX:,} workers, not {max(spec.workers, spec.workers_min):,}")
    if spec.workers_min < 0 or (spec.workers and spec.workers_min > spec.workers):
        raise CallerError(f"workers_min must lie between 0 and workers, which is {spec.workers}, not be {spec.workers_min}")
    if not 0 < spec.cores <= CORES_MAX:
        raise CallerError(f"cores of a worker must be more than 0 and at most {CORES_MAX}, not {spec.cores:g}")
    if spec.memory_bytes < 0 or spec.gpus < 0:
        raise CallerError(f"memory and gpus of a worker must be 0 or more, not {spec.memory_bytes} and {spec.gpus}")
    if abs(spec.priority) > PRIORITY_MAX:
        raise CallerError(f"priority must lie between -{PRIORITY_MAX} and {PRIORITY_MAX}, not be {spec.priority}")
    if not 0.0 <= spec.audit <= 1.0:
        raise CallerError(f"audit must be a share from 0 to 1, not {spec.audit:g}")
    check_changes(spec.changes)


def submitter() -> str:
    """Return the name by which fair share knows whoever runs this process: MUSKOX_USER, or the system's."""
    try:
        return os.environ.get("MUSKOX_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        return str(os.getuid())


def usual_fingerprint(members: dict[str, layout.MemberRecord]) -> str:
    """Return the numeric fingerprint that most nodes have; of equally many the first by text."""
    counts = Counter(member.fingerprint for member in members.values())
    return min(counts, key=lambda fingerprint: (-counts[fingerprint], fingerprint))


def job_state(session: Session, job_id: str) -> layout.JobState:
    """Return where the job stands; CallerError if there is no such job."""
    found = session.find(layout.job_state(job_id), layout.JobState)
    if found is None:
        session.get(layout.job(job_id), layout.JobRecord, f"job {job_id!r}; `muskox jobs` lists them")
        return layout.JobState(phase=layout.JobPhase.WAITING, reason="no coordinator has seen it yet")
    return found[0]


def wait(session: Session, job_id: str) -> layout.JobState:
    """Wait until the job is final and return its state; CallerError if there is no such job, or no more."""
    changed = threading.Event()

    def look(_: Any) -> None:
        changed.set()

    while True:
        found = session.find(layout.job_state(job_id), layout.JobState, look)
        if found is None:
            job_state(session, job_id)  # or is there no such job any more?
        elif found[0].phase.is_final:
            return found[0]
        changed.wait(LOOK_S)
        changed.clear()


def cancel(session: Session, job_id: str) -> bool:
    """Cancel the job; return whether it was not final already."""
    path, attempt = layout.job_state(job_id), uuid.uuid4().hex
    cancelled = layout.JobState(phase=layout.JobPhase.CANCELLED, attempt=attempt, finished_ms=time.time_ns() // 1_000_000)

    def was_done() -> bool:
        return job_state(session, job_id).attempt == attempt

    while True:
        found = session.find(path, layout.JobState)
        if found is None:
            job_state(session, job_id)  # is there such a job?
        elif found[0].phase.is_final:
            return found[0].attempt == attempt
        write = Create(path, cancelled) if found is None else Set(path, cancelled, found[1])
        kept = session.version(layout.checkpoint(job_id))
        gone = [] if kept is None else [Delete(layout.checkpoint(job_id), kept)]  # its bytes are collected
        with contextlib.suppress(Refused):  # its state has changed meanwhile
            session.commit([write, *gone], was_done)


def result(home: Home, job_id: str, state: layout.JobState) -> Record:
    """Return the result of a finished job.

    Raises
    ------
    CallerError
        If it failed or was cancelled; the message is the job's own reason.
    """
    match state.phase:
        case layout.JobPhase.FAILED:
            raise CallerError(state.reason)
        case layout.JobPhase.CANCELLED:
            raise CallerError(f"job {job_id} was cancelled")
        case layout.JobPhase.DONE:
            return unpack(home.get(state.result_blob, state.result_nodes))
        case _:
            raise CallerError(f"job {job_id} is {state.phase}: it has no result yet")
