"""Placement: different nodes, a load cap, aligned runs, and no dependence on the order of anything."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.errors import CallerError, Unavailable
from muskox.store import place, run_level
from muskox.store.placement.runs import NodeView, stand_ins

nodes = st.integers(1, 12).map(lambda count: [f"node-{i}" for i in range(count)])


@given(st.integers(1, 300), nodes, st.integers(1, 5), st.randoms(use_true_random=False))
def test_replicas_are_apart_runs_stay_together_and_nobody_is_overloaded(
    shards: int, names: list[str], replicas: int, random: object
) -> None:
    placed = place(shards, names, replicas)
    wanted = min(replicas, len(names))
    assert len(placed) == shards and all(len(set(held)) == len(held) == wanted for held in placed)
    level = run_level(shards, len(names))
    assert all(held == placed[shard >> level << level] for shard, held in enumerate(placed))
    runs = -(-shards >> level)
    load = Counter(node for held in placed[:: 1 << level] for node in held)
    assert max(load.values()) <= -(-runs * wanted // len(names))
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert place(shards, shuffled, replicas) == placed


def test_placement_never_changes() -> None:
    assert place(4, ["ann", "bob", "cat"], 2) == [["cat", "ann"], ["cat", "ann"], ["cat", "bob"], ["ann", "bob"]]


def test_losing_a_node_moves_little() -> None:
    names = [f"node-{i}" for i in range(10)]
    before, after = place(4096, names, 1), place(4096, names[:-1], 1)
    moved = sum(old != new for old, new in zip(before, after, strict=True) if old != ["node-9"])
    assert moved < 4096 * 0.2


def test_a_stand_in_is_never_one_that_holds_or_failed_already() -> None:
    assert stand_ins(3, ["a", "b", "c"], ["b"]) in (["a", "c"], ["c", "a"])
    assert stand_ins(3, ["a"], ["a"]) == []


def test_stand_ins_of_other_racks_come_first() -> None:
    racks = {"a": "x", "b": "x", "c": "y", "d": "y"}
    for shard in range(10):
        assert set(stand_ins(shard, racks, ["a"], racks)[:2]) == {"c", "d"}


def test_weights_racks_and_salts_are_respected() -> None:
    nodes = {f"node-{i}": NodeView(weight=1 + i % 2, rack=f"rack-{i // 4}") for i in range(16)}
    placed = place(1000, nodes, 2, salt="flights/text")
    assert all(nodes[first].rack != nodes[second].rack for first, second in placed)
    load = Counter(node for held in placed for node in held)
    heavy, light = (sum(load[name] for name, view in nodes.items() if view.weight == weight) for weight in (2, 1))
    assert 1.8 < heavy / light < 2.2
    assert placed != place(1000, nodes, 2, salt="flights/ids")


def test_no_nodes_and_no_replicas_are_refused() -> None:
    with pytest.raises(Unavailable, match="start one"):
        place(4, [], 2)
    with pytest.raises(CallerError, match="at least one replica"):
        place(4, ["a"], 0)
