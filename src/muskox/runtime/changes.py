"""Changing parameters of a running job, as a client sees it: which there are, asking for new values, learning what came of it.

A wish is a znode. The job's root has it recorded at a round, or refused, and either way the wish is gone (steering.py).
"""

import math
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from muskox.coordination import Session, course, layout
from muskox.errors import CallerError, Unavailable
from muskox.program import Adjusts, Portable, resolve
from muskox.records import unpack
from muskox.runtime.jobs import job_state
from muskox.store import Home

CHANGE_S_MAX = 60.0  # that a wish is waited for; then it is withdrawn
LOOK_S = 1.0  # a waiter looks at least so often, whatever watches do


@dataclass(frozen=True, slots=True)
class Parameter:
    """What may change while a job runs, and the value that it has now."""

    name: str
    value: Any
    meaning: str


def parameters_of(home: Home, job_id: str) -> list[Parameter]:
    """Return what may change of a job; nothing for a user's own code, which only the job itself runs.

    Raises
    ------
    CallerError
        If there is no such job.
    """
    record, _ = home.session.get(layout.job(job_id), layout.JobRecord, f"job {job_id!r}; `muskox jobs` lists them")
    packed = unpack(home.get(record.program, record.program_nodes))
    program = None if "code" in packed else resolve(packed)
    if not isinstance(program, Adjusts):
        return []
    values = dict(program.parameters()) if isinstance(program, Portable) else {}
    for _, changed in changes_of(home.session, job_id, record):
        values |= changed
    return [Parameter(name, values.get(name), meaning) for name, meaning in program.adjustable().items()]


def changes_of(session: Session, job_id: str, record: layout.JobRecord) -> list[tuple[int, dict[str, float]]]:
    """Return the changes that the job was submitted with and those made since, by round."""
    found = session.find(layout.changes(job_id), course.ChangesRecord)
    made = [] if found is None else [(change.round, change.values) for change in found[0].changes]
    return sorted([*record.changes, *made], key=lambda change: change[0])


def change(session: Session, job_id: str, values: Mapping[str, float], timeout_s: float = CHANGE_S_MAX) -> int:
    """Have parameters of a running job changed, and return after which round they have these values.

    Raises
    ------
    CallerError
        If there is no such job, it is over, or it cannot have these values.
    Unavailable
        If it did not take them within `timeout_s`: then nothing changes.
    """
    infinite = [f"{name}={value}" for name, value in values.items() if not math.isfinite(value)]
    if infinite or not values:
        raise CallerError(f"{', '.join(infinite) or 'nothing'}: a change gives parameters finite numbers")
    request = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
    if not job_state(session, job_id).phase.is_final:
        session.create(layout.wishes(job_id))
        session.create(layout.wish(job_id, request), course.WishRecord(values=dict(values)))
    try:
        round_ = _wait(session, job_id, request, timeout_s)
    finally:
        session.delete(layout.wish(job_id, request))  # a wish that is made is gone already
    if round_ is None:
        round_ = _made(session, job_id, request)  # at the very last moment
    if round_ is None:
        state = job_state(session, job_id)
        if state.phase.is_final:
            raise CallerError(f"job {job_id} is {state.phase}: nothing of it can change any more")
        why = f" ({state.reason})" if state.phase is layout.JobPhase.WAITING else ""
        raise Unavailable(f"job {job_id} is {state.phase}{why} and took no change within {timeout_s:g} s: nothing has changed")
    return round_


def _wait(session: Session, job_id: str, request: str, timeout_s: float) -> int | None:
    """Return the round of the change, or None if the job is over or time is up."""
    changed = threading.Event()

    def look(_: Any) -> None:
        changed.set()

    deadline = time.monotonic() + timeout_s
    while True:
        changed.clear()
        session.version(layout.changes(job_id), look)
        round_ = _made(session, job_id, request)
        if round_ is not None or job_state(session, job_id).phase.is_final or time.monotonic() >= deadline:
            return round_
        changed.wait(min(LOOK_S, max(deadline - time.monotonic(), 0.0)))


def _made(session: Session, job_id: str, request: str) -> int | None:
    """Return the round at which it was recorded, if it was; CallerError if it was refused."""
    found = session.find(layout.changes(job_id), course.ChangesRecord)
    if found is None:
        return None
    if request in found[0].refused:
        raise CallerError(found[0].refused[request])
    return next((made.round for made in found[0].changes if made.request == request), None)
