"""The coordinator's loop on a real keeper: one job's broken znodes keep no other, and deaths are forgiven for progress only."""

import uuid
from collections.abc import Iterator

import pytest

from muskox.coordination import Candidacy, Session, found_cluster, layout
from muskox.keeper import Keeper
from muskox.runtime.coordinator import Coordinator

SECRET = b"0123456789abcdef" * 4


@pytest.fixture
def session(keeper: Keeper) -> Iterator[Session]:
    with Session(f"zk://{keeper.hosts}/coordinator-{uuid.uuid4().hex}", SECRET).connect() as session:
        found_cluster(session, "")
        member = layout.MemberRecord(name="ann", folder_id="f", incarnation="i", address="a:1", pid=1, cores=4, fingerprint="x")
        session.create(layout.member("ann"), member, ephemeral=True)
        yield session


@pytest.fixture
def coordinator(session: Session) -> Coordinator:
    return Coordinator(session, Candidacy(session, "ann", "i", "a:1"), lambda _: [("ann",)])


def submit(session: Session, job_id: str) -> None:
    record = layout.JobRecord(kind="k", program="p", program_nodes=[], dataset="d@1", fingerprint="x")
    session.create(layout.job(job_id), record)


def assigned(session: Session) -> dict[str, int]:
    found = session.find(layout.assignment("ann"), layout.AssignmentRecord)
    return {} if found is None else found[0].jobs


def look(coordinator: Coordinator) -> None:
    for _ in range(3):
        coordinator._act()


def test_a_job_that_is_half_there_keeps_no_other_from_running(session: Session, coordinator: Coordinator) -> None:
    submit(session, "broken")
    session.create(layout.generation("broken"), layout.GenerationRecord(number=3))
    submit(session, "whole")
    look(coordinator)
    assert assigned(session) == {"whole": 1}


def test_a_job_that_was_given_up_tells_when_and_so_is_forgotten_some_day(session: Session, coordinator: Coordinator) -> None:
    submit(session, "dying")
    look(coordinator)
    for death in range(25):
        name = f"ann.i.{death}"
        session.create(layout.suspect("dying", name), layout.SuspectRecord(reporter="ann", reason="its process ended"))
        look(coordinator)
    state = session.get(layout.job_state("dying"), layout.JobState, "state")[0]
    assert state.phase is layout.JobPhase.FAILED and state.finished_ms > 0


@pytest.mark.parametrize(("rounds", "is_given_up"), [([1, 2], True), ([], True), (None, False)])
def test_deaths_are_forgiven_for_progress_and_not_for_the_same_rounds_again(
    session: Session, coordinator: Coordinator, rounds: list[int] | None, is_given_up: bool
) -> None:
    """Each life of the worker tells of `rounds`; None: of later ones each time."""
    submit(session, "dying")
    look(coordinator)
    session.create(layout.progress("dying"), layout.ProgressRecord(round=0, generation=1))
    for death in range(30):
        for round_ in [death] if rounds is None else rounds:
            session.set(layout.progress("dying"), layout.ProgressRecord(round=round_, generation=1))
            look(coordinator)
        name = f"ann.i.{death}"
        session.create(layout.suspect("dying", name), layout.SuspectRecord(reporter="ann", reason="its process ended"))
        look(coordinator)
    state = session.get(layout.job_state("dying"), layout.JobState, "state")[0]
    assert (state.phase is layout.JobPhase.FAILED) == is_given_up
