"""Who needs a dataset version: readers, jobs that are not over, models that came of it. What anybody holds is not collected.

A reader's hold is an ephemeral znode: it goes with its session. Jobs and models hold by naming the version in their records.
"""

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
        _let_go(session, path)


def hold_while_alive(owner: object, session: Session, name: str, version: int) -> None:
    """Hold a version until `owner` is garbage, or the session ends; raises as :func:`reading` does."""
    weakref.finalize(owner, _let_go, session, _take(session, name, version)).atexit = False


def _let_go(session: Session, path: str) -> None:
    """Have the znode deleted soon, and wait for nothing: a reader ends while ZooKeeper is away, or as garbage, at any place.

    Should the order be lost with the connection, the znode goes with its session.
    """
    session.kazoo.delete_async(path)


def _take(session: Session, name: str, version: int) -> str:
    path = session.create(
        layout.hold(f"{name}@{version}-"), stored.HoldRecord(dataset=name, version=version), ephemeral=True, sequence=True
    )
    assert path is not None, "a sequential name is new"
    if session.version(layout.version(name, version)) is None:
        session.delete(path)
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
