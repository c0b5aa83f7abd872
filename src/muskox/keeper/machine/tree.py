"""The tree of znodes as it stands after the last applied transaction.

It owns the znodes and who is whose child. It decides nothing and checks nothing: it takes over what a transaction made.
"""

from collections.abc import Iterator

from muskox.keeper.machine.node import READ_ONLY_ACL, Node, new_node
from muskox.keeper.machine.paths import CONFIG, QUOTA, ROOT, ZOOKEEPER, name_of, parent_of
from muskox.keeper.wire.opcodes import EventType
from muskox.keeper.wire.records import OPEN_ACL

# What a transaction makes of one path: its new znode, None for a deletion, and what watchers are told. In the hot path, so a
# plain tuple.
Change = tuple[str, Node | None, EventType]


class Tree:
    """All znodes by path, and the names of each one's children."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.children: dict[str, dict[str, None]] = {}
        self.mortal: dict[str, None] = {}  # containers, and znodes with a time to live

    def install(self, path: str, node: Node | None) -> None:
        """Make `node` the znode at `path`; None deletes it."""
        if node is None:
            if self.nodes.pop(path).mark:
                del self.mortal[path]
            parent = parent_of(path)
            names = self.children[parent]
            del names[name_of(path)]
            if not names:
                del self.children[parent]
            return
        if path not in self.nodes and path != ROOT:
            self.children.setdefault(parent_of(path), {})[name_of(path)] = None
            if node.mark:
                self.mortal[path] = None
        self.nodes[path] = node

    def find(self, path: str) -> Node | None:
        """Return the znode at `path`; like Apache's, the root also answers to the empty path."""
        return self.nodes.get(path or ROOT)

    def names(self, path: str) -> tuple[str, ...]:
        return tuple(self.children.get(path or ROOT, ()))

    def walk(self, top: str) -> Iterator[str]:
        """Yield the paths of the znode at `top`, unless there is none, and of all under it."""
        left = [top] if top in self.nodes else []
        while left:
            path = left.pop()
            yield path
            below = path.rstrip("/")  # nothing of the root
            left.extend(f"{below}/{name}" for name in self.children.get(path, ()))

    def digest(self) -> int:
        """Return the digest of the whole tree: the sum over its znodes."""
        return sum(node.digest for node in self.nodes.values())


def new_tree() -> Tree:
    """Return the tree that a new server starts with: the root and what Apache keeps under /zookeeper."""
    tree = Tree()
    for path, child_count in ((ROOT, 1), (ZOOKEEPER, 2), (QUOTA, 0), (CONFIG, 0)):
        tree.install(path, new_node(path, b"", OPEN_ACL, 0, 0, 0).with_children(path, 0, child_count, 0))
    tree.install(CONFIG, tree.nodes[CONFIG].with_acl(CONFIG, READ_ONLY_ACL, -1))
    return tree
