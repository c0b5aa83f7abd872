"""Jobs as a client sees them: submitted once, followed to the end, cancelled at any point, their failure a sentence."""

import hashlib
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from kazoo.exceptions import ConnectionLoss

from muskox.coordination import Session, layout, register
from muskox.errors import CallerError, Unavailable
from muskox.keeper import Keeper
from muskox.learn import LogisticRegression
from muskox.program import resolve
from muskox.records import pack, unpack
from muskox.runtime import JobSpec, cancel, job_state, program_record, result, submit, wait
from muskox.runtime.jobs import usual_fingerprint
from muskox.store import NodeHome

SECRET = b"0123456789abcdef" * 4
BOUND_S = 20.0
SPEC = JobSpec(kind="rounds", program={"n": 1}, dataset="flights@1", workers=2, lineage={"by": "test"})


class FakeStores:
    """Blobs by digest, whichever node they were put on."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def put_blob(self, address: str, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return digest

    def get_blob(self, addresses: list[str], digest: str) -> bytes:
        if not list(addresses):
            raise Unavailable(f"no node can give blob {digest}")
        return self.blobs[digest]


@pytest.fixture
def session(keeper: Keeper) -> Iterator[Session]:
    with Session(f"zk://{keeper.hosts}/jobs-{uuid.uuid4().hex}", SECRET).connect() as session:
        yield session


@pytest.fixture
def stores() -> Any:
    return FakeStores()


def member(name: str, fingerprint: str = "x86") -> layout.MemberRecord:
    return layout.MemberRecord(
        name=name, folder_id=name, incarnation="i", address=f"{name}:1", pid=1, cores=1, fingerprint=fingerprint
    )


@pytest.fixture
def job_id(session: Session, stores: Any) -> str:
    register(session, member("ann"))
    register(session, member("bob"))
    return submit(NodeHome(session, stores), SPEC)


def admit(session: Session, job_id: str, **changes: Any) -> None:
    session.create(layout.job_state(job_id), layout.JobState(phase=layout.JobPhase.RUNNING, **changes))


def finish(session: Session, job_id: str, phase: layout.JobPhase, **changes: Any) -> None:
    session.set(layout.job_state(job_id), layout.JobState(phase=phase, **changes))


def test_a_job_is_one_znode_and_its_program_lies_on_the_nodes(session: Session, stores: Any, job_id: str) -> None:
    record, version = session.get(layout.job(job_id), layout.JobRecord, "job")
    assert job_id.startswith("rounds-") and version == 0
    assert (record.dataset, record.workers, record.fingerprint, record.lineage) == ("flights@1", 2, "x86", {"by": "test"})
    assert sorted(record.program_nodes) == ["ann", "bob"]
    assert unpack(stores.blobs[record.program]) == {"n": 1}
    state = job_state(session, job_id)
    assert (state.phase, state.reason) == ("waiting", "no coordinator has seen it yet")


@pytest.mark.parametrize(("losses", "is_submitted"), [(1, True), (2, True), (3, False)])
def test_a_program_is_put_again_if_its_lease_is_lost(session: Session, losses: int, is_submitted: bool) -> None:
    register(session, member("ann"))
    leases: list[str] = []

    class Losing(FakeStores):
        def put_blob(self, address: str, data: bytes) -> str:
            (lease,) = session.children(layout.UPLOADS)
            leases.append(lease)
            if len(leases) <= losses:
                session.delete(layout.upload(lease))
            return super().put_blob(address, data)

    home = NodeHome(session, Losing())  # type: ignore[arg-type]
    if is_submitted:
        assert session.children(layout.JOBS) == [] and session.version(layout.job(submit(home, SPEC))) == 0
    else:
        with pytest.raises(Unavailable, match="was lost 3 times while the job was submitted: try again"):
            submit(home, SPEC)
        assert session.children(layout.JOBS) == []
    assert len(set(leases)) == min(losses + 1, 3)
    assert session.children(layout.UPLOADS) == []


def test_a_cluster_without_nodes_takes_no_job(session: Session, stores: Any) -> None:
    with pytest.raises(Unavailable, match="has no live node: start one with `muskox up` or `muskox node`"):
        submit(NodeHome(session, stores), SPEC)
    assert session.children(layout.JOBS) == []


def test_a_model_has_a_name_by_the_rule(session: Session, stores: Any, job_id: str) -> None:
    with pytest.raises(CallerError, match="model name 'a/b' is not valid"):
        submit(NodeHome(session, stores), replace(SPEC, model="a/b"))
    assert session.children(layout.JOBS) == [job_id]


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        ({"workers_min": 3}, "workers_min must lie between 0 and workers, which is 2, not be 3"),
        ({"cores": 0.0}, "cores of a worker must be more than 0"),
        ({"memory_bytes": -1}, "memory and gpus of a worker must be 0 or more"),
        ({"priority": 1001}, "priority must lie between -1000 and 1000"),
        ({"audit": 1.5}, "audit must be a share from 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    session: Session, stores: Any, job_id: str, asked: dict[str, Any], rule: str
) -> None:
    with pytest.raises(CallerError, match=rule):
        submit(NodeHome(session, stores), replace(SPEC, **asked))
    assert session.children(layout.JOBS) == [job_id]


def test_a_job_says_what_it_takes_and_whose_it_is(
    session: Session, stores: Any, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSKOX_USER", "ann")
    asking = replace(SPEC, workers_min=1, cores=0.5, memory_bytes=7, gpus=1, priority=-2, audit=0.01, changes=[(3, {"a": 2.0})])
    record, _ = session.get(layout.job(submit(NodeHome(session, stores), asking)), layout.JobRecord, "the job")
    assert (record.workers_min, record.cores, record.memory_bytes, record.gpus) == (1, 0.5, 7, 1)
    assert (record.priority, record.user, record.audit, record.changes) == (-2, "ann", 0.01, [(3, {"a": 2.0})])


def test_a_job_that_is_not_there_is_the_callers_fault(session: Session) -> None:
    for ask in (job_state, cancel):
        with pytest.raises(CallerError, match="there is no job 'nothing'; `muskox jobs` lists them"):
            ask(session, "nothing")


def test_waiting_ends_when_the_job_does(session: Session, job_id: str) -> None:
    states: list[layout.JobState] = []
    waiter = threading.Thread(target=lambda: states.append(wait(session, job_id)))
    waiter.start()
    admit(session, job_id)
    finish(session, job_id, layout.JobPhase.DONE, rounds=7)
    waiter.join(BOUND_S)
    assert [(state.phase, state.rounds) for state in states] == [("done", 7)]


@pytest.mark.parametrize("admitted", [False, True])
def test_a_job_is_cancelled_once(session: Session, job_id: str, admitted: bool) -> None:
    if admitted:
        admit(session, job_id)
    assert cancel(session, job_id)
    assert not cancel(session, job_id)
    assert wait(session, job_id).phase == "cancelled"


def test_a_cancellation_that_was_lost_on_its_way_is_tried_again(session: Session, job_id: str) -> None:
    admit(session, job_id)

    class Losing(Session):
        losses = 1

        def _commit_once(self, *arguments: Any) -> None:
            if self.losses:
                self.losses -= 1
                raise ConnectionLoss
            super()._commit_once(*arguments)

    with Losing(str(session.address), SECRET).connect() as losing:
        assert cancel(losing, job_id)
    assert job_state(session, job_id).phase == "cancelled"


def test_a_job_that_ends_while_it_is_being_cancelled_stays_done(session: Session, job_id: str) -> None:
    """Whether it is over is asked of the very record that is written over."""
    done = layout.JobState(phase=layout.JobPhase.DONE, result="r")
    session.create(layout.job_state(job_id), layout.JobState(phase=layout.JobPhase.RUNNING))

    class Late(Session):
        reads = 0

        def find(self, path: str, *arguments: Any) -> Any:
            found = super().find(path, *arguments)
            self.reads += path == layout.job_state(job_id)
            if self.reads == 1:
                session.set(layout.job_state(job_id), done)
            return found

    with Late(str(session.address), SECRET).connect() as late:
        assert not cancel(late, job_id)
    assert job_state(session, job_id) == done


def test_who_waits_for_a_job_that_was_forgotten_is_told(session: Session, job_id: str) -> None:
    session.delete(layout.job(job_id), recursive=True)
    with pytest.raises(CallerError, match="there is no job"):
        wait(session, job_id)


def test_a_finished_job_cannot_be_cancelled(session: Session, job_id: str) -> None:
    admit(session, job_id)
    finish(session, job_id, layout.JobPhase.DONE)
    assert not cancel(session, job_id)
    assert job_state(session, job_id).phase == "done"


def test_the_result_of_a_finished_job_is_read_from_its_nodes(session: Session, stores: Any, job_id: str) -> None:
    blob = stores.put_blob("ann:1", pack({"coef": np.array([1.0])}))
    done = layout.JobState(phase=layout.JobPhase.DONE, result_blob=blob, result_nodes=["gone", "ann"])
    assert result(NodeHome(session, stores), job_id, done)["coef"].tolist() == [1.0]
    with pytest.raises(Unavailable, match="no node can give blob"):
        result(NodeHome(session, stores), job_id, msgspec.structs.replace(done, result_nodes=["gone"]))


@pytest.mark.parametrize(
    ("phase", "complaint"),
    [("failed", "^the target has one class$"), ("cancelled", "was cancelled"), ("running", "is running: it has no result yet")],
)
def test_a_job_without_a_result_says_why(session: Session, stores: Any, phase: str, complaint: str) -> None:
    state = layout.JobState(phase=layout.JobPhase(phase), reason="the target has one class")
    with pytest.raises(CallerError, match=complaint):
        result(NodeHome(session, stores), "job-1", state)


def test_the_usual_fingerprint_is_that_of_most_nodes_and_of_equals_the_first() -> None:
    def usual(*prints: str) -> str:
        return usual_fingerprint({str(number): member(str(number), text) for number, text in enumerate(prints)})

    assert usual("b", "a", "b") == "b"
    assert usual("b", "a") == usual("a", "b") == "a"


def test_a_program_of_ours_travels_by_name() -> None:
    program = LogisticRegression(max_rounds=5).program("late")
    record = program_record(program)
    assert record["program"].startswith("muskox.learn.")
    assert resolve(unpack(pack(record))) == program


def test_a_users_program_takes_its_module_along_and_those_that_it_uses(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import cloudpickle

    lines = ("from helper_of_a_user import helper", "def initial(manifest):", "    return {'n': helper()}", "")
    (tmp_path / "algorithm_of_a_user.py").write_text("\n".join(lines))
    (tmp_path / "helper_of_a_user.py").write_text("def helper():\n    return 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    import algorithm_of_a_user  # type: ignore[import-not-found]

    from muskox.client.user_program import UserProgram

    function: Callable[..., Any] = algorithm_of_a_user.initial
    code = program_record(UserProgram(function, function, function, function))["code"].tobytes()
    import sys

    monkeypatch.delitem(sys.modules, "algorithm_of_a_user")
    monkeypatch.delitem(sys.modules, "helper_of_a_user")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(tmp_path)])
    assert cloudpickle.loads(code).initial(None) == {"n": 7}
