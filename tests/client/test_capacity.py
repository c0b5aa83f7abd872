"""What nodes offer and what of it is taken, by what jobs ask for and nodes are assigned."""

from collections.abc import Iterator

import pytest

from muskox.client.capacity import capacity
from muskox.coordination import Session, layout, live_members, register
from muskox.keeper import Keeper


@pytest.fixture
def session() -> Iterator[Session]:
    with Keeper() as keeper, Session(f"zk://{keeper.hosts}/capacity", b"s" * 64).connect() as session:
        yield session


def test_what_is_in_use_is_what_assigned_jobs_ask_for(session: Session) -> None:
    member = layout.MemberRecord(
        name="ann", folder_id="a", incarnation="a", address="h:1", pid=1, cores=4, fingerprint="", memory_bytes=100, gpus=2
    )
    register(session, member)
    record = layout.JobRecord(kind="k", program="p", program_nodes=[], dataset="d@1", cores=1.5, memory_bytes=30, gpus=1)
    session.create(layout.job("a"), record)
    session.create(layout.assignment("ann"), layout.AssignmentRecord(jobs={"a": 2, "gone": 1}))
    assert capacity(session, live_members(session)) == {
        "ann": {
            "cores": {"offered": 4, "used": 3.0},
            "memory_bytes": {"offered": 100, "used": 60},
            "gpus": {"offered": 2, "used": 2},
        }
    }
