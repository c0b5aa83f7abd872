"""The fixed binary tree over the shard index, in which every sum is taken.

Floating-point sums depend on their order. So the order is fixed by the dataset: node (level, index) covers the shards
``index * 2**level`` up to ``(index + 1) * 2**level``, cut off at the last shard; its value is merge(left child, right child),
or the left child's alone where the right one would be empty. Who computes which node does not matter. Pure.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

Node = tuple[int, int]  # (level, index)
Value = TypeVar("Value")


def height(shards: int) -> int:
    """Return the level of the root of a tree over `shards` shards.

    >>> [height(n) for n in (1, 2, 3, 4, 5, 12)]
    [0, 1, 2, 2, 3, 4]
    """
    return max(shards - 1, 0).bit_length()


def children(node: Node, shards: int) -> tuple[Node, ...]:
    """Return the one or two children of `node` that cover any shard; none for a leaf."""
    level, index = node
    if level == 0:
        return ()
    left, right = (level - 1, 2 * index), (level - 1, 2 * index + 1)
    return (left, right) if right[1] << right[0] < shards else (left,)


def cover(owned: Iterable[int], shards: int) -> list[Node]:
    """Return the highest nodes all of whose shards are in `owned`, from left to right: what a worker sends.

    >>> cover(range(0, 4), 12), cover([8, 9, 10, 11], 12), cover([1, 2, 3], 4)
    ([(2, 0)], [(3, 1)], [(0, 1), (1, 1)])
    """
    return tops(((0, index) for index in owned), shards)


def tops(nodes: Iterable[Node], shards: int) -> list[Node]:
    """Return the highest nodes that can be merged from `nodes`, none of which lies under another, from left to right.

    >>> tops([(1, 0), (0, 2), (0, 3), (0, 5)], 8)
    [(2, 0), (0, 5)]
    """
    waiting: dict[int, set[int]] = {}
    for level, index in nodes:
        waiting.setdefault(level, set()).add(index)
    found = []
    for level in range(height(shards) + 1):
        present = waiting.get(level, set())
        for index in sorted(present):
            parent = (level + 1, index >> 1)
            if level < height(shards) and all(child in present for _, child in children(parent, shards)):
                waiting.setdefault(level + 1, set()).add(parent[1])
            else:
                found.append((level, index))
    return sorted(found, key=lambda node: node[1] << node[0])


def reduce(values: Mapping[Node, Value], node: Node, shards: int, merge: Callable[[Value, Value], Value]) -> Value:
    """Return the value of `node`, merged from those `values` that lie under it.

    Raises
    ------
    KeyError
        If a shard under `node` is covered by none of `values`.
    """
    if node in values:
        return values[node]
    below = children(node, shards)
    if not below:
        raise KeyError(node)
    parts = [reduce(values, child, shards, merge) for child in below]
    return parts[0] if len(parts) == 1 else merge(parts[0], parts[1])


def root(shards: int) -> Node:
    """Return the node that covers every shard."""
    return (height(shards), 0)


class Climb(Generic[Value]):
    """Values of shards, given from left to right, merged as soon as that is possible, so that few are held at a time."""

    def __init__(self, shards: int, merge: Callable[[Value, Value], Value]) -> None:
        self.values: dict[Node, Value] = {}
        self._shards = shards
        self._merge = merge

    def add(self, shard: int, value: Value) -> None:
        node = (0, shard)
        while node[0] < height(self._shards):
            parent = (node[0] + 1, node[1] >> 1)
            below = children(parent, self._shards)
            if node != below[-1] or not all(child in self.values for child in below[:-1]):
                break
            if len(below) == 2:
                value = self._merge(self.values.pop(below[0]), value)
            node = parent
        self.values[node] = value
