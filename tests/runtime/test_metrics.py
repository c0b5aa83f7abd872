"""The door for Prometheus: one path, on loopback, that a silent stranger does not block for long."""

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from muskox.errors import Unavailable
from muskox.runtime.metrics import HOST, MetricsDoor


@pytest.fixture
def door() -> Iterator[MetricsDoor]:
    door = MetricsDoor(0, lambda: "muskox_cores 4\n")
    door.start()
    yield door
    door.stop()


def test_metrics_are_served_at_their_path_and_nothing_else_is(door: MetricsDoor) -> None:
    assert door.address.startswith(f"{HOST}:")
    with urllib.request.urlopen(f"http://{door.address}/metrics", timeout=20) as answer:
        assert answer.read() == b"muskox_cores 4\n"
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://{door.address}/", timeout=20)


def test_whoever_connects_and_says_nothing_is_given_up(door: MetricsDoor) -> None:
    host, _, port = door.address.partition(":")
    with socket.create_connection((host, int(port))), urllib.request.urlopen(f"http://{door.address}/metrics", timeout=20) as a:
        assert a.status == 200


def test_a_port_in_use_is_told(door: MetricsDoor) -> None:
    port = int(door.address.partition(":")[2])
    with pytest.raises(Unavailable, match=f"the metrics cannot be served at {HOST}:{port}: Address already in use"):
        MetricsDoor(port, str)
