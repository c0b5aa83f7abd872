"""The tree of znodes as it stands after the last applied transaction.

It owns the znodes and who is whose child. It decides nothing and checks nothing: it takes over what a transaction made.
"""

from typing import NamedTuple

from muskox.keeper.machine.node import READ_ONLY_ACL, Node, new_node, node_digest
from muskox.keeper.machine.paths import CONFIG, QUOTA, ROOT, ZOOKEEPER, name_of, parent_of
from muskox.keeper.wire.opcodes import EventType
from muskox.keeper.wire.records import OPEN_ACL


class Change(NamedTuple):
    """What a transaction makes of one path: its new znode, None for a deletion, and what watchers are told."""

    path: str
    node: Node | None
    event: EventType


class Tree:
    """All znodes by path, and the names of each one's children."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.children: dict[str, dict[str, None]] = {}

    def install(self, path: str, node: Node | None) -> None:
        """Make `node` the znode at `path`; None deletes it."""
        if node is None:
            del self.nodes[path]
            parent = parent_of(path)
            names = self.children[parent]
            del names[name_of(path)]
            if not names:
                del self.children[parent]
            return
        if path not in self.nodes and path != ROOT:
            self.children.setdefault(parent_of(path), {})[name_of(path)] = None
        self.nodes[path] = node

    def find(self, path: str) -> Node | None:
        """Return the znode at `path`; like Apache's, the root also answers to the empty path."""
        return self.nodes.get(path or ROOT)

    def names(self, path: str) -> tuple[str, ...]:
        return tuple(self.children.get(path or ROOT, ()))

    def digest(self) -> int:
        """Return the digest of the whole tree: the sum over its znodes."""
        return sum(node_digest(path, node) for path, node in self.nodes.items())


def new_tree() -> Tree:
    """Return the tree that a new server starts with: the root and what Apache keeps under /zookeeper."""
    tree = Tree()
    empty = new_node(b"", OPEN_ACL, 0, 0, 0)
    tree.install(ROOT, empty.with_children(0, 1, 0))
    tree.install(ZOOKEEPER, empty.with_children(0, 2, 0))
    tree.install(QUOTA, empty)
    tree.install(CONFIG, empty._replace(acl=READ_ONLY_ACL, aversion=-1))
    return tree
