"""Whoever follows a job hears of its rounds from wherever its root is, also when a node stops without a word."""

import threading
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from muskox.coordination import Session, layout
from muskox.errors import CallerError
from muskox.keeper import Keeper
from muskox.program import RoundReport
from muskox.runtime import follow
from muskox.runtime.progress import ProgressLog

JOB = "fit-1"


@pytest.fixture
def session(keeper: Keeper) -> Iterator[Session]:
    with Session(f"zk://{keeper.hosts}/following-{uuid.uuid4().hex}", b"0123456789abcdef" * 4).connect() as session:
        yield session


class Nodes:
    """Nodes that stream what was told on them; a stopped one says nothing at all until it is let go on."""

    def __init__(self, *names: str) -> None:
        self.logs = {name: ProgressLog() for name in names}
        self.stopped = dict.fromkeys(names, False)
        self.go_on = threading.Event()

    def stream(self, address: str, name: str, argument: bytes) -> Iterator[Any]:
        assert name == "progress"
        for batch in self.logs[address].stream(argument):
            if self.stopped[address]:
                self.go_on.wait()
            yield batch


def form(session: Session, number: int, node: str) -> None:
    members = [layout.GenerationMember(worker=f"{node}.i.{number}", node=node, address="", pid=1, shards="0")]
    record = layout.GenerationRecord(number=number, members=members)
    if session.create(layout.generation(JOB), record) is None:
        session.set(layout.generation(JOB), record)


def submitted(session: Session) -> None:
    session.create(
        layout.job(JOB), layout.JobRecord(kind="fit", program="", program_nodes=[], dataset="flights@1", submitted_ms=1)
    )
    session.create(layout.job_state(JOB), layout.JobState(phase=layout.JobPhase.RUNNING))


def test_a_follower_goes_on_elsewhere_when_the_root_moves_from_a_node_that_stopped(session: Session) -> None:
    submitted(session)
    nodes = Nodes("ann", "bob")
    home: Any = SimpleNamespace(session=session, client=nodes, directory=SimpleNamespace(address=str))
    nodes.logs["ann"].add(JOB, RoundReport(1, {}, 1))
    form(session, 1, "ann")
    heard = []
    for report in follow(home, JOB):
        heard.append((report.round, report.generation))
        if report.round == 1:
            nodes.stopped["ann"] = True  # it breaks no connection, and never tells again
            nodes.logs["bob"].add(JOB, RoundReport(2, {}, 2))
            form(session, 2, "bob")
        else:
            session.set(layout.job_state(JOB), layout.JobState(phase=layout.JobPhase.DONE, rounds=2))
            nodes.logs["bob"].close(JOB)
    nodes.go_on.set()
    assert heard == [(1, 1), (2, 2)]


def test_a_follower_hears_of_rounds_while_the_keeper_is_away() -> None:
    with Keeper() as keeper, Session(f"zk://{keeper.hosts}/away", b"0123456789abcdef" * 4).connect() as session:
        submitted(session)
        nodes = Nodes("ann")
        home: Any = SimpleNamespace(session=session, client=nodes, directory=SimpleNamespace(address=str))
        form(session, 1, "ann")
        nodes.logs["ann"].add(JOB, RoundReport(1, {}, 1))
        heard = follow(home, JOB)
        assert next(heard).round == 1
        away = threading.Event()
        session.on_state(lambda state: None if state == "CONNECTED" else away.set())
        keeper.kill()
        assert away.wait(20)
        for number in (2, 3, 4):
            nodes.logs["ann"].add(JOB, RoundReport(number, {}, 1))
            assert next(heard).round == number
        heard.close()  # type: ignore[attr-defined]


def test_following_a_job_that_is_not_there_is_the_callers_fault(session: Session) -> None:
    with pytest.raises(CallerError, match="fit-1"):
        list(follow(SimpleNamespace(session=session), JOB))  # type: ignore[arg-type]
