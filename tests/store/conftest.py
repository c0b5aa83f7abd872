"""A keeper for all of the room's tests, and for each test a cluster of its own on it: a chroot, three stores, a client."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_cluster import StoreCluster

from muskox.keeper import Keeper


@pytest.fixture(scope="session")
def keeper() -> Iterator[Keeper]:
    with Keeper() as keeper:
        yield keeper


@pytest.fixture
def cluster(keeper: Keeper, tmp_path: Path) -> Iterator[StoreCluster]:
    with StoreCluster(keeper.hosts, tmp_path) as cluster:
        for name in ("ann", "bob", "cat"):
            cluster.add_node(name)
        yield cluster
