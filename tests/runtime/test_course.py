"""What a job went through: who was lost and why, and a record that does not grow without end."""

import uuid
from collections.abc import Iterator

import pytest

from muskox.coordination import Session, course, layout
from muskox.keeper import Keeper
from muskox.runtime.course import with_course

SECRET = b"0123456789abcdef" * 4


@pytest.fixture
def session(keeper: Keeper) -> Iterator[Session]:
    with Session(f"zk://{keeper.hosts}/course-{uuid.uuid4().hex}", SECRET).connect() as session:
        yield session


def of(number: int, *workers: str, reason: str = "") -> layout.GenerationRecord:
    members = [
        layout.GenerationMember(worker=worker, node=worker.partition(".")[0], address="h:1", pid=1, shards="0")
        for worker in workers
    ]
    return layout.GenerationRecord(number=number, members=members, reason=reason)


def test_a_reported_worker_and_a_lost_node_are_deaths_and_one_that_was_let_go_is_none(session: Session) -> None:
    session.create(layout.job("j"))
    session.create(layout.suspects("j"))
    session.create(layout.member("ann"))
    session.create(layout.suspect("j", "ann.1"), layout.SuspectRecord(reporter="ann", reason="its process ended"))
    session.create(layout.generation("j"), with_course(session, "j", of(1, "ann.1", "ann.2", "ann.3", "bob.1", reason="new")))
    told = with_course(session, "j", of(2, "ann.2", reason="three less"))
    assert [(death.worker, death.generation, death.reason) for death in told.course.deaths] == [
        ("ann.1", 1, "its process ended"),
        ("bob.1", 1, "its node is gone"),
    ]
    assert [(past.number, past.workers, past.reason) for past in told.course.generations] == [
        (1, 4, "new"),
        (2, 1, "three less"),
    ]
    assert told.course.deaths_total == 2


def test_what_is_kept_of_a_long_job_is_bounded_and_the_deaths_are_all_counted() -> None:
    record = course.CourseRecord()
    for number in range(1, 500):
        past = course.PastGeneration(number=number, formed_ms=1, workers=9, reason="x" * course.REASON_LENGTH_MAX)
        death = course.Death(worker=f"w.{number}", node="w", generation=number, at_ms=1, reason="x" * course.REASON_LENGTH_MAX)
        record = record.after(past, [death])
    assert record.generations[-1].number == record.deaths[-1].generation == record.deaths_total == 499
    assert (len(record.generations), len(record.deaths)) == (course.GENERATIONS_KEPT, course.DEATHS_KEPT)
    assert len(layout.encode(record)) < 50_000
