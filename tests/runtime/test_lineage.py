"""Beside a model lies where it comes from, and all that it takes to make it again."""

import uuid
from collections.abc import Iterator

import pytest

from muskox import __version__
from muskox.coordination import Session, course, layout
from muskox.keeper import Keeper
from muskox.runtime.lineage import model_record

JOB = layout.JobRecord(
    kind="train",
    program="p",
    program_nodes=["ann"],
    dataset="d@3",
    columns=["x", "y"],
    fingerprint="f",
    user="eve",
    rounds_max=7,
    model="m",
    lineage={"target": "y"},
    changes=[(9, {"rate": 0.5})],
    submitted_ms=1,
)
DONE = layout.JobState(phase=layout.JobPhase.DONE, rounds=12, result="r", result_blob="b", result_nodes=["bob"], finished_ms=9)


@pytest.fixture
def session(keeper: Keeper) -> Iterator[Session]:
    with Session(f"zk://{keeper.hosts}/lineage-{uuid.uuid4().hex}", b"s" * 64).connect() as session:
        yield session


def test_a_model_tells_of_its_data_code_changes_and_deaths(session: Session) -> None:
    session.create(layout.job("j"), JOB)
    past = course.PastGeneration(number=1, formed_ms=2, workers=2, reason="a joined")
    death = course.Death(worker="a.1", node="a", generation=1, at_ms=3, reason="its process ended")
    gone_through = course.CourseRecord().after(past, []).after(past, [death])
    session.create(layout.generation("j"), layout.GenerationRecord(number=2, course=gone_through))
    change = course.Change(round=4, values={"rate": 0.25}, request="q")
    session.create(layout.changes("j"), course.ChangesRecord(changes=[change]))
    program = {"program": "muskox.learn:X", "parameters": {}}
    model = model_record(session, "j", JOB, DONE, program, {"kind": "logistic", "loss": 0.5})
    assert (model.digest, model.blob, model.nodes, model.kind, model.rounds) == ("r", "b", ["bob"], "logistic", 12)
    assert model.metrics == {"loss": 0.5}
    assert (
        model.lineage.items()
        >= {
            "target": "y",
            "program": "muskox.learn:X",
            "muskox": __version__,
            "fingerprint": "f",
            "user": "eve",
            "changes": [{"round": 4, "values": {"rate": 0.25}}, {"round": 9, "values": {"rate": 0.5}}],
            "started_ms": 2,
            "generations": 2,
            "deaths_total": 1,
        }.items()
    )
    assert [told["reason"] for told in model.lineage["deaths"]] == ["its process ended"]


def test_a_model_holds_what_it_takes_to_make_it_again(session: Session) -> None:
    model = model_record(session, "gone", JOB, DONE, {"code": b"", "python": "3.11"}, {})
    assert (model.program, model.program_nodes, model.dataset, model.columns) == ("p", ["ann"], "d@3", ["x", "y"])
    assert (model.fingerprint, model.rounds_max, model.parallelism) == ("f", 7, "data")
    assert model.changes == [(9, {"rate": 0.5})]
    assert (model.lineage["code"], model.lineage["python"]) == ("p", "3.11")
