"""The fixed tree: whoever owns which shards, cover and reduce give what a plain recursion over the shard index gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.tree import Climb, Node, children, cover, height, reduce, root, tops

SHARDS_MAX = 70


def expression(first: int, last: int) -> str:
    """Return the fixed tree's sum over shards first..last-1 of a power-of-two span as a text that shows its brackets."""
    return plain(first, last, span=1 << height(last - first))


def plain(first: int, last: int, span: int) -> str:
    if span == 1:
        return f"s{first}"
    middle = first + span // 2
    left = plain(first, min(middle, last), span // 2)
    return left if middle >= last else f"({left}+{plain(middle, last, span // 2)})"


def merge(left: str, right: str) -> str:
    return f"({left}+{right})"


@st.composite
def splits(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    """Draw a number of shards and who of up to six workers owns which of them."""
    shards = draw(st.integers(1, SHARDS_MAX))
    owners = draw(st.lists(st.integers(0, 5), min_size=shards, max_size=shards))
    return shards, [[shard for shard in range(shards) if owners[shard] == worker] for worker in range(6)]


@given(splits())
def test_any_split_gives_the_sum_of_a_plain_recursion(split: tuple[int, list[list[int]]]) -> None:
    shards, owned = split
    parts: dict[Node, str] = {}
    for mine in owned:
        leaves = {(0, shard): f"s{shard}" for shard in mine}
        parts |= {node: reduce(leaves, node, shards, merge) for node in cover(mine, shards)}
    assert reduce(parts, root(shards), shards, merge) == expression(0, shards)


@given(splits())
def test_the_covers_of_all_workers_hold_every_shard_once(split: tuple[int, list[list[int]]]) -> None:
    shards, owned = split
    held = [shard for mine in owned for level, index in cover(mine, shards) for shard in span(level, index, shards)]
    assert sorted(held) == list(range(shards))


@given(splits())
def test_a_cover_cannot_be_smaller(split: tuple[int, list[list[int]]]) -> None:
    shards, owned = split
    for mine in owned:
        for level, index in cover(mine, shards):
            parent = (level + 1, index >> 1)
            assert level == height(shards) or not set(span(*parent, shards)) <= set(mine)


def span(level: int, index: int, shards: int) -> range:
    return range(index << level, min((index + 1) << level, shards))


@given(st.integers(1, 1 << 20))
def test_the_root_covers_every_shard_and_no_lower_node_does(shards: int) -> None:
    level, index = root(shards)
    assert index == 0
    assert 1 << level >= shards
    assert level == 0 or 1 << (level - 1) < shards


@given(st.integers(2, 1000))
def test_children_split_their_parent(shards: int) -> None:
    level, index = root(shards)
    spans = [list(span(*child, shards)) for child in children((level, index), shards)]
    assert [shard for part in spans for shard in part] == list(range(shards))
    assert all(spans)


def test_a_leaf_has_no_children() -> None:
    assert children((0, 3), 8) == ()


def test_a_missing_shard_is_named() -> None:
    with pytest.raises(KeyError, match=r"\(0, 2\)"):
        reduce({(1, 0): "a", (0, 3): "b"}, root(4), 4, merge)


def test_who_owns_nothing_sends_nothing() -> None:
    assert cover([], 12) == []
    assert cover(range(12), 12) == [root(12)]
    assert cover([0, 0, 1], 2) == [(1, 0)]


@given(st.integers(1, SHARDS_MAX), st.data())
def test_tops_are_what_can_be_merged_from_nodes_at_any_level(shards: int, data: st.DataObject) -> None:
    owned = data.draw(st.sets(st.integers(0, shards - 1)))
    others = data.draw(st.sets(st.integers(0, shards - 1))) - owned
    assert tops([*cover(owned, shards), *cover(others, shards)], shards) == cover(owned | others, shards)


@given(st.integers(1, SHARDS_MAX), st.data())
def test_a_climb_merges_as_it_goes_and_ends_with_the_cover(shards: int, data: st.DataObject) -> None:
    owned = sorted(data.draw(st.sets(st.integers(0, shards - 1))))
    climb: Climb[str] = Climb(shards, lambda left, right: f"({left}+{right})")
    for shard in owned:
        climb.add(shard, str(shard))
        assert len(climb.values) <= 2 * height(shards) + len(owned)
    values = {(0, shard): str(shard) for shard in owned}
    merged = {node: reduce(values, node, shards, lambda left, right: f"({left}+{right})") for node in cover(owned, shards)}
    assert climb.values == merged
