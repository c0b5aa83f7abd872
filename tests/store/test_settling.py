"""Settling: what lies well stays, replicas lie apart, nobody holds much more than its share, newcomers take theirs."""

from collections import Counter
from math import ceil

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from muskox.errors import CallerError, Unavailable
from muskox.store.placement.settling import NodeView, Run, settle

Holders = list[tuple[str, ...]]
weights = st.sampled_from([1.0, 1.0, 2.0, 4.0])


@st.composite
def clusters(draw: st.DrawFn, racks_max: int = 5) -> dict[str, NodeView]:
    """Some nodes of different disks; either none of them or each has a rack."""
    count, racks = draw(st.integers(1, 14)), draw(st.integers(0, racks_max))
    return {f"node-{i}": NodeView(draw(weights), f"rack-{i % racks}" if racks else "") for i in range(count)}


def settled(count: int, nodes: dict[str, NodeView], replicas: int, before: Holders | None = None) -> Holders:
    runs = [Run(replicas, before[index] if before else (), 1, "flights", index) for index in range(count)]
    return settle(runs, nodes)


def rack_of(node: str, nodes: dict[str, NodeView]) -> str:
    return nodes[node].rack or node


def together_max(nodes: dict[str, NodeView], replicas: int) -> int:
    sizes = Counter(rack_of(node, nodes) for node in nodes)
    most = 1
    while sum(min(most, size) for size in sizes.values()) < min(replicas, len(nodes)):
        most += 1
    return most


def moved_from(before: Holders, after: Holders) -> int:
    return sum(len(set(new) - set(old)) for old, new in zip(before, after, strict=True))


def load_of(holders: Holders) -> Counter[str]:
    return Counter(node for held in holders for node in held)


@given(st.integers(1, 120), clusters(), st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_replicas_lie_on_different_nodes_and_racks_and_what_is_settled_stays(
    count: int, nodes: dict[str, NodeView], replicas: int
) -> None:
    held = settled(count, nodes, replicas)
    most = together_max(nodes, replicas)
    for holders in held:
        assert len(set(holders)) == len(holders) == min(replicas, len(nodes))
        assert max(Counter(rack_of(node, nodes) for node in holders).values()) <= most
    assert settled(count, nodes, replicas, held) == held


@given(st.integers(40, 200), st.lists(weights, min_size=3, max_size=12), st.integers(1, 3))
@example(
    126, [1.0, 1.0, 4.0, 1.0, 1.0, 2.0, 1.0], 3
)  # one must hold every run: others get rid of what is too much by chains of two
@settings(deadline=None, max_examples=40)
def test_no_node_holds_more_than_its_weighted_share(count: int, disks: list[float], replicas: int) -> None:
    nodes = {f"node-{i}": NodeView(weight) for i, weight in enumerate(disks)}
    load = load_of(settled(count, nodes, replicas))
    # A node holds a run once, so a share beyond all runs goes to the others: the one number that all weights are multiplied by.
    largest_first = sorted(disks, reverse=True)
    rates = [fill_rate(largest_first, full, count, replicas) for full in range(len(disks))]
    rate = next((rate for rate in rates if rate is not None), count)
    for name, view in nodes.items():
        # One more where a node must hold every run: to bring that down, too, two runs would have to move.
        assert load[name] <= min(count, ceil(rate * view.weight - 1e-6) + (rate * max(disks) >= count))


def fill_rate(disks: list[float], full: int, count: int, replicas: int) -> float | None:
    """Return runs a unit of weight if the `full` largest disks hold every run, or None if others would be full, too."""
    left = count * (min(replicas, len(disks)) - full)
    rate = left / sum(disks[full:])
    return rate if left >= 0 and rate * disks[full] <= count + 1e-9 else None


@given(st.integers(60, 160), st.integers(6, 14), st.integers(1, 2), st.data())
@settings(deadline=None, max_examples=40)
def test_a_history_of_joins_and_leaves_moves_little_more_than_it_must(
    count: int, size: int, replicas: int, data: st.DataObject
) -> None:
    """At least must move what the nodes that left held, and what newcomers should hold; rounding costs a run a node."""
    nodes = {f"node-{i}": NodeView(1.0 + i % 2) for i in range(size)}
    held = settled(count, nodes, replicas)
    for event in range(data.draw(st.integers(1, 5), "events")):
        now = dict(nodes)
        if len(now) < 6 or data.draw(st.booleans(), "joins"):
            now[f"new-{event}"] = NodeView(data.draw(st.sampled_from([1.0, 2.0])))
        else:
            del now[data.draw(st.sampled_from(sorted(now)), "leaves")]
        after = settled(count, now, replicas, held)
        lost = sum(node not in now for holders in held for node in holders)
        fresh = sum(load_of(after)[node] for node in now if node not in nodes)
        assert moved_from(held, after) <= 1.2 * (lost + fresh) + len(now)
        nodes, held = now, after


@pytest.mark.parametrize("racks", [0, 10])
def test_a_large_cluster_moves_exactly_what_it_must(racks: int) -> None:
    nodes = {f"node-{i}": NodeView(1.0 + i % 3, f"rack-{i % racks}" if racks else "") for i in range(100)}
    before = settled(1000, nodes, 2)
    lost_load = load_of(before)["node-7"]
    left = settled(1000, {name: view for name, view in nodes.items() if name != "node-7"}, 2, before)
    assert moved_from(before, left) == lost_load
    joined = settled(1000, {**nodes, "new": NodeView(2.0, "rack-3" if racks else "")}, 2, before)
    share = 2000 * 2 / (sum(view.weight for view in nodes.values()) + 2)
    assert int(share) <= load_of(joined)["new"] == moved_from(before, joined) <= share + 1


def test_newcomers_take_their_share_of_many_small_families_by_bytes() -> None:
    nodes = {f"node-{i}": NodeView() for i in range(9)}
    runs = [Run(2, (), 1 + index % 5, f"model-{index}") for index in range(900)]
    held = settle(runs, nodes)
    there = [Run(2, holders, run.bytes, run.family) for run, holders in zip(runs, held, strict=True)]
    after = settle(there, {**nodes, "new": NodeView()})
    taken = sum(run.bytes for run, holders in zip(runs, after, strict=True) if "new" in holders)
    share = 2 * sum(run.bytes for run in runs) / 10
    assert share - 5 <= taken <= share
    assert moved_from(held, after) == sum("new" in holders for holders in after)


def test_families_are_placed_apart() -> None:
    nodes = {f"node-{i}": NodeView() for i in range(10)}
    one, other = ([set(h) for h in settle([Run(1, (), 1, f, i) for i in range(100)], nodes)] for f in ("a", "b"))
    assert sum(left == right for left, right in zip(one, other, strict=True)) < 30


def test_two_replicas_in_one_rack_are_parted_where_another_rack_has_room() -> None:
    nodes = {"a": NodeView(1, "x"), "b": NodeView(1, "x"), "c": NodeView(1, "y")}
    assert sorted(settle([Run(2, ("a", "b"))], nodes)[0])[-1] == "c"
    full = {**nodes, "c": NodeView(1, "y", bytes_free=0)}
    assert settle([Run(2, ("a", "b"))], full) == [("a", "b")]


def test_a_node_gets_no_more_than_it_has_room_for_and_nothing_that_is_barred_from_it() -> None:
    nodes = {"a": NodeView(bytes_free=25), "b": NodeView(bytes_free=0), "c": NodeView(bytes_free=0)}
    held = settle([Run(1, (), 10, "f", index) for index in range(4)], nodes)
    assert sorted(held) == [(), (), ("a",), ("a",)]
    assert settle([Run(2, ("b",), 10, barred=("a", "b"))], nodes) == [()]


def test_without_balancing_only_what_is_lost_moves() -> None:
    runs = [Run(1, ("a",), 1, "f", index) for index in range(8)] + [Run(1, ("gone",), 1, "f", 8)]
    nodes = {"a": NodeView(), "b": NodeView()}
    assert settle(runs, nodes, is_balancing=False) == [("a",)] * 8 + [("b",)]
    assert sum(held == ("b",) for held in settle(runs, nodes)) == 4


def test_what_cannot_be_settled_is_refused_by_name() -> None:
    with pytest.raises(Unavailable, match="start one"):
        settle([Run(1)], {})
    with pytest.raises(CallerError, match="'a' has the weight 0"):
        settle([Run(1)], {"a": NodeView(0)})
    with pytest.raises(CallerError, match="at least one replica"):
        settle([Run(0)], {"a": NodeView()})
