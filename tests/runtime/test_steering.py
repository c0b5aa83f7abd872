"""Changes of a running job: recorded once, by the present generation only; whoever wished for them learns what came of it."""

import threading
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kazoo.exceptions import ConnectionLoss

from muskox.coordination import Session, course, layout
from muskox.errors import CallerError, Unavailable
from muskox.keeper import Keeper
from muskox.runtime import change, changes_of
from muskox.runtime.figures import Figures
from muskox.runtime.messages import Adjusting, Adjustment, Recorded, Unfit
from muskox.runtime.steering import Steering

JOB = layout.JobRecord(kind="k", program="p", program_nodes=[], dataset="d@1", changes=[(3, {"rate": 0.5})])
BOUND_S = 20.0


class Losing(Session):
    """A session that loses the reply to its next commits, which go through."""

    losses = 0

    def _commit_once(self, *arguments: Any) -> None:
        super()._commit_once(*arguments)
        if self.losses:
            self.losses -= 1
            raise ConnectionLoss


@pytest.fixture
def session(keeper: Keeper) -> Iterator[Losing]:
    with Losing(f"zk://{keeper.hosts}/steering-{uuid.uuid4().hex}", b"s" * 64).connect() as session:
        session.create(layout.job("j"), JOB)
        session.create(layout.job_state("j"), layout.JobState(phase=layout.JobPhase.RUNNING))
        session.create(layout.generation("j"), layout.GenerationRecord(number=0))
        session.set(layout.generation("j"), layout.GenerationRecord(number=1))
        yield session


def steering(session: Session) -> Steering:
    return Steering(SimpleNamespace(session=session, figures=Figures()), "j")  # type: ignore[arg-type]


def wish(session: Session, request: str, **values: float) -> None:
    session.create(layout.wishes("j"))
    session.create(layout.wish("j", request), course.WishRecord(values=values))


def decided(wishes: list[Adjustment], round_: int) -> list[Adjustment]:
    return [Adjustment(wished.request, round_, wished.values) for wished in wishes]


def ignore(_: Any) -> None:
    pass


def record(ours: Steering, message: Adjusting) -> Recorded | None:
    """Return the answer, or None."""
    answers: list[Recorded] = []
    ours.record(message, answers.append)
    return answers[0] if answers else None


def test_a_wish_becomes_a_recorded_change_and_is_gone(session: Losing) -> None:
    ours = steering(session)
    wish(session, "1", rate=0.25)
    wish(session, "2", max_rounds=9)
    told = ours.news(1, ignore)
    assert told is not None and [wished.request for wished in told.changes] == ["1", "2"]
    assert ours.news(1, ignore) is None, "told once"
    recorded = record(ours, Adjusting(1, 7, decided(told.changes, 7)))
    assert recorded is not None and [change.values for change in recorded.changes] == [{"rate": 0.25}, {"max_rounds": 9}]
    assert session.children(layout.wishes("j")) == []
    assert changes_of(session, "j", JOB) == [(3, {"rate": 0.5}), (7, {"rate": 0.25}), (7, {"max_rounds": 9})]
    assert [(change.request, change.round) for change in ours.recorded(JOB)] == [("given-0", 3), ("1", 7), ("2", 7)]


def test_a_lost_reply_records_a_change_once(session: Losing) -> None:
    ours = steering(session)
    wish(session, "1", rate=0.25)
    session.losses = 1
    message = Adjusting(1, 7, [Adjustment("1", 7, {"rate": 0.25})])
    assert record(ours, message) == record(ours, message)
    assert [change.request for change in ours.recorded(JOB)] == ["given-0", "1"]


def test_a_generation_that_has_passed_records_nothing(session: Losing) -> None:
    ours = steering(session)
    wish(session, "1", rate=0.25)
    session.set(layout.generation("j"), layout.GenerationRecord(number=2))
    assert record(ours, Adjusting(1, 7, [Adjustment("1", 7, {"rate": 0.25})])) is None
    assert session.children(layout.wishes("j")) == ["1"], "the next generation's root takes it"
    again = ours.news(2, ignore)
    assert again is not None and again.generation == 2


def test_a_refusal_of_a_wish_that_was_withdrawn_is_told_to_nobody(session: Losing) -> None:
    steering(session).refuse(Unfit(1, "1", "rate=-1: it must be above 0"))
    assert session.version(layout.changes("j")) is None


def test_a_round_that_a_checkpoint_is_past_takes_no_change_and_the_wish_stays(session: Losing) -> None:
    ours = steering(session)
    wish(session, "1", rate=0.25)
    session.create(layout.checkpoint("j"), layout.CheckpointRecord(round=7, digest="d", blob="b", nodes=[]))
    told = ours.news(1, ignore)
    assert told is not None
    recorded = record(ours, Adjusting(1, 7, decided(told.changes, 7)))
    assert recorded is not None and recorded.changes == []
    assert ours.news(1, ignore) == told, "to be asked for again"
    recorded = record(ours, Adjusting(1, 8, decided(told.changes, 8)))
    assert recorded is not None and [change.round for change in recorded.changes] == [8]


def test_a_wish_that_was_withdrawn_is_not_recorded(session: Losing) -> None:
    ours = steering(session)
    wish(session, "1", rate=0.25)
    session.delete(layout.wish("j", "1"))
    recorded = record(ours, Adjusting(1, 7, [Adjustment("1", 7, {"rate": 0.25})]))
    assert recorded is not None and recorded.changes == []
    assert changes_of(session, "j", JOB) == JOB.changes


def test_changes_of_a_job_are_bounded(session: Losing) -> None:
    made = [course.Change(round=1, values={}, request=str(number)) for number in range(course.CHANGES_MAX)]
    session.create(layout.changes("j"), course.ChangesRecord(changes=made))
    wish(session, "x", rate=0.25)
    recorded = record(steering(session), Adjusting(1, 7, [Adjustment("x", 7, {"rate": 0.25})]))
    assert recorded is not None and recorded.changes == []
    refused = session.get(layout.changes("j"), course.ChangesRecord, "changes")[0].refused
    assert refused == {"x": "a job takes at most 1000 changes"} and session.children(layout.wishes("j")) == []


def take_wish(session: Session, answer: Any) -> threading.Thread:
    """Answer the next wish, as the root's node does."""

    def run() -> None:
        came = threading.Event()
        while not (wishes := session.children(layout.wishes("j"), lambda _: came.set())):
            assert came.wait(BOUND_S)
            came.clear()
        answer(steering(session), wishes[0])

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_whoever_asks_for_a_change_learns_its_round(session: Losing) -> None:
    def take(ours: Steering, request: str) -> None:
        record(ours, Adjusting(1, 12, [Adjustment(request, 12, {"rate": 0.1})]))

    taker = take_wish(session, take)
    assert change(session, "j", {"rate": 0.1}) == 12
    taker.join()
    assert changes_of(session, "j", JOB)[-1] == (12, {"rate": 0.1})


def test_whoever_asks_for_what_cannot_be_learns_why(session: Losing) -> None:
    taker = take_wish(session, lambda ours, request: ours.refuse(Unfit(1, request, "rate=-1: it must be above 0")))
    with pytest.raises(CallerError, match="rate=-1: it must be above 0"):
        change(session, "j", {"rate": -1.0})
    taker.join()
    assert session.children(layout.wishes("j")) == []


def test_a_change_that_nobody_takes_is_withdrawn(session: Losing) -> None:
    session.set(layout.job_state("j"), layout.JobState(phase=layout.JobPhase.WAITING, reason="no node is free"))
    with pytest.raises(Unavailable, match=r"job j is waiting \(no node is free\) and took no change within 0 s: nothing has"):
        change(session, "j", {"rate": 0.1}, timeout_s=0.0)
    assert session.children(layout.wishes("j")) == []


def test_a_job_that_is_over_changes_no_more(session: Losing) -> None:
    session.set(layout.job_state("j"), layout.JobState(phase=layout.JobPhase.DONE))
    with pytest.raises(CallerError, match="job j is done: nothing of it can change any more"):
        change(session, "j", {"rate": 0.1})
    with pytest.raises(CallerError, match="there is no job 'nope'"):
        change(session, "nope", {"rate": 0.1})
    with pytest.raises(CallerError, match="rate=nan: a change gives parameters finite numbers"):
        change(session, "j", {"rate": float("nan")})
