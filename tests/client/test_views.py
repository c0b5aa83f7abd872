"""What scripts are shown: the records of ZooKeeper as plain dictionaries, the same for Python and --json."""

import json
import uuid
from collections.abc import Iterator

import pytest

from muskox.client import views
from muskox.coordination import Session, course, found_cluster, layout, register, stored
from muskox.errors import CallerError
from muskox.keeper import Keeper
from muskox.store import DatasetInfo

SECRET = b"0123456789abcdef" * 4
JOB = layout.JobRecord(kind="logistic", program="p", program_nodes=[], dataset="flights@1", model="late", submitted_ms=1_000)


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    with Keeper() as keeper:
        yield keeper


@pytest.fixture
def session(keeper: Keeper) -> Iterator[Session]:
    with Session(f"zk://{keeper.hosts}/views-{uuid.uuid4().hex}", SECRET).connect() as session:
        yield session


def begin(session: Session, job_id: str, phase: layout.JobPhase, **changes: object) -> None:
    session.create(layout.job(job_id), JOB)
    session.create(layout.job_state(job_id), layout.JobState(phase=phase, **changes))  # type: ignore[arg-type]
    member = layout.GenerationMember(worker="w", node="ann", address="h:1", pid=7, shards="0-3")
    session.create(layout.generation(job_id), layout.GenerationRecord(number=2, members=[member], reason="w joined"))
    session.create(layout.progress(job_id), layout.ProgressRecord(round=9, generation=2, metrics={"loss": 0.5}))


def test_a_job_that_nobody_has_seen_waits(session: Session) -> None:
    session.create(layout.job("job-1"), JOB)
    view = views.job(session, "job-1")
    assert (view["state"], view["round"], view["generation"], view["workers"]) == ("waiting", 0, 0, [])
    assert (view["model"], view["dataset"], view["submitted"], view["finished"]) == (
        "late",
        "flights@1",
        "1970-01-01T00:00:01+00:00",
        "",
    )


def test_a_running_job_shows_its_round_and_who_works_for_it(session: Session) -> None:
    begin(session, "job-1", layout.JobPhase.RUNNING, reason="w joined")
    view = views.job(session, "job-1")
    assert (view["state"], view["round"], view["generation"], view["metrics"]) == ("running", 9, 2, {"loss": 0.5})
    assert view["workers"] == [{"node": "ann", "pid": 7, "shards": "0-3"}]
    assert (view["parallelism"], view["workers_min"], view["workers_max"], view["priority"]) == ("data", 1, 0, 0)
    assert view["asks"] == {"cores": 1.0, "memory_bytes": 0, "gpus": 0}


def test_a_job_tells_what_it_went_through(session: Session) -> None:
    begin(session, "job-1", layout.JobPhase.RUNNING)
    first = course.PastGeneration(number=1, formed_ms=1_000, workers=2, reason="a joined")
    death = course.Death(worker="a.1", node="a", generation=1, at_ms=2_000, reason="its process ended")
    record = layout.GenerationRecord(number=1, course=course.CourseRecord().after(first, []))
    second = course.PastGeneration(number=2, formed_ms=2_000, workers=1, reason="a was reported")
    session.set(layout.generation("job-1"), layout.GenerationRecord(number=2, course=record.course.after(second, [death])))
    view = views.job(session, "job-1")
    assert [(past["number"], past["workers"], past["reason"]) for past in view["generations"]] == [
        (1, 2, "a joined"),
        (2, 1, "a was reported"),
    ]
    assert view["deaths"] == [
        {"worker": "a.1", "node": "a", "generation": 1, "at": "1970-01-01T00:00:02+00:00", "reason": "its process ended"}
    ]
    assert view["deaths_total"] == 1


def test_a_finished_job_shows_its_digest_and_no_workers(session: Session) -> None:
    begin(session, "job-1", layout.JobPhase.DONE, rounds=12, result="abc", finished_ms=2_000)
    view = views.job(session, "job-1")
    assert (view["state"], view["round"], view["digest"], view["workers"]) == ("done", 12, "abc", [])
    assert view["finished"] == "1970-01-01T00:00:02+00:00"


def test_there_is_no_such_job(session: Session) -> None:
    with pytest.raises(CallerError, match="there is no job 'job-9'; `muskox jobs` lists them"):
        views.job(session, "job-9")


def test_the_status_names_what_can_be_killed(session: Session) -> None:
    for number, name in enumerate(("ann", "bob")):
        record = layout.MemberRecord(
            name=name, folder_id=name, incarnation=f"i-{name}", address=f"h:{number}", pid=number, cores=2, fingerprint=""
        )
        register(session, record)
    found_cluster(session)
    session.set(layout.FENCE, layout.FenceRecord(coordinator="bob", incarnation="i-bob"))
    begin(session, "job-1", layout.JobPhase.RUNNING)
    begin(session, "job-2", layout.JobPhase.DONE)
    status = views.status(session, 42)
    assert json.loads(json.dumps(status)) == status
    assert (status["zk"], status["keeper"]) == (str(session.address), {"pid": 42})
    assert [(node["name"], node["pid"], node["address"], node["coordinator"]) for node in status["nodes"]] == [
        ("ann", 0, "h:0", False),
        ("bob", 1, "h:1", True),
    ]
    assert [job["id"] for job in status["jobs"]] == ["job-1"]
    assert set(status["jobs"][0]) >= {"id", "state", "round", "generation", "workers"}


def test_a_dataset_and_a_model_are_shown_with_their_digests() -> None:
    version = stored.VersionRecord(
        manifest="m", digest="abc", rows=7, shards=3, bytes=9, replicas=2, by="rows", created_ms=0, upload="u"
    )
    shown = views.dataset(DatasetInfo("flights", 4, (1, 4), version))
    assert (shown["name"], shown["version"], shown["rows"], shown["digest"], shown["created"]) == ("flights", 4, 7, "abc", "")
    record = layout.ModelRecord(digest="d", blob="b", nodes=[], kind="logistic", dataset="flights@4", rounds=3, job="job-1")
    assert views.model("late", record).items() >= {"name": "late", "digest": "d", "dataset": "flights@4", "rounds": 3}.items()
