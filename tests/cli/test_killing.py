"""Whom the demo kills, and when: one failure at a time, each survived before the next."""

import os
import signal
from typing import Any

import pytest

from muskox.cli.killing import Kill, Killer, Order, Victim, choose
from muskox.program import RoundReport

NODES = [
    {"name": "a", "pid": 1, "coordinator": True},
    {"name": "b", "pid": 2, "coordinator": False},
    {"name": "c", "pid": 3, "coordinator": False},
]


class Cluster:
    def __init__(self) -> None:
        self.nodes = list(NODES)

    def status(self) -> dict[str, Any]:
        return {"nodes": self.nodes, "jobs": [{"workers": [{"node": "a"}, {"node": "c"}]}]}


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: found.append((pid, number)))
    monkeypatch.setattr("muskox.cli.killing.LOOK_S", 0.0)
    return found


def test_a_node_that_works_and_does_not_coordinate_is_chosen() -> None:
    assert choose(NODES, {"a", "c"}, Victim.NODE) == NODES[2]
    assert choose(NODES, {"a"}, Victim.NODE) is None
    assert choose(NODES, set(), Victim.COORDINATOR) == NODES[0]
    assert choose(NODES[1:], set(), Victim.COORDINATOR) is None


def test_each_kill_waits_for_its_round_and_for_the_one_before_to_be_survived(killed: list[tuple[int, int]]) -> None:
    cluster, told = Cluster(), list[Kill]()
    orders = (Order(10, Victim.NODE), Order(20, Victim.COORDINATOR))
    killer = Killer(cluster, 3, orders, told.append)  # type: ignore[arg-type]
    killer.see(RoundReport(9, {}, 1))
    assert not killed
    killer.see(RoundReport(10, {}, 1))
    assert killed == [(3, signal.SIGKILL)] and told[0].round == 10
    cluster.nodes = NODES[:2]
    killer.see(RoundReport(20, {}, 1))  # still told by the generation that died
    assert told[0].seconds is None
    killer.see(RoundReport(21, {}, 2))
    assert told[0].seconds is not None
    killer.see(RoundReport(22, {}, 2))  # due, but one node is not back yet
    assert len(killed) == 1
    cluster.nodes = NODES
    killer.see(RoundReport(22, {}, 2))  # its old session lives, but it does not
    assert len(killed) == 1
    cluster.nodes = [*NODES[:2], {"name": "c", "pid": 4, "coordinator": False}]
    killer.see(RoundReport(23, {}, 2))
    assert killed[1:] == [(1, signal.SIGKILL)]
    killer.see(RoundReport(24, {}, 3))
    killer.see(RoundReport(25, {}, 3))
    assert len(killed) == 2
