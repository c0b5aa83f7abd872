"""Who needs a dataset version: readers, jobs that are not over, models that came of it. What anybody holds is not collected.

A reader's hold is an ephemeral znode: it goes with its process, and comes again if only its session was lost. Jobs and models
hold by naming the version in their records.
"""

import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from muskox.coordination import Session, layout, stored
from muskox.errors import CallerError

Version = tuple[str, int]


@contextmanager
def reading(session: Session, name: str, version: int) -> Iterator[None]:
    """Hold a version as long as this block runs.

    Raises
    ------
    CallerError
        If it was removed meanwhile.
    """
    path = _take(session, name, version)
    try:
        yield
    finally:
        session.let_go(path)


def hold_while_alive(owner: object, session: Session, name: str, version: int) -> None:
    """Hold a version until `owner` is garbage, or the session ends; raises as :func:`reading` does."""
    weakref.finalize(owner, session.let_go, _take(session, name, version)).atexit = False


def _take(session: Session, name: str, version: int) -> str:
    """Take a hold and return its path: a name of its own, so that no lost reply leaves a second one."""
    path = layout.hold(f"{name}@{version}-{uuid.uuid4().hex}")
    session.keep_ephemeral(path, stored.HoldRecord(dataset=name, version=version))
    try:
        is_there = session.version(layout.version(name, version)) is not None
    except BaseException:  # bulkhead: an interrupt, too, leaves nobody who would let it go
        session.let_go(path)
        raise
    if not is_there:
        session.let_go(path)
        raise CallerError(f"{name}@{version} was removed")
    return path


def readers(session: Session) -> dict[Version, list[str]]:
    """Return, by version, who reads it now."""
    found: dict[Version, list[str]] = {}
    for name in session.children(layout.HOLDS):
        hold = session.find(layout.hold(name), stored.HoldRecord)
        if hold is not None:
            found.setdefault((hold[0].dataset, hold[0].version), []).append("a reader")
    return found


def jobs(session: Session) -> dict[Version, list[str]]:
    """Return, by version, the jobs on it that are not over."""
    found: dict[Version, list[str]] = {}
    for job_id in session.children(layout.JOBS):
        state = session.find(layout.job_state(job_id), layout.JobState)
        if state is not None and state[0].phase.is_final:
            continue
        job = session.find(layout.job(job_id), layout.JobRecord)
        if job is not None:
            found.setdefault(_version(job[0].dataset), []).append(f"job {job_id}")
    return found


def models(session: Session) -> dict[Version, list[str]]:
    """Return, by version, the models that were trained on it."""
    found: dict[Version, list[str]] = {}
    for name in session.children(layout.MODELS):
        model = session.find(layout.model(name), layout.ModelRecord)
        if model is not None:
            found.setdefault(_version(model[0].dataset), []).append(f"model {name}")
    return found


def holders(session: Session) -> dict[Version, list[str]]:
    """Return, by version, everybody who needs it."""
    found: dict[Version, list[str]] = {}
    for part in (jobs(session), models(session), readers(session)):
        for version, who in part.items():
            found.setdefault(version, []).extend(who)
    return found


def needed_by(session: Session, name: str) -> dict[int, list[str]]:
    """Return, by version of dataset `name`, everybody who needs it."""
    return {number: who for (dataset, number), who in sorted(holders(session).items()) if dataset == name}


def _version(reference: str) -> Version:
    name, _, number = reference.partition("@")
    return name, int(number) if number.isdigit() else 0
