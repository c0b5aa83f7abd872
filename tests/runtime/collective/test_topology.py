"""Who sends what to whom: every member has the same picture, nobody has too many links, and nothing is left out."""

import pytest

from muskox.runtime.collective.topology import (
    EXCHANGE_BYTES_MAX,
    FANIN_MAX,
    MESH_MEMBERS_MAX,
    SLICES_MAX,
    Form,
    Topology,
    choose,
    order_of,
)

COUNTS = [1, 2, 3, 7, 16, 17, 18, 40, 100, 300]
LINKS_MAX = 512  # of one of 1,000 members


def views(members: int) -> list[Topology]:
    order = list(range(members))
    return [Topology(order, rank) for rank in order]


@pytest.mark.parametrize("members", COUNTS)
@pytest.mark.parametrize("slices", [1, 5, SLICES_MAX])
def test_the_tree_of_each_slice_reaches_everybody_once(members: int, slices: int) -> None:
    slices = min(members, slices)
    roots = []
    for slice_ in range(slices):
        routes = [view.route(slice_, slices) for view in views(members)]
        (root,) = [rank for rank, route in enumerate(routes) if route.parent is None]
        roots.append(root)
        reached = [root]
        for rank in reached:
            assert all(routes[child].parent == rank for child in routes[rank].children)
            reached.extend(routes[rank].children)
        assert sorted(reached) == list(range(members))
        assert max(len(route.children) for route in routes) <= (FANIN_MAX if slices == 1 else SLICES_MAX)
    assert roots[0] == 0
    assert len(set(roots)) == slices, "no member sums two slices"


@pytest.mark.parametrize("members", [*COUNTS, 1000])
@pytest.mark.parametrize("slices", [0, 5, SLICES_MAX])
def test_links_are_mutual_and_few_and_serve_every_slice(members: int, slices: int) -> None:
    slices = min(members, slices)
    seen = views(members)
    neighbours = [set(view.neighbours(slices)) for view in seen]
    for rank, view in enumerate(seen):
        assert all(rank in neighbours[peer] for peer in neighbours[rank])
        assert len(neighbours[rank]) <= (
            min(members - 1, LINKS_MAX) if slices or members <= MESH_MEMBERS_MAX else FANIN_MAX + 1
        )
        assert neighbours[rank] >= set(view.neighbours())
        for route in (view.route(slice_, slices) for slice_ in range(slices)):
            assert {*route.children, *([] if route.parent is None else [route.parent])} <= neighbours[rank]


@pytest.mark.parametrize("members", [18, 300])
def test_the_way_to_each_member_goes_down_the_tree(members: int) -> None:
    seen = views(members)
    for rank in range(1, members):
        at = 0
        while at != rank:
            below = seen[at].towards(rank)
            assert seen[0].parent_of(below) == at
            at = below


def test_trees_are_built_over_neighbouring_shards_and_the_root_stays() -> None:
    assert order_of(["8-11", "12-15", "0-3,20", "", "4-7"]) == [0, 2, 4, 1, 3]


@pytest.mark.parametrize(
    ("members", "total_bytes", "adds", "form"),
    [
        (1, 0, True, Form.EXCHANGE),
        (2, 1000, False, Form.EXCHANGE),
        (8, 1000, False, Form.EXCHANGE),
        (9, 1000, True, Form.TREE),
        (2, EXCHANGE_BYTES_MAX + 1, False, Form.TREE),
        (2, EXCHANGE_BYTES_MAX + 1, True, Form.SLICES),
        (1000, 100_000_000, True, Form.SLICES),
        (1000, 100_000, True, Form.SLICES),
        (1000, 100_000, False, Form.TREE),
        (1000, 20_000, True, Form.TREE),
        (1, 100_000_000, True, Form.EXCHANGE),
    ],
)
def test_the_form_follows_from_what_all_know(members: int, total_bytes: int, adds: bool, form: Form) -> None:
    assert choose(members, total_bytes, adds) is form
