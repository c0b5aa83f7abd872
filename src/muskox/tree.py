"""The fixed binary tree over the shard index, in which every sum is taken.

Floating-point sums depend on their order. So the order is fixed by the dataset: node (level, index) covers the shards
``index * 2**level`` up to ``(index + 1) * 2**level``, cut off at the last shard; its value is merge(left child, right child),
or the left child's alone where the right one would be empty. Who computes which node does not matter. Pure.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

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
    level, nodes, found = 0, sorted(set(owned)), []
    while nodes:
        present = set(nodes)
        parents: list[int] = []
        for index in nodes:
            parent = (level + 1, index >> 1)
            whole = all(child in present for _, child in children(parent, shards))
            if not whole or level == height(shards):
                found.append((level, index))
            elif not parents or parents[-1] != index >> 1:
                parents.append(index >> 1)
        nodes, level = parents, level + 1
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
