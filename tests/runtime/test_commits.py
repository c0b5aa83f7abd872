"""A root that was put out, or whose job was cancelled, shows nothing and deletes nothing."""

import hashlib
from types import SimpleNamespace

import pytest

from muskox.coordination import Config, Session, layout, register
from muskox.keeper import Keeper
from muskox.records import pack
from muskox.runtime.commits import JobCommits
from muskox.runtime.messages import Finished
from muskox.store import NodeHome


class Stores:
    """A fake of the store's client: takes every blob, and remembers what was deleted."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def put_blob(self, address: str, data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    def clock_ns(self, address: str) -> int:
        return 0

    def delete(self, address: str, digests: list[str], unless_newer_than_ns: int) -> None:
        self.deleted += digests


def member() -> layout.MemberRecord:
    return layout.MemberRecord(name="ann", folder_id="f", incarnation="i", address="a:1", pid=1, cores=1, fingerprint="")


@pytest.mark.parametrize("why", ["generation passed", "cancelled"])
def test_a_result_that_was_not_committed_leaves_the_checkpoint_alone(why: str) -> None:
    with Keeper() as keeper, Session(f"zk://{keeper.hosts}/c", b"s" * 64).connect() as session:
        register(session, member())
        record = layout.JobRecord(kind="k", program="p", program_nodes=[], dataset="d@1")
        session.create(layout.job("j"), record)
        phase = layout.JobPhase.CANCELLED if why == "cancelled" else layout.JobPhase.RUNNING
        session.create(layout.job_state("j"), layout.JobState(phase=phase))
        session.create(layout.generation("j"), layout.GenerationRecord(number=0))
        for number in (1, 2):
            session.set(layout.generation("j"), layout.GenerationRecord(number=number))
        session.create(layout.checkpoint("j"), layout.CheckpointRecord(round=50, digest="d", blob="b", nodes=["ann"]))
        stores = Stores()
        node = SimpleNamespace(
            session=session, home=NodeHome(session, stores), name="ann", config=lambda: Config(layout.ConfigRecord())
        )
        finished = Finished(1 if why == "generation passed" else 2, 60, "r")
        JobCommits(node, "j").finish(record, pack({"code": 1}), finished, pack({"x": 1}))
        assert session.version(layout.checkpoint("j")) is not None
        assert stores.deleted == []
        assert session.get(layout.job_state("j"), layout.JobState, "state")[0].phase is phase
