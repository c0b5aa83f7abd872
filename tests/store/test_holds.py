"""A version is held while somebody reads it, and letting go waits for nobody."""

import gc
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from store_cluster import SECRET, StoreCluster

from muskox.coordination import Session
from muskox.errors import CallerError
from muskox.keeper import Keeper
from muskox.store import remove_dataset
from muskox.store.care.holds import hold_while_alive, readers, reading

BOUND_S = 20.0
TABLE = pa.table({"i": range(100)})


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Owner:
    """Anything that can be garbage."""


def test_a_version_is_held_while_it_is_read(cluster: StoreCluster) -> None:
    cluster.put("d", TABLE, shards=2)
    with reading(cluster.session, "d", 1):
        with reading(cluster.session, "d", 1):
            assert readers(cluster.session) == {("d", 1): ["a reader"] * 2}
        assert readers(cluster.session) == {("d", 1): ["a reader"]}
    assert readers(cluster.session) == {}
    owner = Owner()
    hold_while_alive(owner, cluster.session, "d", 1)
    assert readers(cluster.session) == {("d", 1): ["a reader"]}
    del owner
    gc.collect()
    assert readers(cluster.session) == {}


def test_a_removed_version_is_not_held(cluster: StoreCluster) -> None:
    cluster.put("d", TABLE, shards=2)
    remove_dataset(cluster.session, "d")
    owner = Owner()
    with pytest.raises(CallerError, match="d@1 was removed"):
        hold_while_alive(owner, cluster.session, "d", 1)
    with pytest.raises(CallerError, match="d@1 was removed"), reading(cluster.session, "d", 1):
        pass
    assert readers(cluster.session) == {}


def test_a_scan_ends_while_zookeeper_is_away_and_after_the_session_is_closed(tmp_path: Path) -> None:
    keeper = Keeper().start()
    with StoreCluster(keeper.hosts, tmp_path) as cluster:
        cluster.add_node("ann")
        cluster.put("d", TABLE, shards=2, replicas=1)
        scans = [cluster.open("d").scan() for _ in range(2)]
        first = [next(scan) for scan in scans]
        keeper.stop()
        began = time.monotonic()
        assert pa.Table.from_batches([first[0], *scans[0]]).equals(TABLE)
        assert time.monotonic() - began < 10
    scans[1].close()


def test_a_version_is_held_on_after_the_session_is_lost(cluster: StoreCluster) -> None:
    cluster.put("d", TABLE, shards=2)
    with Session(cluster.url, SECRET).connect() as reader, reading(reader, "d", 1):
        before = reader.id
        with Session(cluster.url, SECRET) as thief:  # whoever closes a session ends it for all who have it
            thief.kazoo._session_id, thief.kazoo._session_passwd = reader.kazoo.client_id  # type: ignore[misc]
            thief.connect()
            assert thief.id == before
        until(lambda: reader.id not in (0, before) and readers(cluster.session) == {("d", 1): ["a reader"]})
    until(lambda: readers(cluster.session) == {})


def test_a_hold_that_was_let_go_while_zookeeper_is_away_does_not_stay(tmp_path: Path) -> None:
    keeper = Keeper().start()
    try:
        with StoreCluster(keeper.hosts, tmp_path) as cluster:
            cluster.add_node("ann")
            cluster.put("d", TABLE, shards=2, replicas=1)
            with reading(cluster.session, "d", 1):
                before = cluster.session.id
                keeper.kill()
                until(lambda: not cluster.session.is_connected)
            keeper.start()
            until(lambda: cluster.session.is_connected and readers(cluster.session) == {})
            assert cluster.session.id == before
    finally:
        keeper.stop()
