"""The tree as it will be: pending changes laid over the tree.

A request is checked against what will be when it is applied, not against what is: without that, two creates of one path sent
together would both pass. It owns the pending changes, the digest of the tree to be, and which session will own which
ephemeral znodes; it never touches the tree before :meth:`settle`.
"""

from collections.abc import Iterable, Sequence

from muskox.keeper.machine.excess import Excess
from muskox.keeper.machine.node import Node
from muskox.keeper.machine.paths import LIMITS, QUOTA, QUOTA_PREFIX
from muskox.keeper.machine.tree import Change, Tree
from muskox.keeper.wire.opcodes import EventType
from muskox.keeper.wire.records import OPEN_ACL, AclList

CREATED = EventType.CREATED
ACLS_SHARED_BYTES_MAX = 8 << 20  # sharing saves memory; past this much of different ACLs it is begun anew
ACL_ENTRY_BYTES = 256  # of one entry, beside its text


# In the hot path, so plain tuples: (zxid of the transaction, the znode that the path will have; None if it will be gone).
Pending = tuple[int, Node | None]
# (path, what was pending for it, its znode as it was to be, the tree's digest as it was to be)
Undo = tuple[str, Pending | None, Node | None, int]


class Overlay:
    """The tree to be. One transaction at a time is drafted in it: begin, put ..., then finish or abandon."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.pending: dict[str, Pending] = {}
        self.digest = tree.digest()
        self.ephemerals: dict[int, dict[str, None]] = {}
        for path, node in tree.nodes.items():
            if node.owner:
                self.ephemerals.setdefault(node.owner, {})[path] = None
        self.acls: dict[AclList, AclList] = {OPEN_ACL: OPEN_ACL}
        self.acls_bytes = 0
        self.quotas = sum(path.endswith(LIMITS) for path in tree.walk(QUOTA))
        self.is_plain = not self.quotas  # so that a write changes its own znode and parent alone
        self.excess = Excess()
        self.zxid = 0
        self.changes: list[Change] = []
        self.undo: list[Undo] = []

    def find(self, path: str) -> Node | None:
        """Return the znode that will be at `path`."""
        pending = self.pending.get(path or "/")
        return self.tree.nodes.get(path or "/") if pending is None else pending[1]

    def begin(self, zxid: int) -> None:
        self.zxid = zxid
        self.changes = []
        self.undo = []

    def put(self, path: str, node: Node | None, event: EventType) -> None:
        """Make `node` what `path` will have; None deletes it."""
        path = path or "/"
        pending = self.pending.get(path)
        before = self.tree.nodes.get(path) if pending is None else pending[1]
        self.undo.append((path, pending, before, self.digest))
        if before is not None:
            self.digest -= before.digest
        if node is not None:
            self.digest += node.digest
        if before is None or node is None or before.owner != node.owner:
            self.own(path, before, node)
        self.pending[path] = (self.zxid, node)
        self.changes.append((path, node, event))

    def own(self, path: str, before: Node | None, after: Node | None) -> None:
        """Keep the list of each session's ephemeral znodes, and how many quotas stand."""
        if path.startswith(QUOTA_PREFIX) and path.endswith(LIMITS):
            self.quotas += (after is not None) - (before is not None)
            self.is_plain = not self.quotas
        was, will_be = before.owner if before else 0, after.owner if after else 0
        if was == will_be:
            return
        if was:
            owned = self.ephemerals[was]
            del owned[path]
            if not owned:
                del self.ephemerals[was]
        if will_be:
            self.ephemerals.setdefault(will_be, {})[path] = None

    def intern(self, acl: AclList | None) -> AclList:
        """Return the one copy of `acl` that all znodes share; a missing one is open, as for Apache."""
        if acl is None:
            return OPEN_ACL
        shared = self.acls.get(acl)
        if shared is not None:
            return shared
        if self.acls_bytes > ACLS_SHARED_BYTES_MAX:
            self.acls, self.acls_bytes = {OPEN_ACL: OPEN_ACL}, 0
        self.acls_bytes += sum(ACL_ENTRY_BYTES + len(scheme or "") + len(text or "") for _, (scheme, text) in acl)
        self.acls[acl] = acl
        return acl

    def finish(self) -> list[Change]:
        """Return what the drafted transaction changes."""
        return self.changes

    def abandon(self) -> None:
        """Take the drafted transaction back."""
        for path, before, node, digest in reversed(self.undo):
            self.own(path, self.pending[path][1], node)
            self.digest = digest
            if before is None:
                del self.pending[path]
            else:
                self.pending[path] = before
        self.begin(self.zxid)

    def settle(self, transactions: Iterable[Sequence[Change]], zxid: int) -> None:
        """Move the changes of all transactions up to `zxid` that are not in the tree yet into it, in their order."""
        nodes, pending = self.tree.nodes, self.pending
        for changes in transactions:
            for path, node, event in changes:
                if node is None or event is CREATED:
                    self.tree.install(path, node)
                else:
                    nodes[path] = node
                latest = pending.pop(path, None)  # None if these transactions changed the path twice
                if latest is not None and latest[0] > zxid:
                    pending[path] = latest
