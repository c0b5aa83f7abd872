import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import estimator, mend
from whole_path_data import BY, SHARDS, TARGET, read_flights

import muskox as mx

sys.path.append(str(Path(__file__).resolve().parents[2] / "examples"))  # some of which meet with chaos


@pytest.fixture(autouse=True, scope="session")
def no_exported_core_type() -> Iterator[None]:
    """Many shells export a BLAS core type, which would hide a pin that is missing."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("OPENBLAS_")}
    yield
    os.environ.update(before)


@pytest.fixture(scope="session")
def flights():
    return read_flights()


@pytest.fixture(scope="session")
def expected(flights) -> str:
    """The digest of the undisturbed fit, in process."""
    return estimator().fit(flights, target=TARGET, shards=SHARDS, by=BY).digest_


@pytest.fixture(scope="session")
def three_nodes(tmp_path_factory) -> Iterator[mx.Cluster]:
    with mx.local(nodes=3, dir=tmp_path_factory.mktemp("three")) as cluster:
        yield cluster


@pytest.fixture
def cluster(three_nodes) -> Iterator[mx.Cluster]:
    """Three live nodes and a keeper; whatever a test killed is started again after it."""
    yield three_nodes
    mend(three_nodes)


@pytest.fixture(scope="session")
def dataset(three_nodes, flights):
    return three_nodes.put("flights", flights, shards=SHARDS, by=BY, replicas=2)
