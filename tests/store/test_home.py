"""Blobs on as many nodes as asked: the first one named, the others by rendezvous, a node that fails passed over."""

import hashlib
import uuid
from collections.abc import Iterator

import pytest

from muskox.coordination import Session, layout, register
from muskox.errors import Unavailable
from muskox.keeper import Keeper
from muskox.store import NodeHome
from muskox.store.home import preference


class FakeStores:
    """What a StoreClient does for a home: nodes at addresses, some of which do not answer."""

    def __init__(self, *dead: str) -> None:
        self.dead = set(dead)
        self.blobs: dict[str, list[bytes]] = {}

    def put_blob(self, address: str, data: bytes) -> str:
        if address in self.dead:
            raise Unavailable(f"no answer from {address}")
        self.blobs.setdefault(address, []).append(data)
        return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    with Keeper() as keeper:
        yield keeper


@pytest.fixture
def session(keeper: Keeper) -> Iterator[Session]:
    with Session(f"zk://{keeper.hosts}/replicas-{uuid.uuid4().hex}", b"s" * 64).connect() as session:
        yield session


def enlist(session: Session, *names: str) -> None:
    for name in names:
        record = layout.MemberRecord(
            name=name, folder_id=name, incarnation="i", address=f"{name}:1", pid=1, cores=1, fingerprint=""
        )
        register(session, record)


def test_the_first_node_named_holds_one_copy(session: Session) -> None:
    enlist(session, "ann", "bob", "cat")
    stores = FakeStores()
    digest, nodes = NodeHome(session, stores).put(b"state", 2, first="cat")
    assert digest == hashlib.sha256(b"state").hexdigest()
    assert nodes[0] == "cat" and len(nodes) == len(set(nodes)) == 2
    assert stores.blobs == {f"{name}:1": [b"state"] for name in nodes}


def test_a_node_that_does_not_answer_is_passed_over(session: Session) -> None:
    enlist(session, "ann", "bob", "cat")
    stores = FakeStores("ann:1")
    _, nodes = NodeHome(session, stores).put(b"state", 2, first="ann")
    assert sorted(nodes) == ["bob", "cat"]


def test_fewer_nodes_than_asked_are_accepted(session: Session) -> None:
    enlist(session, "ann")
    assert NodeHome(session, FakeStores()).put(b"state", 3)[1] == ["ann"]


def test_when_no_node_takes_it_each_says_why(session: Session) -> None:
    with pytest.raises(Unavailable, match="no node takes 5 bytes: the cluster has no live node"):
        NodeHome(session, FakeStores()).put(b"state", 2)
    enlist(session, "ann", "bob")
    with pytest.raises(Unavailable, match=r"ann: no answer from ann:1.*|bob: no answer from bob:1.*"):
        NodeHome(session, FakeStores("ann:1", "bob:1")).put(b"state", 2)


def test_the_order_of_nodes_does_not_count_and_a_death_moves_little() -> None:
    nodes = [f"node-{number}" for number in range(10)]
    for blob in ("a", "b", "c"):
        order = preference(blob, nodes, "")
        assert preference(blob, nodes[::-1], "") == order
        assert preference(blob, [node for node in nodes if node != order[0]], "") == order[1:]
