"""How what is kept fares, in words: a dataset's replicas, the storage as a whole, and the nodes with their disks."""

import uuid
from collections.abc import Iterator

import pytest

from muskox.client.health import health_words, holders_health, megabytes, nodes, storage, storage_words
from muskox.coordination import Session, found_cluster, layout, register, stored
from muskox.keeper import Keeper
from muskox.store import Holders

SECRET = b"0123456789abcdef" * 4
HOLDERS = Holders(0, 2, (("ann", "bob"), ("bob", "cid"), ("cid", "ann")))


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    with Keeper() as keeper:
        yield keeper


@pytest.fixture
def session(keeper: Keeper) -> Iterator[Session]:
    with Session(f"zk://{keeper.hosts}/health-{uuid.uuid4().hex}", SECRET).connect() as session:
        yield session


@pytest.mark.parametrize(
    ("live", "words"),
    [
        (["ann", "bob", "cid"], "good"),
        (["ann", "bob"], "2 of 3 below"),
        (["ann"], "1 of 3 away"),
        ([], "3 of 3 away"),
    ],
)
def test_a_dataset_is_as_well_as_its_live_replicas(live: list[str], words: str) -> None:
    assert health_words(holders_health([HOLDERS], live)) == words


def test_what_no_node_holds_is_another_ones_care() -> None:
    assert health_words(holders_health([], ["ann"])) == "object store"


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (stored.RepairRecord(), ["nothing is kept yet"]),
        (stored.RepairRecord(units=40), ["all 40 units have their replicas"]),
        (
            stored.RepairRecord(units=40, below=3, copies=4, bytes=120_000_000),
            ["repairing 3 of 40 units, 120 MB to copy"],
        ),
        (
            stored.RepairRecord(units=40, below=1),
            ["1 of 40 units has too few replicas: repair begins 60 s after a node left, and needs nodes that can take them"],
        ),
        (
            stored.RepairRecord(units=40, moving=2, copies=2, bytes=1_500_000),
            ["all 40 units have their replicas", "2 move to other nodes, 1.5 MB to copy"],
        ),
        (
            stored.RepairRecord(units=40, below=5, lost=["a", "b", "c", "d"]),
            [
                "LOST: a, b, c and 1 more lie on no live node, until one that has them comes back",
                "1 of 40 units has too few replicas: repair begins 60 s after a node left, and needs nodes that can take them",
            ],
        ),
    ],
)
def test_the_storage_says_the_worst_first(record: stored.RepairRecord, words: list[str]) -> None:
    assert list(storage_words(record, 60.0)) == words


def test_the_storage_is_told_as_the_coordinator_wrote_it_down(session: Session) -> None:
    found_cluster(session)
    assert storage(session) == {"store": "", "sentence": "storage: nobody has looked at it yet"}
    session.create(layout.REPAIR, stored.RepairRecord(units=7, below=2, copies=1, bytes=5_000_000))
    view = storage(session)
    assert view["sentence"] == "storage: repairing 2 of 7 units, 5.0 MB to copy"
    assert (view["units"], view["below"], view["copies"], view["lost"]) == (7, 2, 1, [])


def test_a_cluster_in_an_object_store_says_where(session: Session) -> None:
    found_cluster(session, "s3://bucket/prefix")
    assert storage(session)["sentence"] == "storage: everything lies in s3://bucket/prefix; local disks are caches"


def test_every_node_that_ever_held_something_is_listed(session: Session) -> None:
    member = layout.MemberRecord(
        name="ann", folder_id="a", incarnation="a", address="h:1", pid=1, cores=1, fingerprint="", rack="r1"
    )
    register(session, member)
    disk = stored.DiskRecord(bytes_free=9, bytes_held=5, blobs=2, bad=1, scrubbed_ms=4)
    session.create(layout.disk("bob"), disk)
    session.create(layout.drain("bob"), stored.DrainRecord(since_ms=1))
    offers = {
        "cores": {"offered": 1, "used": 0.0},
        "memory_bytes": {"offered": 0, "used": 0},
        "gpus": {"offered": 0, "used": 0},
    }
    assert nodes(session) == [
        {"name": "ann", "live": True, "draining": False, "rack": "r1", "resources": offers, "units": 0, "disk": {}},
        {
            "name": "bob",
            "live": False,
            "draining": True,
            "rack": "",
            "resources": {},
            "units": 0,
            "disk": {"held": 5, "free": 9, "blobs": 2, "bad": 1, "scrubbed_ms": 4},
        },
    ]


@pytest.mark.parametrize(("count", "text"), [(0, "0.0 MB"), (9_940_000, "9.9 MB"), (12_345_678_901, "12,346 MB")])
def test_megabytes_are_what_disks_and_networks_are_sold_by(count: int, text: str) -> None:
    assert megabytes(count) == text
