"""Draining: who may be drained, what it says where too few others are live, and how much lies where."""

import uuid
from collections.abc import Iterator

import pytest

from muskox.coordination import Session, layout, register, stored
from muskox.errors import CallerError
from muskox.keeper import Keeper
from muskox.store.care.drains import count_units, drain, undrain
from muskox.store.placement.holders import Holders, encode_holders

SECRET = b"0123456789abcdef" * 4


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    with Keeper() as keeper:
        yield keeper


@pytest.fixture
def session(keeper: Keeper) -> Iterator[Session]:
    with Session(f"zk://{keeper.hosts}/drains-{uuid.uuid4().hex}", SECRET).connect() as session:
        yield session


def join(session: Session, *names: str) -> None:
    for name in names:
        register(
            session,
            layout.MemberRecord(
                name=name, folder_id=name, incarnation=name, address="h:1", pid=1, cores=1, fingerprint="", disk_bytes=1
            ),
        )


def keep(session: Session, *groups: tuple[tuple[str, ...], ...], replicas: int = 2) -> None:
    """Write down a dataset with these holders, by column group and run of one shard; its manifest lies on ann."""
    shards = len(groups[0])
    session.create(layout.dataset("d"), stored.DatasetRecord(latest=1))
    record = stored.VersionRecord(
        manifest="m", digest="", rows=1, shards=shards, bytes=1, replicas=replicas, by="rows", created_ms=0, upload="",
        groups=len(groups),
    )  # fmt: skip
    session.create(layout.version("d", 1), record)
    session.create(layout.manifest_placement("d", 1), stored.ManifestPlacement(nodes=["ann"]))
    for number, runs in enumerate(groups):
        session.create(layout.placement("d", 1, number), encode_holders(Holders(0, replicas, runs)))


def test_a_node_is_drained_until_that_is_taken_back(session: Session) -> None:
    join(session, "ann", "bob", "cid")
    keep(session, (("ann", "bob"),))
    assert drain(session, "ann") == ""
    assert session.children(layout.DRAINS) == ["ann"]
    assert drain(session, "ann") == ""  # again is the same
    assert undrain(session, "ann") and not undrain(session, "ann")
    assert session.children(layout.DRAINS) == []


def test_what_cannot_leave_is_said(session: Session) -> None:
    join(session, "ann", "bob")
    keep(session, (("ann", "bob"),))
    assert drain(session, "ann") == (
        "ann holds data that is to lie on 2 nodes, and only 1 others are live: that stays until more nodes join"
    )


def test_a_node_that_is_away_may_be_drained_and_one_that_never_was_may_not(session: Session) -> None:
    join(session, "bob")
    session.create(layout.disk("ann"), stored.DiskRecord(bytes_free=1))
    assert drain(session, "ann") == ""
    with pytest.raises(CallerError, match="there is no node 'eve'; there are: ann, bob"):
        drain(session, "eve")


def test_the_last_node_that_takes_data_is_not_drained(session: Session) -> None:
    join(session, "ann", "bob")
    drain(session, "ann")
    with pytest.raises(CallerError, match="no other node than bob is live and takes data"):
        drain(session, "bob")
    assert session.children(layout.DRAINS) == ["ann"]


def test_units_are_runs_manifests_models_and_what_jobs_keep(session: Session) -> None:
    assert count_units(session) == {}
    keep(session, (("ann", "bob"), ("bob", "cid")), (("ann",), ("ann",)))
    session.create(
        layout.model("m"), layout.ModelRecord(digest="", blob="b", nodes=["cid"], kind="", dataset="d@1", rounds=1, job="j")
    )
    session.create(layout.job("j"), layout.JobRecord(kind="", program="p", program_nodes=["bob"], dataset="d@1"))
    done = layout.JobState(phase=layout.JobPhase.DONE, result_blob="r", result_nodes=["cid"])
    session.create(layout.job_state("j"), done)
    session.create(layout.checkpoint("j"), layout.CheckpointRecord(round=1, digest="", blob="c", nodes=["cid"]))
    session.create(layout.pieces("j"))
    for number in (1, 3):
        session.create(layout.piece("j", number), layout.CheckpointRecord(round=number, digest="", blob="d", nodes=["bob"]))
    assert count_units(session) == {"ann": 1 + 1 + 2, "bob": 2 + 1 + 2, "cid": 1 + 1 + 1 + 1}
