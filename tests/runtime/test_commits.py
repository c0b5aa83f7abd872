"""Checkpoints replace one another and nothing else; results are not collected on their way; who was put out shows nothing."""

import threading
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kazoo.exceptions import ConnectionLoss
from one_node_store import Stores

from muskox.coordination import Config, Refused, Session, layout, register
from muskox.errors import Unavailable
from muskox.keeper import Keeper
from muskox.records import pack
from muskox.runtime.commits import REASON_LENGTH_MAX, JobCommits
from muskox.runtime.figures import Figures
from muskox.runtime.messages import Checkpointed, Finished
from muskox.store import NodeHome

SECRET = b"s" * 64
BOUND_S = 20.0
BODY = pack({"x": 1})


class Losing(Session):
    """A session whose next commits are lost on their way to the server."""

    losses = 0

    def _commit_once(self, *arguments: Any) -> None:
        if self.losses:
            self.losses -= 1
            raise ConnectionLoss
        super()._commit_once(*arguments)


@pytest.fixture
def session(keeper: Keeper) -> Iterator[Losing]:
    with Losing(f"zk://{keeper.hosts}/commits-{uuid.uuid4().hex}", SECRET).connect() as session:
        register(session, member())
        yield session


@pytest.fixture
def stores() -> Stores:
    return Stores()


def running(session: Session, stores: Stores, job_id: str) -> JobCommits:
    """Return the commits of a job that runs in its second generation."""
    session.create(layout.job(job_id), layout.JobRecord(kind="k", program="p", program_nodes=[], dataset="d@1"))
    session.create(layout.job_state(job_id), layout.JobState(phase=layout.JobPhase.RUNNING))
    session.create(layout.generation(job_id), layout.GenerationRecord(number=0))
    for number in (1, 2):
        session.set(layout.generation(job_id), layout.GenerationRecord(number=number))
    return running_beside(session, stores, job_id)


def running_beside(session: Session, stores: Stores, job_id: str) -> JobCommits:
    """Return the commits of such a job on one more node."""
    home = NodeHome(session, stores)  # type: ignore[arg-type]
    config = Config(layout.ConfigRecord())
    node = SimpleNamespace(session=session, home=home, name="ann", config=lambda: config, figures=Figures())
    return JobCommits(node, job_id)  # type: ignore[arg-type]


def keep(commits: JobCommits, round_: int, body: bytes = BODY, generation: int = 2) -> None:
    commits.keep_checkpoint(Checkpointed(generation, round_, "digest"), body)
    for thread in threading.enumerate():
        if thread.name == "checkpoint":
            thread.join(BOUND_S)
            assert not thread.is_alive()


def checkpoint(session: Session, job_id: str) -> layout.CheckpointRecord:
    return session.get(layout.checkpoint(job_id), layout.CheckpointRecord, "checkpoint")[0]


def member() -> layout.MemberRecord:
    return layout.MemberRecord(name="ann", folder_id="f", incarnation="i", address="a:1", pid=1, cores=1, fingerprint="")


@pytest.mark.parametrize("why", ["generation passed", "cancelled"])
def test_a_result_that_was_not_committed_leaves_the_checkpoint_alone(session: Losing, stores: Stores, why: str) -> None:
    commits = running(session, stores, "j")
    keep(commits, 50)
    before = checkpoint(session, "j")
    phase = layout.JobPhase.CANCELLED if why == "cancelled" else layout.JobPhase.RUNNING
    session.set(layout.job_state("j"), layout.JobState(phase=phase))
    record = session.get(layout.job("j"), layout.JobRecord, "job")[0]
    commits.finish(record, pack({"code": 1}), Finished(1 if why == "generation passed" else 2, 60, "r"), BODY)
    assert checkpoint(session, "j") == before and before.blob in stores.blobs
    assert session.get(layout.job_state("j"), layout.JobState, "state")[0].phase is phase


def test_a_checkpoint_goes_when_the_next_one_stands_and_no_other_job_loses_the_same_state(
    session: Losing, stores: Stores
) -> None:
    ours, theirs = running(session, stores, "a"), running(session, stores, "b")
    keep(ours, 1)
    keep(theirs, 1)
    former, other = checkpoint(session, "a"), checkpoint(session, "b")
    assert former.digest == other.digest and former.blob != other.blob
    result = NodeHome(session, stores).put(BODY, 1)[0]  # type: ignore[arg-type]
    keep(ours, 2)
    assert stores.deleted == [former.blob]
    assert set(stores.blobs) == {checkpoint(session, "a").blob, other.blob, result}
    assert ours.read_checkpoint(checkpoint(session, "a")) == theirs.read_checkpoint(other) == BODY
    record = layout.JobRecord(kind="k", program="p", program_nodes=[], dataset="d@1")
    ours.finish(record, pack({"code": 1}), Finished(2, 3, "r"), BODY)
    assert session.version(layout.checkpoint("a")) is None
    assert set(stores.blobs) == {other.blob, result}
    assert session.get(layout.job_state("a"), layout.JobState, "state")[0].result_blob == result
    assert session.children(layout.UPLOADS) == []


def test_the_former_checkpoint_stays_until_the_next_one_is_known_to_stand(session: Losing, stores: Stores) -> None:
    commits = running(session, stores, "a")
    keep(commits, 1)
    former = checkpoint(session, "a")
    session.losses = 2
    keep(commits, 2)
    assert checkpoint(session, "a").round == 2 and stores.deleted == [former.blob]
    former = checkpoint(session, "a")
    keep(commits, 3, generation=1)
    assert checkpoint(session, "a") == former and former.blob in stores.blobs


def test_a_checkpoint_that_lost_its_lease_is_not_named(session: Losing, stores: Stores) -> None:
    """Its bytes may have been collected: the next checkpoint replaces the former one."""
    commits = running(session, stores, "a")
    keep(commits, 1)
    former = checkpoint(session, "a")
    stores.on_put = lambda: [session.delete(layout.upload(lease)) for lease in session.children(layout.UPLOADS)]
    keep(commits, 2)
    assert checkpoint(session, "a") == former and former.blob in stores.blobs
    stores.on_put = lambda: None
    keep(commits, 3)
    assert checkpoint(session, "a").round == 3


def test_a_job_that_is_told_to_wait_meanwhile_keeps_its_checkpoint_and_one_that_ends_does_not(
    session: Losing, stores: Stores
) -> None:
    """The coordinator says that a job waits while the last worker to go saves what it has."""
    commits = running(session, stores, "a")
    keep(commits, 1)

    def become(phase: layout.JobPhase) -> None:
        stores.on_put = lambda: session.set(layout.job_state("a"), layout.JobState(phase=phase))

    become(layout.JobPhase.WAITING)
    keep(commits, 2)
    assert checkpoint(session, "a").round == 2
    become(layout.JobPhase.CANCELLED)
    keep(commits, 3)
    assert checkpoint(session, "a").round == 2


def test_a_result_has_a_lease_until_it_is_named_and_is_put_again_if_that_is_lost(session: Losing, stores: Stores) -> None:
    commits = running(session, stores, "a")
    record = layout.JobRecord(kind="k", program="p", program_nodes=[], dataset="d@1", model="m")
    leases: list[list[str]] = []

    def lose_first() -> None:
        leases.append(session.children(layout.UPLOADS))
        if len(leases) == 1:
            session.delete(layout.upload(leases[0][0]))

    stores.on_put = lose_first
    with pytest.raises(Unavailable, match=r"its lease changed meanwhile: Check\(path='/uploads/"):
        commits.finish(record, pack({"code": 1}), Finished(2, 3, "r"), BODY)
    assert session.version(layout.model("m")) is None
    commits.finish(record, pack({"code": 1}), Finished(2, 3, "r"), BODY)
    model = session.get(layout.model("m"), layout.ModelRecord, "model")[0]
    assert (model.digest, model.program, model.lineage["code"]) == ("r", "p", "p")
    assert [len(names) for names in leases] == [1, 1] and leases[0] != leases[1]


def test_a_pace_is_told_of_the_present_generation_and_seldom(session: Losing, stores: Stores) -> None:
    commits = running(session, stores, "paced")
    commits.tell_pace(2, {"a": 1.0})
    commits.tell_pace(2, {"a": 9.0})
    found = session.find(layout.pace("paced"), layout.PaceRecord)
    assert found is not None and found[0] == layout.PaceRecord(generation=2, seconds={"a": 1.0})
    with pytest.raises(Refused):
        running(session, stores, "other").tell_pace(1, {"a": 1.0})


def test_the_last_checkpoint_is_kept_before_anything_else_is_done(session: Losing, stores: Stores) -> None:
    commits = running(session, stores, "leaving")
    for round_, is_last in ((1, False), (2, True)):
        commits.keep_checkpoint(Checkpointed(2, round_, "d"), BODY, is_last=is_last)
    found = session.find(layout.checkpoint("leaving"), layout.CheckpointRecord)
    assert found is not None and found[0].round == 2


def test_a_checkpoint_that_is_lost_is_forgotten_so_that_earlier_rounds_count_again(session: Losing, stores: Stores) -> None:
    commits, other = running(session, stores, "a"), running_beside(session, stores, "a")
    keep(commits, 50)
    version = session.version(layout.checkpoint("a"))
    assert version is not None
    commits.forget_checkpoint(2, version)
    keep(other, 3)
    assert checkpoint(session, "a").round == 3, "whichever node keeps the next"
    for generation, known in ((1, 0), (2, 7)):
        with pytest.raises(Refused):
            commits.forget_checkpoint(generation, known)


def test_the_reason_of_a_failure_has_a_bound(session: Losing, stores: Stores) -> None:
    running(session, stores, "a").fail(2, "x" * 2_000_000)
    state = session.get(layout.job_state("a"), layout.JobState, "state")[0]
    assert state.phase is layout.JobPhase.FAILED and len(state.reason) == REASON_LENGTH_MAX


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_checkpoint_that_comes_after_the_end_is_not_kept(
    session: Losing, stores: Stores, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Nobody would delete it, but a collection some day."""
    commits, done = running(session, stores, "a"), layout.JobState(phase=layout.JobPhase.DONE)
    plain = session.commit

    def commit(*arguments: Any) -> None:
        session.set(layout.job_state("a"), done)
        plain(*arguments)

    if when == "before":
        session.set(layout.job_state("a"), done)
    else:
        monkeypatch.setattr(session, "commit", commit)
    keep(commits, 2)
    assert session.version(layout.checkpoint("a")) is None and session.children(layout.UPLOADS) == []
